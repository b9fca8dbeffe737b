"""Encoders whose weights no name leads to: those of a run, and those before and after a training.

They embed on an engine where that pays, as encoders by name do. It knows no verb.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cliptune.classifiers.calibrated_head import EncoderRecord
from cliptune.classifiers.run_encoder import load_run_encoder, load_run_weights, require_own_weights
from cliptune.workflows.session import work_on

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.engines.encoder import EngineEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.images import ImageTable
    from cliptune.runs import RunDir
    from cliptune.workflows.session import Session

__all__ = ["open_run_encoder", "open_trained", "open_untrained"]


def open_run_encoder(
    session: Session, run: RunDir, table: ImageTable | None = None, *, labels: Sequence[str] = ()
) -> DualEncoder:
    """Load the encoder of a run's classifier to embed with.

    Args:
        session: Where and how it computes, and who is told.
        run: A finished run.
        table: The images to embed.
        labels: Classes to tell apart where an engine is tried; those of the table otherwise.

    Raises:
        CliptuneError: See ``load_run_encoder`` and ``open_weights``.
    """
    record, compute = EncoderRecord.read(run), session.compute
    if record.weights_in_run:
        own = _open_weights(
            session, record.name, record.fingerprint, partial(load_run_weights, run),
            shown=f"{record.name} of {run.path}", device=compute.device,
            precision=compute.precision, table=table, labels=labels,
        )  # fmt: skip
        if own is not None:
            require_own_weights(run)  # graphs of the same weights are no reason not to look
            record.require_same(own)
            return own
    load = session.engine_loader(table, labels=labels)
    return load_run_encoder(run, device=compute.device, precision=compute.precision, load=load)


def open_untrained(session: Session, trainable: TorchEncoder, table: ImageTable) -> DualEncoder:
    """Open what embeds images as a model sees them before it is trained, in fp32.

    Returns:
        An engine with the same weights, loaded anew, where that pays; else the encoder.
    """
    from cliptune.encoders import load_encoder
    from cliptune.encoders.torch_encoder import TorchEncoder

    def load() -> TorchEncoder:
        anew = load_encoder(trainable.name, device="cpu", precision="fp32")
        assert isinstance(anew, TorchEncoder), "what is loaded in fp32 is a torch module"
        return anew

    return _open_in_fp32(session, trainable, load, table, trainable.name)


def open_trained(session: Session, trained: TorchEncoder, table: ImageTable) -> DualEncoder:
    """Open what embeds images once a model is trained, in fp32.

    Returns:
        An engine with the same weights where that pays; else the encoder.
    """
    return _open_in_fp32(session, trained, lambda: trained, table, f"{trained.name}, trained,")


def _open_in_fp32(
    session: Session,
    encoder: TorchEncoder,
    load: Callable[[], TorchEncoder],
    table: ImageTable,
    shown: str,
) -> DualEncoder:
    found = _open_weights(
        session, encoder.name, encoder.fingerprint, load, shown=shown, device=encoder.device,
        precision="auto", table=table,
    )  # fmt: skip
    return encoder if found is None else found


def _open_weights(
    session: Session,
    name: str,
    fingerprint: str,
    load: Callable[[], TorchEncoder],
    *,
    shown: str,
    device: str,
    precision: str,
    table: ImageTable | None,
    labels: Sequence[str] = (),
) -> EngineEncoder | None:
    from cliptune.encoders.engines import open_weights
    from cliptune.encoders.hub import offline

    with offline(session.compute.offline):
        found = open_weights(
            name,
            fingerprint,
            load,
            device=device,
            precision=precision,
            engine=session.compute.engine,
            cache_dir=session.compute.cache_dir,
            work=work_on(table, labels),
        )
    if found is not None and found.news:
        session.watch.note(f"{shown} on {found.news}")
    return found

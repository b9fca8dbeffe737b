"""The encoder of a run: its own weights where they changed, else the one that is named.

It knows nothing about heads, training or images. A run whose encoder was trained holds
``encoder.safetensors`` with every tensor of the model, in fp32 under the model's own names; the
architecture, tokenizer and preprocessing are those of the model that it started from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cliptune.classifier import EncoderRecord
from cliptune.encoders import load_encoder
from cliptune.errors import CheckpointError, InputError, UnavailableError
from cliptune.runs import RunDir

if TYPE_CHECKING:
    from torch import Tensor

    from cliptune.encoders import DualEncoder

__all__ = ["load_run_encoder", "save_run_encoder"]

_WEIGHTS = "encoder.safetensors"


def save_run_encoder(run: RunDir, encoder: DualEncoder) -> EncoderRecord:
    """Write an encoder's weights into a run that is not finished yet.

    Args:
        run: Where ``encoder.safetensors`` goes, whole or not at all.
        encoder: In fp32: rounded weights would be others than those that were trained.

    Returns:
        The record to save a ``Classifier`` with.

    Raises:
        InputError: The encoder is no torch module, or not in fp32.
        UnavailableError: The disk is full or cannot be written.
    """
    from dataclasses import replace

    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from cliptune.encoders.torch_encoder import TorchEncoder

    if not isinstance(encoder, TorchEncoder) or encoder.precision != "fp32":
        raise InputError(
            f"encoder {encoder.name!r} came in {encoder.precision}; only weights of a torch model "
            "in fp32 are kept in a run: load it with precision fp32"
        )
    # A copy each: weights that two layers share are refused, and channels-last is no plain block.
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.model.state_dict().items()
    }
    with run.writing(_WEIGHTS) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise UnavailableError(
                f"cannot write {str(run.path / _WEIGHTS)!r} ({error}); free some space"
            ) from error
    return replace(EncoderRecord.of(encoder), weights_in_run=True)


def load_run_encoder(
    run: str | RunDir,
    *,
    device: str = "auto",
    precision: str = "auto",
    load: Callable[..., DualEncoder] = load_encoder,
) -> DualEncoder:
    """Load the encoder whose embeddings the classifier of a finished run takes.

    Args:
        run: A run directory.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; another than in the run rounds
            otherwise, but is the same encoder.
        load: What loads an encoder by its name, ``device`` and ``precision``; only called where
            the run has no weights of its own, which torch runs.

    Raises:
        RunError: The run is missing, unfinished or altered, holds no classifier, or the encoder
            found here is another than the one it was fitted on; the message says which.
        CheckpointError: The weights in the run do not fit the architecture that is named.
        CliptuneError: The named model cannot be loaded; see ``load_encoder``.
    """
    opened = run if isinstance(run, RunDir) else RunDir.open(run)
    record = EncoderRecord.read(opened)
    if record.weights_in_run:
        encoder = _fill(opened, record, device=device, precision=precision)
    else:
        encoder = load(record.name, device=device, precision=precision)
    record.require_same(encoder)
    return encoder


def _fill(run: RunDir, record: EncoderRecord, *, device: str, precision: str) -> DualEncoder:
    """Put the run's weights into the architecture that the record names."""
    from cliptune.encoders.torch_encoder import TorchEncoder

    base = load_encoder(record.name, device="cpu", precision="fp32")
    assert isinstance(base, TorchEncoder), "every encoder that is loaded in fp32 is one"
    try:
        base.model.load_state_dict(_read(run), strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the weights in {str(run.path)!r} do not fit the model {record.name!r}: {reason}; "
            "use the version of the model that the run was started from"
        ) from error
    return base.rewrapped(device=device, precision=precision)


def _read(run: RunDir) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(run.path / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {str(run.path / _WEIGHTS)!r} ({error})") from error

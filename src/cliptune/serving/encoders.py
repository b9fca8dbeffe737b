"""The encoder of a run on the engine that suits a server: graphs, without torch once they are made.

It knows engines and runs, and nothing about heads.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import UnavailableError

if TYPE_CHECKING:
    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.runs import RunDir
    from cliptune.serving.settings import ServeSettings

__all__ = ["open_run_encoder"]


def open_run_encoder(run: RunDir, record: EncoderRecord, settings: ServeSettings) -> DualEncoder:
    """Open an encoder; its graphs are made now where they are missing, and kept.

    Raises:
        RunError: What is found by its name is another encoder.
        CliptuneError: It is not to be had; see ``open_on_engine``.
    """
    from cliptune.encoders.engines.encoder import EngineEncoder

    encoder = _open(run, record, settings)
    if isinstance(encoder, EngineEncoder):
        encoder.serve_threads()
    return encoder


def _open(run: RunDir, record: EncoderRecord, settings: ServeSettings) -> DualEncoder:
    from cliptune.encoders.engines import open_on_engine
    from cliptune.system.paths import cache_dir as usual

    place = usual() if settings.cache_dir is None else Path(settings.cache_dir)
    if record.weights_in_run and settings.engine != "torch":
        return _open_own(run, record, settings.engine, place)
    if record.weights_in_run:
        return _in_torch(run)
    encoder = open_on_engine(record.name, engine=settings.engine, cache_dir=place)
    record.require_same(encoder)
    return encoder


def _open_own(run: RunDir, record: EncoderRecord, engine: str, place: Path) -> DualEncoder:
    """Open the encoder that a run holds, as graphs that are kept by its fingerprint."""
    from cliptune.encoders.engines.backends import Backend
    from cliptune.encoders.engines.encoder import EngineEncoder
    from cliptune.encoders.engines.facts import EncoderFacts
    from cliptune.encoders.engines.runtimes import is_installed, require_installed
    from cliptune.encoders.engines.storage import GraphStore
    from cliptune.encoders.engines.token_ids import write_down

    if engine == "auto":
        engine = next((name for name in ("openvino", "onnx") if is_installed(name)), "")
        if not engine:
            return _in_torch(run)
    require_installed(engine)
    store = GraphStore(place, record.fingerprint)
    reference = cache(lambda: _in_torch(run))
    facts = store.read_facts()
    if facts is None:
        facts = EncoderFacts.of(reference())
        with suppress(UnavailableError):  # it is told when graphs are made
            store.write_facts(facts, write_down(reference()))
    record.require_same_facts(record.name, facts.fingerprint, facts.dim)
    return EngineEncoder(
        name=record.name,
        facts=facts,
        way=Backend(engine, "fp32", "a server's"),
        store=store,
        reference=reference,
        calibration=lambda: np.empty(0, np.uint8),
    )


def _in_torch(run: RunDir) -> TorchEncoder:
    from cliptune.classifiers.run_encoder import load_run_encoder
    from cliptune.encoders.torch_encoder import TorchEncoder

    encoder = load_run_encoder(run, device="cpu", precision="fp32")
    assert isinstance(encoder, TorchEncoder), "what is loaded in fp32 is a torch module"
    return encoder

"""The encoder of a run on the engine that suits a server: graphs, without torch once they are made.

It knows engines and runs, and nothing about heads.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cliptune.classifiers.calibrated_head import EncoderRecord
    from cliptune.encoders import DualEncoder
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
    from cliptune.classifiers.run_encoder import load_run_weights
    from cliptune.encoders.engines import open_on_engine
    from cliptune.system.paths import cache_dir as usual

    place = usual() if settings.cache_dir is None else Path(settings.cache_dir)
    if record.weights_in_run and settings.engine != "torch":
        return _open_own(run, record, settings.engine, place)
    if record.weights_in_run:
        return load_run_weights(run)
    encoder = open_on_engine(record.name, engine=settings.engine, cache_dir=place)
    record.require_same(encoder)
    return encoder


def _open_own(run: RunDir, record: EncoderRecord, engine: str, place: Path) -> DualEncoder:
    """Open the encoder that a run holds, as graphs that are kept by its fingerprint."""
    from cliptune.classifiers.run_encoder import load_run_weights
    from cliptune.encoders.engines.backends import Backend
    from cliptune.encoders.engines.resolving import resolve_weights
    from cliptune.encoders.engines.runtimes import is_installed, require_installed

    if engine == "auto":
        engine = next((name for name in ("openvino", "onnx") if is_installed(name)), "")
        if not engine:
            return load_run_weights(run)
    require_installed(engine)
    resolved = resolve_weights(
        record.name, record.fingerprint, partial(load_run_weights, run), place
    )
    record.require_same_facts(record.name, resolved.facts.fingerprint, resolved.facts.dim)
    way = Backend(engine, "fp32", "a server's")
    return resolved.encoder(way, calibration=lambda: np.empty(0, np.uint8))

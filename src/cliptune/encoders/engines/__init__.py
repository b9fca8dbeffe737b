"""Engines: the same encoder run by torch, OpenVINO or ONNX Runtime, whichever suits the machine.

``open_on_engine`` is ``load_encoder`` for those who only embed: it picks the engine, keeps
converted graphs by the encoder's fingerprint, and says what was chosen and why; ``open_weights``
does so for weights that were trained. Whatever trains
or needs ``model`` takes ``load_encoder``. This package knows nothing about data sets.
"""

from __future__ import annotations

from cliptune.encoders.engines.measuring import Work
from cliptune.encoders.engines.opening import (
    open_on_engine,
    open_recorded,
    open_recorded_weights,
    open_weights,
)
from cliptune.encoders.engines.runtimes import ENGINES

__all__ = [
    "ENGINES",
    "Work",
    "open_on_engine",
    "open_recorded",
    "open_recorded_weights",
    "open_weights",
]

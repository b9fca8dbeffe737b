"""From a folder of images to the right classifier on a CLIP-like model, with evidence.

Public names load on first use: importing this package imports neither torch nor NumPy and
changes nothing.
"""

from __future__ import annotations

import importlib

_HOME = {
    "CliptuneError": "cliptune.errors",
    "DualEncoder": "cliptune.encoders",
    "Preprocess": "cliptune.encoders",
}

__all__ = sorted([*_HOME, "__version__"])
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cliptune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

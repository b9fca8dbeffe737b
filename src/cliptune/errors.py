"""The exceptions that cliptune raises on purpose.

::

    CliptuneError                     everything below; the command line exits with 2
    ├── InputError (ValueError)       an argument or an option is wrong
    │   ├── UnknownNameError          a name is not among the known ones (LookupError too)
    │   └── NoTrunkError              an image tower has no features before a projection
    ├── DataError (ValueError)        the images, a manifest or their labels are wrong
    │   ├── SeveralLabelsError        images may have several labels, one each was asked for
    │   └── BadImageError             one image cannot be read
    ├── CheckpointError (ValueError)  weights that are refused, broken or of another shape
    ├── ConversionError (RuntimeError)  a model cannot be converted for an engine
    ├── EngineError (RuntimeError)    an engine gave wrong rows; the command line exits with 1
    ├── ShardsFailedError (RuntimeError)  shards of a job failed; the command line exits with 1
    ├── RunError (ValueError)         a run directory is missing, unfinished or was altered
    ├── DeviceError (RuntimeError)    the device or precision asked for is not here
    ├── MissingExtraError (ImportError)  an optional dependency is not installed
    └── UnavailableError (OSError)    something cannot be fetched, read or written

Every message says what came, what was expected and what to do, in one line.
This module knows about no other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadImageError",
    "CheckpointError",
    "CliptuneError",
    "ConversionError",
    "DataError",
    "DeviceError",
    "EngineError",
    "InputError",
    "MissingExtraError",
    "NoTrunkError",
    "RunError",
    "SeveralLabelsError",
    "ShardsFailedError",
    "UnavailableError",
    "UnknownNameError",
]


class CliptuneError(Exception):
    """Base of all errors that a caller can cause and can mend."""


class InputError(CliptuneError, ValueError):
    """An argument or an option is wrong."""


class UnknownNameError(InputError, LookupError):
    """A name is not among the known ones; the message lists the nearest.

    Args:
        kind: What the name stands for, e.g. ``"template set"``.
        name: The name that came.
        valid: All names that would have been accepted.
        remedy: What else to do, as a sentence without its full stop.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str], remedy: str = "") -> None:
        known = list(valid)
        near = difflib.get_close_matches(name.lower(), [v.lower() for v in known], n=5, cutoff=0.4)
        nearest = [v for n in near for v in known if v.lower() == n]
        shown = list(dict.fromkeys(nearest)) or sorted(known)[:8]
        lead = "nearest" if nearest else "known"
        text = f"unknown {kind} {name!r}; {lead}: {', '.join(shown) if shown else 'none'}"
        super().__init__(text + (f"; {remedy}" if remedy else ""))


class NoTrunkError(InputError):
    """An image tower has no features before a projection into the common space."""


class DataError(CliptuneError, ValueError):
    """The images, a manifest or their labels are wrong."""


class SeveralLabelsError(DataError):
    """Images may have several labels where one each was asked for."""


class BadImageError(DataError):
    """One image cannot be read."""


class CheckpointError(CliptuneError, ValueError):
    """Weights that are refused, broken or of another shape than the model."""


class ConversionError(CliptuneError, RuntimeError):
    """A model cannot be converted for an engine."""


class EngineError(CliptuneError, RuntimeError):
    """An engine gave other rows than for the same inputs alone: a fault that no caller caused."""


class ShardsFailedError(CliptuneError, RuntimeError):
    """Some shards of a job have no part; the others are done."""


class RunError(CliptuneError, ValueError):
    """A run directory is missing, unfinished or was altered."""


class DeviceError(CliptuneError, RuntimeError):
    """The device or the precision asked for is not available here."""


class MissingExtraError(CliptuneError, ImportError):
    """An optional dependency is not installed.

    Args:
        extra: The extra of this package that brings it, e.g. ``"lite"``.
        purpose: What needs it.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'cliptune[{extra}]'")


class UnavailableError(CliptuneError, OSError):
    """Something cannot be fetched, read or written."""

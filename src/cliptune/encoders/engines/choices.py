"""What was chosen for a request, as it is remembered on disk, and for how long it holds.

It knows what a choice rests on, and neither how it is made nor what a graph is.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cliptune.encoders.engines.machine import this_machine
from cliptune.encoders.engines.storage import read_json, write_json
from cliptune.errors import UnavailableError
from cliptune.system.versions import installed_version

__all__ = ["Choice", "list_choices", "read_choice", "write_choice"]

_LOG = logging.getLogger(__name__)
# Of how choices are made; raise it when they would come out otherwise. Choices without it stem
# from versions whose engines could give wrong rows.
_LAYOUT = 2
_PACKAGES = ("torch", "openvino", "nncf", "onnxruntime")
_SECONDS_OF_A_SURPRISE = 24 * 3600.0


@dataclass(frozen=True)
class Choice:
    """What to take for a request.

    Attributes:
        way: Engine and number format, e.g. ``openvino bf16``; ``torch`` alone for the reference.
        reason: Why.
        surprise: What was refused against expectation, and why; empty where all went as
            expected. A choice with a surprise is remembered for a day only.
        decided: When, in seconds since 1970.
    """

    way: str
    reason: str
    surprise: str = ""
    decided: float = field(default_factory=time.time)

    def holds(self) -> bool:
        """Say whether it is still to be followed."""
        age = time.time() - self.decided
        return not self.surprise or 0 <= age < _SECONDS_OF_A_SURPRISE

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return it as plain JSON values; ``holds_until`` is null where it holds for good."""
        until = self.decided + _SECONDS_OF_A_SURPRISE if self.surprise else None
        return {
            "way": self.way,
            "reason": self.reason,
            "surprise": self.surprise,
            "decided": _iso(self.decided),
            "holds_until": None if until is None else _iso(until),
        }


def read_choice(store: Path, engine: str, precision: str) -> Choice | None:
    """Return what was chosen for a request on such a machine, if it still holds.

    A choice of another version of this package's rules, or of other versions of the engines, does
    not: what they refused or took is to be measured again.
    """
    choice = _read(_path(store, engine, precision))
    return choice if choice is not None and choice.holds() else None


def write_choice(store: Path, engine: str, precision: str, choice: Choice) -> None:
    """Remember a choice; where the cache cannot be written to, say so and go on."""
    values = {
        "layout": _LAYOUT,
        "versions": _versions(),
        "way": choice.way,
        "reason": choice.reason,
        "surprise": choice.surprise,
        "decided": choice.decided,
    }
    try:
        write_json(_path(store, engine, precision), values)
    except UnavailableError as error:
        _LOG.warning("the choice of %s is not remembered: %s", choice.way, error)


def list_choices(store: Path) -> dict[str, Choice]:
    """Return all choices that hold on this machine, by ``ENGINE PRECISION`` as asked for."""
    prefix = f"choice-{this_machine().key}-"
    found = {}
    for path in sorted(store.glob(f"{prefix}*.json")):
        choice = _read(path)
        if choice is not None and choice.holds():
            found[path.stem.removeprefix(prefix).replace("-", " ")] = choice
    return found


def _read(path: Path) -> Choice | None:
    values = read_json(path) or {}
    if values.get("layout") != _LAYOUT or values.get("versions") != _versions():
        return None
    try:
        return Choice(
            str(values["way"]),
            str(values["reason"]),
            str(values["surprise"]),
            float(values["decided"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _path(store: Path, engine: str, precision: str) -> Path:
    return store / f"choice-{this_machine().key}-{engine}-{precision}.json"


def _versions() -> dict[str, str]:
    return {package: installed_version(package) for package in _PACKAGES}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

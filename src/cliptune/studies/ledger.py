"""What a study has decided and spent so far, kept so that it goes on as it began.

Plans follow what was measured, and no measurement comes out the same twice: what was decided
once is read again. It knows nothing about what sections mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cliptune.studies.options import StudyOptions
from cliptune.studies.section_cache import digest_of
from cliptune.studies.speed import Speed, TrainingSpeed
from cliptune.studies.step import Step
from cliptune.system.atomic import atomic_path

__all__ = ["Ledger"]

Json = dict[str, Any]  # Any: plain JSON values
_FORMAT = 2


@dataclass
class Ledger:
    """Decisions of one study with one budget.

    Attributes:
        path: The file.
        speeds: By encoder; nothing where none was measured yet.
        training: By encoder; nothing likewise.
        problem: Why some encoders cannot be trained here.
        steps: What was begun or left out, in this order.
        took: Seconds by section, of those that were done and not found done.
        spent: Seconds of this study before this process.
    """

    path: Path
    speeds: dict[str, Speed] | None = None
    training: dict[str, TrainingSpeed] | None = None
    problem: str = ""
    steps: list[Step] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)
    spent: float = 0.0

    @classmethod
    def open(cls, cache: Path, key: str, options: StudyOptions) -> Self:
        """Read the decisions of a study, or begin without any.

        Args:
            cache: Of studies.
            key: Of the study.
            options: Of them budget and sections count.
        """
        asked = {"study": key, "budget": options.budget_seconds, "sections": options.sections}
        path = cache / "plans" / f"{digest_of(asked)}.json"
        try:
            return cls._of(path, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path)  # not there, or of an older form: it is decided again

    @classmethod
    def _of(cls, path: Path, values: Mapping[str, Any]) -> Self:  # Any: plain JSON values
        if values["format"] != _FORMAT:
            return cls(path)
        training = values["training"]
        return cls(
            path=path,
            speeds={name: Speed(**speed) for name, speed in values["speeds"].items()},
            training=None
            if training is None
            else {name: TrainingSpeed(**speed) for name, speed in training.items()},
            problem=values["problem"],
            steps=[Step.from_dict(step) for step in values["steps"]],
            took={name: float(seconds) for name, seconds in values["took"].items()},
            spent=float(values["spent"]),
        )

    def find(self, name: str) -> Step | None:
        """Return what was decided about a section."""
        return next((step for step in self.steps if step.name == name), None)

    def save(self, *, elapsed: float) -> None:
        """Keep all of it.

        Args:
            elapsed: Seconds of this process so far.

        Raises:
            UnavailableError: It cannot be written.
        """
        values: Json = {
            "format": _FORMAT,
            "speeds": {name: speed.to_dict() for name, speed in (self.speeds or {}).items()},
            "training": None
            if self.training is None
            else {name: speed.to_dict() for name, speed in self.training.items()},
            "problem": self.problem,
            "steps": [step.to_dict() for step in self.steps],
            "took": self.took,
            "spent": self.spent + elapsed,
        }
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

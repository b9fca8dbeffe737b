"""What ``check`` gives: one outcome a check.

It knows nothing about how checks are made.
"""

from __future__ import annotations

from dataclasses import dataclass

from cliptune.checks.results import CheckResult
from cliptune.results.base import Result
from cliptune.system.text_tables import Shown, TextTable

__all__ = ["CheckReport"]


@dataclass(frozen=True, kw_only=True)
class CheckReport(Result):
    """Data and training set-up, looked at before a long run.

    Attributes:
        command: ``check``.
        data: The data set, as it was named.
        model: The encoder.
        method: The training that was tried out, or a head.
        checks: One outcome a check.
    """

    command: str
    data: str
    model: str
    method: str
    checks: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that say that a run would be wasted."""
        return tuple(one for one in self.checks if one.status == "failed")

    def blocks(self) -> tuple[Shown, ...]:
        """Return a table of all checks."""
        return (
            TextTable.of(
                f"Checks of {self.data}",
                ("check", "status", "meaning", "advice"),
                [(one.name, one.status, one.meaning, one.advice) for one in self.checks],
            ),
        )

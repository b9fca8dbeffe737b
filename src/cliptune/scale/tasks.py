"""What an executor is given: one shard's work, which it carries to a process and runs there.

It knows nothing about what the work is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["ShardOutcome", "Task", "run_task"]


@dataclass(frozen=True)
class ShardOutcome:
    """How a shard ended.

    Attributes:
        number: Of the shard.
        rows: In its part.
        seconds: What it took, without loading the encoder.
        error: Why there is no part; empty where there is one.
        checked: Rows that were computed twice, and the largest difference.
        skipped: Images that could not be read, and why.
        files: Files that were written, where a shard makes several: relative to its job's folder.
        lost: It was lost with a machine: nothing speaks against its images, and the next call
            computes it without being asked to.
    """

    number: int
    rows: int
    seconds: float
    error: str = ""
    checked: tuple[int, float] = (0, 0.0)
    skipped: tuple[tuple[str, str], ...] = field(default=())
    files: tuple[str, ...] = ()
    lost: bool = False


class Task(Protocol):
    """What a process needs to compute a shard; it can be sent there.

    Attributes:
        number: Of the shard.
    """

    @property
    def number(self) -> int: ...  # noqa: D102  described above

    def run(self) -> ShardOutcome:
        """Compute the shard; an error that a user can mend becomes the outcome."""
        ...


def run_task(task: Task) -> ShardOutcome:
    """Compute a shard where the task is now."""
    return task.run()

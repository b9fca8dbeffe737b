"""What is on disk: runs, and their places.

It knows nothing about what the files mean.
"""

from __future__ import annotations

from cliptune.runs.run_dir import (
    CHECKPOINT,
    FORMAT_VERSION,
    HOLDER,
    LOCK,
    RunDir,
    describe_machine,
    require_finished,
    require_free_place,
    require_same_options,
)

__all__ = [
    "CHECKPOINT",
    "FORMAT_VERSION",
    "HOLDER",
    "LOCK",
    "RunDir",
    "describe_machine",
    "require_finished",
    "require_free_place",
    "require_same_options",
]

"""The manifest of a finished job: which parts there are, and whether they are as they were.

It knows nothing about what is done with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.errors import RunError
from cliptune.scale.job import MANIFEST
from cliptune.scale.parts import file_digest
from cliptune.scale.plan import read_plan
from cliptune.system.atomic import os_reason
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object
from cliptune.system.typed import require_types

__all__ = ["JobPart", "read_manifest", "require_unaltered", "spoilt_part"]


@dataclass(frozen=True)
class JobPart:
    """What the manifest says of a part.

    Attributes:
        file: Its path below the job's folder.
        rows: Rows in it.
        sha256: Of its bytes; hex.
    """

    file: str
    rows: int
    sha256: str


def read_manifest(folder: Path) -> Mapping[str, Any]:  # Any: plain JSON values
    """Read the manifest of a finished job.

    Raises:
        RunError: There is none, or it is broken.
    """
    plan = read_plan(folder)
    if not is_file(folder / MANIFEST):
        raise RunError(
            f"the job in {str(folder)!r} is not finished; repeat the 'cliptune embed' that began it"
        )
    found = read_object(folder / MANIFEST)
    try:
        require_types(found.get("rows"), int, "rows")
        require_types(found.get("parts"), list[dict[str, str | int]], "parts")
        parts = [JobPart(**part) for part in found["parts"]]
        require_types(parts, list[JobPart], "parts")
        counts = [part.rows for part in parts]
    except TypeError as error:
        raise _broken(folder, str(error)) from error
    if (
        found.get("job") != plan.digest
        or min(counts, default=0) < 0
        or sum(counts) != found["rows"]
    ):
        raise _broken(folder, "its counts or its job do not fit")
    names = [plan.part(Path(), number).as_posix() for number in range(plan.n_shards)]
    if [part["file"] for part in found["parts"]] != names:
        raise RunError(f"the manifest in {str(folder)!r} names other files than the job's")
    return found


def _broken(folder: Path, reason: str) -> RunError:
    return RunError(
        f"the manifest in {str(folder)!r} is broken ({reason}); repeat the 'cliptune embed'"
    )


def require_unaltered(path: Path, digest: str) -> None:
    """Compare a part with what its manifest says.

    Raises:
        RunError: It is another, or cannot be read.
    """
    try:
        found = file_digest(path)
    except OSError as error:
        raise spoilt_part(path, os_reason(error)) from error
    if found != digest:
        raise spoilt_part(path, "it was altered since it was embedded")


def spoilt_part(path: Path, reason: str) -> RunError:
    """Return what is raised where a part cannot be read."""
    return RunError(
        f"the part {str(path)!r} cannot be read ({reason:.300}); remove it and repeat the "
        "'cliptune embed'"
    )

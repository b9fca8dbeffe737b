"""Files that appear whole or not at all.

It knows nothing about what is in them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cliptune.errors import UnavailableError

__all__ = ["TEMPORARY", "atomic_path", "os_reason"]

TEMPORARY = ".tmp-"  # how the names of what is being written begin


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside ``target`` and rename it there when the block ends well.

    Whatever was at ``target`` stays whole until then; a failed block leaves nothing behind.

    Raises:
        UnavailableError: The place cannot be written to, or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=target.suffix, prefix=TEMPORARY)
    except OSError as error:
        raise UnavailableError(f"cannot write {str(target)!r} ({os_reason(error)})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except UnavailableError:
        raise
    except OSError as error:
        raise UnavailableError(f"cannot write {str(target)!r} ({os_reason(error)})") from error
    finally:
        temporary.unlink(missing_ok=True)


def os_reason(error: OSError) -> str:
    """Return why the system refused, in its own words."""
    return error.strerror or type(error).__name__

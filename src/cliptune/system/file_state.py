"""Whether a file is the one of before, told by the file system instead of by reading it.

The file system is trusted this far: contents do not change while device, inode, size,
modification time and change time all stay the same. The change time cannot be set by ``cp -p``,
``rsync -t`` or ``touch -d``. A file changed within the last two seconds has not settled: another
change could leave its times as they are, so nothing should be remembered of it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["FileState"]

_SETTLED_NS = 2_000_000_000


class FileState(NamedTuple):
    """What the file system says of a file.

    Attributes:
        device: Which file system.
        inode: Which file of it.
        size: Bytes.
        modified_ns: When its contents changed last, nanoseconds since 1970.
        changed_ns: When anything of it changed last.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """Ask for the state of a file.

        Raises:
            OSError: There is no such file, or nothing is said of it.
        """
        stat = os.stat(path)  # noqa: PTH116  called for each of many thousand files
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def has_settled(self) -> bool:
        """Say whether the file is old enough for its times to tell of every change."""
        return time.time_ns() - max(self.modified_ns, self.changed_ns) > _SETTLED_NS

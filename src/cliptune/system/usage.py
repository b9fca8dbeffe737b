"""What a piece of work took, seconds and the peak of resident memory, and what memory is left.

It knows nothing about the work.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cliptune.system.cgroups import memory_left

__all__ = ["Usage", "available_memory"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MACHINE = Path("/proc/meminfo")


@dataclass
class Usage:
    """Measures the block that it is entered for.

    Attributes:
        seconds: Wall-clock time.
        peak_bytes: Most resident memory beyond that at the start, so memory that the process
            had kept from earlier work counts for nothing; None where the system does not tell
            it (Linux does).
    """

    seconds: float = 0.0
    peak_bytes: int | None = None

    def __enter__(self) -> Self:
        self._reset = _reset_peak()
        self._before = _kilobytes(_STATUS, "VmRSS")
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        peak = _kilobytes(_STATUS, "VmHWM")
        if self._reset and peak is not None and self._before is not None:
            self.peak_bytes = max(0, peak - self._before)


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text("5")  # proc(5): resets the peak resident set size
    except OSError:
        return False
    return True


def available_memory() -> int | None:
    """Return the bytes that new work can take without swapping; None where no one tells.

    Linux tells it; a container's limit counts where it is lower. Elsewhere psutil tells, where it
    is installed.
    """
    told = (_of_machine(), memory_left())
    return min((one for one in told if one is not None), default=None)


def _of_machine() -> int | None:
    if _MACHINE.exists():
        return _kilobytes(_MACHINE, "MemAvailable")
    with suppress(ImportError):
        import psutil  # type: ignore[import-untyped]  # it ships no types

        return int(psutil.virtual_memory().available)
    return None


def _kilobytes(file: Path, field: str) -> int | None:
    """Read a field that the kernel gives in kB, in bytes."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None

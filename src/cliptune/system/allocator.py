"""Keep freed memory in the process during long computations, and give it back after them.

glibc gives every large block back to the system and faults it in again, page by page, at the
next allocation; networks on a CPU allocate such blocks in every layer. It knows nothing about
what is computed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["freed_memory_kept", "keep_freed_memory"]

# Constants of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BELOW_BYTES = 1 << 30
_lock = threading.Lock()
_at_work = 0


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's thresholds once in this process, for a long computation to come.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    library = _find_glibc()
    return library is not None and bool(
        library.mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW_BYTES)
        and library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory while the block lasts; at the end of the outermost one give it back.

    A training frees gigabytes that stay resident otherwise, and the next one of another size
    adds its own between them. Where trainings of one size follow each other, let a block hold
    all of them: pages given back are faulted in again.
    """
    global _at_work  # as the heap is the process's own
    keep_freed_memory()
    with _lock:
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1
            is_over = not _at_work
        library = _find_glibc() if is_over else None
        if library is not None:
            library.malloc_trim(0)


@cache
def _find_glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError):  # another C library
        return None

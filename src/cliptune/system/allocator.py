"""Keep freed memory in the process during long computations.

glibc gives every large block back to the system and faults it in again, page by page, at the
next allocation; networks on a CPU allocate such blocks in every layer. It knows nothing about
what is computed.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

__all__ = ["keep_freed_memory"]

# Constants of <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BELOW_BYTES = 1 << 30


@cache
def keep_freed_memory() -> bool:
    """Raise glibc's thresholds once in this process, for a long computation to come.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW_BYTES) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )

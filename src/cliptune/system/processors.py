"""How much of the machine's processors this process may use."""

from __future__ import annotations

import math
import os
import sys
from functools import cache

from cliptune.system.cgroups import cpu_quota

__all__ = ["hold_to_quota", "share_cores", "usable_cores"]

_THREADS = "OMP_NUM_THREADS"
_shared_by = 1  # processes of one job, this one among them


def usable_cores() -> int:
    """Count the logical cores that this process may use at a time.

    The least of those that it may run on and of the quota of its container, rounded up: with one
    and a half cores' time, two threads embedded a fifth more images than one. At least 1.
    """
    return max(1, min(_affine_cores(), _quota_cores() // _shared_by))


def share_cores(n_processes: int) -> bool:
    """Say that so many processes, this one among them, share the quota of their container.

    Returns:
        Whether there is a quota to share; else cores are to be dealt out.
    """
    global _shared_by  # as the quota is the process's own
    _shared_by = n_processes
    return _is_held()


def hold_to_quota() -> None:
    """Let libraries that start a thread for each core start no more than a container's quota feeds.

    Threads beyond it gain nothing: all stop until the next tenth of a second once the quota is
    spent. Where there is no quota below the cores, or ``OMP_NUM_THREADS`` says how many, nothing
    changes. What is imported later reads the environment, as do processes that are started.
    """
    if not _is_held() or os.environ.get(_THREADS):
        return
    count = usable_cores()
    os.environ[_THREADS] = str(count)
    if "numpy" in sys.modules:
        import threadpoolctl

        threadpoolctl.threadpool_limits(count)
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() > count:
        torch.set_num_threads(count)


def _is_held() -> bool:
    return _quota_cores() < _affine_cores()


def _affine_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _quota_cores() -> int:
    """Read once: the quota of a running container is hardly ever changed."""
    quota = cpu_quota()
    return sys.maxsize if quota is None else max(1, math.ceil(quota))

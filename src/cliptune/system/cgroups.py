"""What a container, or another group of processes, may take of the machine: Linux' control groups.

Docker's ``--cpus`` and ``--memory``, Kubernetes' limits and systemd's ``CPUQuota`` are limits of
such groups. Cores and memory that the system tells stay those of the machine; who starts a thread
for each core is then stopped for most of every tenth of a second, and who fills the memory is
killed. Versions 1 and 2 of the interface are read, as the kernel's documentation describes them:
https://docs.kernel.org/admin-guide/cgroup-v2.html (``cpu.max``, ``memory.max``) and
https://docs.kernel.org/scheduler/sched-bwc.html (``cpu.cfs_quota_us``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

__all__ = ["cpu_quota", "memory_left"]

_PROCESS = Path("/proc/self")
_UNIFIED = "cgroup2"  # the file system of version 2


def cpu_quota() -> float | None:
    """Return how many cores' time this process and those beside it may use; None for no limit.

    The least of its own group and of all that hold it.
    """
    return min(_told("cpu", _quota, _old_quota), default=None)


def memory_left() -> int | None:
    """Return the bytes that this process' group, and each that holds it, may still take.

    Cached files that nobody maps count as free, since the kernel drops them first.

    Returns:
        Bytes, 0 or more; None for no limit.
    """
    left = min(_told("memory", _memory, _old_memory), default=None)
    return None if left is None else max(0, int(left))


_Reader = Callable[[Path], float | None]


def _told(controller: str, read: _Reader, read_old: _Reader) -> Iterator[float]:
    """Give what each group says that holds this process, in either version."""
    for mount, is_unified in _mounts(controller):
        own = _own_group(controller, is_unified=is_unified)
        # Inside a container the mount often shows its group alone, at a path that is not ours.
        for folder in {*_upwards(mount, own), mount}:
            try:
                limit = (read if is_unified else read_old)(folder)
            except (OSError, ValueError, IndexError):
                continue  # the group has no such limit, or the kernel tells it otherwise
            if limit is not None:
                yield limit


def _upwards(mount: Path, own: str | None) -> Iterator[Path]:
    if own is None or ".." in PurePosixPath(own).parts:  # that lies outside of what is mounted
        return
    folder = mount / own.strip("/")
    while folder != mount:
        yield folder
        folder = folder.parent


def _mounts(controller: str) -> Iterator[tuple[Path, bool]]:
    """Give where groups are mounted that may limit this, and whether in version 2."""
    for line in _lines(_PROCESS / "mountinfo"):
        before, _, after = line.partition(" - ")
        places, kinds = before.split(), after.split()
        if len(places) < 5 or len(kinds) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), places[4]))
        if kinds[0] == _UNIFIED:
            yield mount, True
        elif kinds[0] == "cgroup" and controller in kinds[2].split(","):
            yield mount, False


def _own_group(controller: str, *, is_unified: bool) -> str | None:
    for line in _lines(_PROCESS / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" if is_unified else controller in controllers.split(","):
            return path
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return []


def _quota(group: Path) -> float | None:
    """Read version 2: microseconds or ``max``, and of how many."""
    quota, period = (group / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _old_quota(group: Path) -> float | None:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return None if quota <= 0 else quota / int((group / "cpu.cfs_period_us").read_text())


def _memory(group: Path) -> float | None:
    limit = (group / "memory.max").read_text().strip()
    if limit == "max":
        return None
    used = int((group / "memory.current").read_text())
    return int(limit) - used + _dropped_first(group, "inactive_file")


def _old_memory(group: Path) -> float | None:
    limit = int((group / "memory.limit_in_bytes").read_text())
    if limit >= 1 << 60:  # version 1 has no word for no limit, but a number beyond all memory
        return None
    used = int((group / "memory.usage_in_bytes").read_text())
    return limit - used + _dropped_first(group, "total_inactive_file")


def _dropped_first(group: Path, name: str) -> int:
    found = re.search(rf"^{name} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0

"""Limits of containers: the kernel's files as they lie, and real processes below a real quota."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cliptune.system import cgroups, processors, usage

GIB = 1 << 30
V1 = Path("/sys/fs/cgroup/cpu")
V2 = Path("/sys/fs/cgroup")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write files of groups, and what the kernel says of this process; return where they lie."""
    process, root = tmp_path / "proc", tmp_path / "a mount"
    process.mkdir()
    monkeypatch.setattr(cgroups, "_PROCESS", process)
    escaped = str(root).replace(" ", "\\040")

    def make(version, own, files):
        kind = {2: "cgroup2 cgroup2 rw", 1: "cgroup cgroup rw,cpu,cpuacct"}[version]
        lines = ["22 1 8:1 / / rw - ext4 /dev/sda1 rw", f"31 22 0:26 / {escaped} rw - {kind}"]
        if version == 1:
            lines.append(f"32 22 0:27 / {escaped}/memory rw,relatime shared:9 - cgroup none memory")
        (process / "mountinfo").write_text("\n".join(lines) + "\n")
        told = {2: f"0::{own}\n", 1: f"9:memory:{own}\n4:cpu,cpuacct:{own}\n0::/\n"}[version]
        (process / "cgroup").write_text(told)
        for name, text in files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return make


@pytest.mark.parametrize(
    ("version", "own", "files", "expected"),
    [
        (2, "/", {"cpu.max": "max 100000\n"}, None),
        (2, "/", {"cpu.max": "250000 100000\n"}, 2.5),
        (2, "/", {}, None),  # the root group has no such file
        (2, "/a/b", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4.0),
        (2, "/a/b", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 50000\n"}, 1.0),
        (2, "/a", {"a/cpu.max": "max 100000\n", "other/cpu.max": "100000 100000\n"}, None),
        (2, "/../../b", {"cpu.max": "300000 100000\n"}, 3.0),
        (2, "/", {"cpu.max": "what a later kernel says\n"}, None),
        (1, "/", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        # as in a container whose group alone is mounted, at a path that does not hold its name
        (1, "/docker/4f1", {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000"}, 1.5),
        (
            1,
            "/kube/pod",
            {"kube/pod/cpu.cfs_quota_us": "800000", "kube/pod/cpu.cfs_period_us": "100000"},
            8.0,
        ),
    ],
)
def test_the_lowest_quota_above_counts(groups, version, own, files, expected):
    groups(version, own, files)
    assert cgroups.cpu_quota() == expected


def test_memory_is_what_the_fullest_group_has_left(groups):
    stat = f"anon 7\ninactive_file {GIB}\nactive_file 9\n"
    groups(
        2,
        "/a/b",
        {
            "a/memory.max": str(8 * GIB), "a/memory.current": str(7 * GIB), "a/memory.stat": stat,
            "a/b/memory.max": str(4 * GIB), "a/b/memory.current": str(GIB), "a/b/memory.stat": "",
        },
    )  # fmt: skip
    assert cgroups.memory_left() == 2 * GIB


def test_memory_of_the_former_interface(groups):
    groups(
        1,
        "/pod",
        {
            "memory/memory.limit_in_bytes": str((1 << 63) - 4096),
            "memory/pod/memory.limit_in_bytes": str(2 * GIB),
            "memory/pod/memory.usage_in_bytes": str(3 * GIB // 2),
            "memory/pod/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}\n",
        },
    )
    assert cgroups.memory_left() == 3 * GIB // 4
    assert usage.available_memory() <= 3 * GIB // 4


def test_a_system_without_groups_has_no_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroups, "_PROCESS", tmp_path / "none")
    assert cgroups.cpu_quota() is None
    assert cgroups.memory_left() is None
    assert processors.usable_cores() >= 1


@pytest.fixture
def cores(monkeypatch):
    """Say how many cores the system shows, and what of them a container may use."""

    def set_to(n, quota, *, threads=None):
        monkeypatch.setattr(processors, "_affine_cores", lambda: n)
        monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
        monkeypatch.setattr(processors, "_shared_by", 1)
        processors._quota_cores.cache_clear()
        # setenv first, so that what the test leaves is taken back
        monkeypatch.setenv("OMP_NUM_THREADS", threads or "")
        if threads is None:
            monkeypatch.delenv("OMP_NUM_THREADS")

    yield set_to
    processors._quota_cores.cache_clear()


@pytest.mark.parametrize(
    ("n", "quota", "expected"),
    [(64, None, 64), (64, 2.0, 2), (64, 2.5, 3), (64, 0.3, 1), (4, 16.0, 4)],
)
def test_threads_are_as_many_as_the_quota_feeds(cores, n, quota, expected):
    cores(n, quota)
    assert processors.usable_cores() == expected


def test_processes_of_a_job_share_a_quota_or_deal_out_cores(cores):
    cores(64, 8.0)
    assert processors.share_cores(3)
    assert processors.usable_cores() == 2
    cores(8, None)
    assert not processors.share_cores(2)
    assert processors.usable_cores() == 8


def test_threads_of_libraries_are_held_where_nobody_said_how_many(cores):
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(None):  # as they were, at the end
        try:
            torch.set_num_threads(3)
            cores(64, None)
            processors.hold_to_quota()
            assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == (3, None)
            cores(64, 2.0, threads="3")
            processors.hold_to_quota()
            assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (3, "3")
            cores(64, 2.0)
            processors.hold_to_quota()
            assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (2, "2")
            assert {pool["num_threads"] for pool in threadpool_info()} <= {1, 2}
        finally:
            torch.set_num_threads(before)


@pytest.fixture
def real_group():
    """Make a group whose processes get that many cores' time; give the file that takes them in."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs Linux and two cores")
    former = (V1 / "cpu.cfs_quota_us").exists()
    group = (V1 if former else V2) / f"cliptune-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made here: {error}")

    def set_to(quota):
        period = 100_000
        limit = str(int(quota * period))
        if former:
            (group / "cpu.cfs_quota_us").write_text(limit)
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{limit} {period}")
        else:
            pytest.skip("groups that are made here have no quota")
        return group / "cgroup.procs"

    yield set_to
    group.rmdir()


def test_real_processes_below_a_quota_start_as_many_threads(real_group):
    code = """
import json, os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
from cliptune.system.processors import hold_to_quota, usable_cores
hold_to_quota()
import torch
from cliptune.encoders.engines.runtimes import openvino_settings
settings = openvino_settings("fp32", 1)
print(json.dumps([usable_cores(), torch.get_num_threads(), settings["INFERENCE_NUM_THREADS"]]))
"""
    for quota, expected in ((1.0, 1), (64.0, len(os.sched_getaffinity(0)))):
        done = subprocess.run(
            [sys.executable, "-c", code, str(real_group(quota))],
            capture_output=True, text=True, check=True,
            env={k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")},
        )  # fmt: skip
        assert json.loads(done.stdout) == [expected] * 3

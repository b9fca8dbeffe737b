"""Several real processes on one study, in SQLite and in PostgreSQL; one of them is killed."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from small_sweep import make_sweep, run_sweep

SCRIPT = Path(__file__).with_name("small_sweep.py")


def start(url, *arguments):
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=SCRIPT.parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def keys(trials):
    return sorted(trial.cell.key for trial in trials)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The trials of one process that nobody helps."""
    folder = tmp_path_factory.mktemp("alone")
    return run_sweep(f"sqlite:///{folder / 's.sqlite3'}", make_sweep())[0]


def check_shared_study(url, alone, *, n_beside):
    """Others work at the same time as this process; one that has claimed two cells is killed."""
    with contextlib.ExitStack() as stack:
        dead = stack.enter_context(start(url, "hang"))
        workers = [stack.enter_context(start(url)) for _ in range(n_beside)]
        assert dead.stdout.readline() == "claimed 2\n"
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        dead.kill()
        trials, here = run_sweep(url, make_sweep())
        trained = [int(w.communicate(timeout=120)[0].split()[-1]) for w in workers]
    assert keys(trials) == keys(alone)
    assert here.n_trained + sum(trained) == len(trials)
    accuracies = {t.cell.key: t.val_accuracy for t in alone}
    for trial in trials:
        assert trial.val_accuracy == pytest.approx(accuracies[trial.cell.key], abs=0.011)


def test_processes_share_a_study_in_a_file_and_one_is_killed(tmp_path, alone):
    check_shared_study(f"sqlite:///{tmp_path / 's.sqlite3'}", alone, n_beside=1)


def test_a_killed_study_is_finished_by_a_restart(tmp_path, alone):
    url = f"sqlite:///{tmp_path / 's.sqlite3'}"
    with start(url, "hang") as dead:
        assert dead.stdout.readline() == "claimed 2\n"
        dead.kill()
    trials, worker = run_sweep(url, make_sweep())
    assert keys(trials) == keys(alone)
    assert worker.n_trained == len(trials)


@pytest.fixture(scope="module")
def postgresql():
    """A PostgreSQL server of our own, in a folder of its own, gone at the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = found[-1].parent if found else None
    if programs is None and shutil.which("initdb"):
        programs = Path(shutil.which("initdb")).resolve().parent
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    pytest.importorskip("psycopg", reason="the extra postgresql is missing")
    # The server refuses to run as root, and its user must reach the folder.
    owner = None
    if os.geteuid() == 0:
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            owner = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        call = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
        call |= {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        data, options = f"{folder}/data", f"-p {port} -h 127.0.0.1 -k {folder}"
        control = [str(programs / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log"]
        initdb = [str(programs / "initdb"), "-D", data, "-U", "me", "-A", "trust", "-N"]
        subprocess.run(initdb, **call)
        subprocess.run([*control, "-o", options, "start"], **call)
        yield f"postgresql://me@127.0.0.1:{port}/postgres"
        subprocess.run([*control, "-m", "immediate", "stop"], **call)


def test_processes_share_a_study_in_postgresql_and_one_is_killed(postgresql, alone):
    check_shared_study(postgresql, alone, n_beside=1)

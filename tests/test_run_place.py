"""The folder of a run: one process has it at a time, and who comes second hears who has it."""

import json
import os
import subprocess
import sys

import pytest

from cliptune.cli import run_command_line
from cliptune.errors import RunError, UnavailableError
from cliptune.runs import RunDir
from cliptune.runs.place import claim_place, hold_place

PROGRAM = """
import sys
from pathlib import Path
from cliptune.runs.place import claim_place
out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with claim_place(out, "evaluate", "/data/my images.d") as place:
    (place / "config.json").write_text("{}")
    print(place, flush=True)
    sys.stdin.readline()
"""


def start(folder, *arguments):
    """Start a process that claims a place and keeps it until it is let go."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def let_go(process):
    process.communicate("\n", timeout=60)
    return process.returncode


def test_processes_that_start_together_get_a_folder_each(tmp_path):
    processes = [start(tmp_path) for _ in range(6)]
    places = [process.stdout.readline().strip() for process in processes]
    assert [let_go(process) for process in processes] == [0] * 6
    assert len(set(places)) == 6
    assert all(place.startswith("runs/evaluate-my-images-") for place in places)
    for place in places:
        assert [file.name for file in (tmp_path / place).iterdir()] == ["config.json"]


def test_of_processes_on_one_folder_the_second_hears_who_has_it(tmp_path):
    out = tmp_path / "run"
    first = start(tmp_path, out)
    first.stdout.readline()
    with pytest.raises(RunError) as caught, hold_place(out):
        pass
    message = str(caught.value)
    assert f"is in use by process {first.pid} on " in message
    assert "since 20" in message
    assert "--out" in message
    assert let_go(first) == 0


def test_a_killed_process_holds_nothing(tmp_path):
    out = tmp_path / "run"
    killed = start(tmp_path, out)
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    with hold_place(out) as place:
        assert json.loads((place / ".holder.json").read_text())["pid"] == os.getpid()
    assert [file.name for file in out.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate",),
        ("evaluate", "--task", "retrieval"),
        ("fit",),
        ("fit", "--method", "full"),
        ("sweep",),
        ("check",),
        ("map",),
        ("study",),
    ],
)
def test_every_command_leaves_a_folder_in_use_alone(words, tmp_path, capsys):
    """It is refused before the data are opened, which do not even exist here."""
    out = tmp_path / "run"
    with hold_place(out):
        before = sorted(out.iterdir())
        command, *more = words
        assert run_command_line([command, str(tmp_path / "data"), *more, "--out", str(out)]) == 2
        assert f"is in use by process {os.getpid()}" in capsys.readouterr().err
        assert sorted(out.iterdir()) == before


@pytest.mark.parametrize("fails", [True, False])
def test_a_run_that_wrote_nothing_leaves_nothing(fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "a" / "b"):
        try:
            with claim_place(out, "fit", "data") as place:
                assert place.is_dir()
                if fails:
                    raise InterruptedError
        except InterruptedError:
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_user_stays_and_the_lock_is_no_part_of_a_run(tmp_path):
    with hold_place(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with hold_place(tmp_path) as place:
        run = RunDir.create(place, {"seed": 0})
        run.finish({})
    assert set(RunDir.open(tmp_path).manifest["files"]) == {"config.json"}
    with pytest.raises(RunError, match="finished run"), hold_place(tmp_path):
        pass


def test_a_place_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="--out"), hold_place(tmp_path / "file" / "run"):
        pass

"""What is no file that can be read, where an option names one, ends in one line and soon."""

import json
import os
import signal

import pytest

from cliptune.cli import run_command_line

DEEP = "[" * 50_000 + "]" * 50_000
KINDS = {
    "pipe": os.mkfifo,
    "device": lambda at: at.symlink_to("/dev/zero"),
    "loop": lambda at: at.symlink_to(at),
    "folder": lambda at: at.mkdir(),
    "bytes": lambda at: at.write_bytes(bytes(range(256)) * 8),
    "deep": lambda at: at.write_text(f'{{"a": {DEEP}}}'),
    "endless line": lambda at: at.write_text("x" * 200_000),
}
COMMANDS = {
    "journal": "evaluate {data} --model {model} --journal {at} --out {out}",
    "journal to label": "label-next {data} --model {model} --journal {at}",
    "answers": "relabel {data} {at}",
    "token": "serve {data} --token-file {at}",
    "run to serve": "serve {at}",
    "job": "index {at}",
}


@pytest.fixture
def in_time():
    """A command that waits for a pipe would wait for ever."""

    def interrupt(number, frame):
        raise AssertionError("the command waits")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def data(make_tree):
    return make_tree(*(f"{name}/{n}.png" for name in ("ant", "bee") for n in range(2)))


def refused(words, out, capsys):
    assert run_command_line(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("cliptune: ")
    assert "Traceback" not in captured.err
    assert not out.exists()
    return captured.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_refused_soon(command, kind, data, tiny_model, tmp_path, in_time, capsys):
    at, out = tmp_path / "strange", tmp_path / "out"
    KINDS[kind](at)
    line = COMMANDS[command].format(data=data, model=tiny_model, at=at, out=out)
    refused([*line.split(), "--cache-dir", str(tmp_path / "cache")][: _n(line)], out, capsys)


def _n(line):
    """``index`` has no cache."""
    return len(line.split()) + 2 * (not line.startswith("index"))


@pytest.mark.parametrize(
    "task",
    [
        {"data": [], "annotations": []},
        {"data": {"image": "a.png"}, "annotations": 3},
        {"data": {"image": "a.png"}, "annotations": ["x"]},
        {"data": {"image": "a.png"}, "annotations": [{"result": [{"value": 3}]}]},
        {"data": {"image": "a.png"}, "annotations": [{"result": [{"value": {"choices": 3}}]}]},
    ],
)
def test_tasks_of_another_form_are_refused(task, data, tmp_path, capsys):
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps([task]))
    assert "Label Studio" in refused(["relabel", str(data), str(file)], tmp_path / "no", capsys)

"""Commands on data whose names are markup, formulas and commands to a terminal."""

import csv
import json
import unicodedata

import pytest

from cliptune.cli import run_command_line
from cliptune.cli.console import note, print_json, print_table, print_text, progress_bar

CLASSES = ("=1+1", "$\\frac$", "[bold]<b>", "\x1b[31mred")


@pytest.fixture
def hostile_data(make_tree):
    """Class folders and files that bite, below a folder that does."""
    paths = [f"{name}/[{n}].png" for name in CLASSES for n in range(6)]
    return make_tree(*paths, root="data [nonsense] $x$")


def check_terminal(text):
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"}
    assert not found


def test_evaluate_and_fit_write_names_as_text(hostile_data, tiny_model, cache, tmp_path, capsys):
    common = ["--model", str(tiny_model), "--cache-dir", str(cache), "--engine", "torch"]
    out = tmp_path / "[evaluated]"
    assert run_command_line(["evaluate", str(hostile_data), "--out", str(out), *common]) == 0
    check_terminal("".join(capsys.readouterr()))
    fitted = tmp_path / "[fitted]"
    arguments = ["fit", str(hostile_data), "--method", "prototype", "--out", str(fitted), *common]
    assert run_command_line(arguments) == 0
    check_terminal("".join(capsys.readouterr()))
    with (fitted / "partition.csv").open(newline="") as file:
        ids = [line["id"] for line in csv.DictReader(file)]
    assert any(name.startswith("'=1+1/") for name in ids)
    again = ["evaluate", str(hostile_data), "--run", str(fitted), "--json"]
    again += ["--cache-dir", str(cache), "--engine", "torch", "--out", str(tmp_path / "again")]
    assert run_command_line(again) == 0
    captured = capsys.readouterr()
    check_terminal(captured.out + captured.err)
    assert set(json.loads(captured.out)["class_names"]) == set(CLASSES)
    assert "20 of these 24 images were used to learn" in captured.err


def test_errors_write_control_characters_out(capsys):
    assert run_command_line(["evaluate", "/nowhere/\x1b[31mred\x9b"]) == 2
    message = capsys.readouterr().err
    assert "\\x1b" in message
    check_terminal(message)


def test_everything_that_prints_writes_control_characters_out(capsys):
    bad = "\x1b[31m[/red]\u202e\x9b\ud800"
    print_text(bad)
    note(bad)
    print_table(bad, (bad, "n"), [(bad, "1")])
    print_json({bad: bad})
    with progress_bar(bad, bad) as show:
        show(1, 2)
    captured = capsys.readouterr()
    check_terminal(captured.out + captured.err)
    assert "[/red]" in captured.out
    assert json.loads(captured.out.splitlines()[-1]) == {bad: bad}


def test_a_name_without_end_does_not_fill_the_screen(capsys):
    print_table("t", ("name",), [("w" * 100_000,)])
    assert 500 < capsys.readouterr().out.count("w") < 700


def test_a_bar_on_a_terminal_shows_brackets_as_they_are(monkeypatch):
    import io
    import sys

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("data [/nonsense]", "[/units]") as show:
        show(1, 2)
    assert "data [/nonsense]" in terminal.getvalue()

"""Start-up: what importing and asking for help may cost, and how mistakes end."""

import os
import subprocess
import sys
import time

import pytest

from cliptune.cli import run_command_line


def test_importing_the_package_loads_no_torch():
    code = (
        "import sys, cliptune, cliptune.cli; "
        "heavy = {'torch', 'numpy', 'open_clip', 'pyarrow', 'PIL'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_changes_no_environment_and_no_logging():
    code = (
        "import os, logging, warnings; before = dict(os.environ), list(warnings.filters); "
        "import cliptune, cliptune.cli; "
        "assert (dict(os.environ), list(warnings.filters)) == before; "
        "assert not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_every_command_and_loads_no_torch():
    code = (
        "import sys; from cliptune.cli import run_command_line; "
        "code = run_command_line(['--help']); "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("predict", "evaluate", "models", "templates", "datasets"):
        assert command in done.stdout


def test_the_installed_command_answers():
    done = subprocess.run(
        [sys.executable, "-m", "cliptune", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluat", "x"], 'Did you mean "evaluate"'),
        (["evaluate"], "DATA requires an argument"),
        (["evaluate", "x", "--sed", "1"], "--seed"),
        (["evaluate", "x", "--seed", "one"], "expected a whole number"),
        (["evaluate", "x", "--precision", "fp8"], "fp8"),
        (["predict", "x"], "--labels or --run"),
        (["templates", "opnai"], "nearest: openai"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(arguments, expected, capsys):
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err


def test_a_reader_that_leaves_early_is_no_fault():
    command = f"{sys.executable} -m cliptune templates openai | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""


def test_ctrl_c_leaves_with_130(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("cliptune.prompts.load_template_set", interrupted)
    assert run_command_line(["templates", "single"]) == 130
    assert capsys.readouterr().err == "cliptune: interrupted\n"


def test_a_fault_of_ours_says_so_with_a_traceback(monkeypatch, capsys):
    def broken(name):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("cliptune.prompts.load_template_set", broken)
    assert run_command_line(["templates", "single"]) == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: boom" in error
    assert "fault of cliptune" in error


def test_help_takes_little_time():
    """Guards the order of magnitude: heavy imports would cost seconds."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "cliptune", "--help"], capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user
    assert spent - before.children_system < 1.5


def test_ctrl_c_that_falls_into_a_finaliser_still_ends_the_command():
    """Python drops what a finaliser raises; the command must not run on."""
    code = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from cliptune import cli

class Closes:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def build_app():
    def work(words, **options):
        it = Closes()
        del it
        print("lost", flush=True)
        time.sleep(60)
    return work

cli.build_app = build_app
sys.argv = ["cliptune", "models"]
cli.main()
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (130, "lost\n"), done.stderr
    assert done.stderr == "cliptune: interrupted\n"
    assert time.monotonic() - began < 40

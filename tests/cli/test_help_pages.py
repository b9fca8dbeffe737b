"""Help in two lengths."""

import re

import pytest

from cliptune.cli import _COMMANDS, run_command_line

TWO_SCREENS = 100


def options(text):
    """The names that open an entry of a page; what turns one off may open its second line."""
    return re.findall(r"^│ \*? *(--(?!no-)[a-z-]+)", text, re.MULTILINE)


@pytest.fixture
def page(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def show(*arguments):
        assert run_command_line(list(arguments)) == 0
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_fits_on_two_screens_and_the_whole_has_every_option_that_it_counts(command, page):
    short, whole = page(command, "--help"), page(command, "--help-all")
    assert len(short.splitlines()) <= TWO_SCREENS
    few, every = options(short), options(whole)
    assert len(every) == len(set(every)), "an option is declared twice"
    assert set(few) <= set(every)
    counted = sum(int(n) for n in re.findall(r": (\d+) more option", short))
    assert len(every) - len(few) == counted
    assert "more option" not in whole


def test_the_whole_help_does_not_stay(page):
    assert "--on-bad-image" in page("fit", "--help-all")
    assert "--on-bad-image" not in page("fit", "--help")
    assert "--on-bad-image" in page("data", "--help")

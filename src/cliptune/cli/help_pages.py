"""Help in two lengths: what a command is about, and with ``--help-all`` every option it has.

It knows panels of options, and no option.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cyclopts import Group

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

__all__ = ["further", "take_help_all"]

_HELP_ALL = "--help-all"
_whole: ContextVar[bool] = ContextVar("whole", default=False)


def take_help_all(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--help`` for ``--help-all``, and remember which it was."""
    _whole.set(_HELP_ALL in arguments)
    return ["--help" if word == _HELP_ALL else word for word in arguments]


def further(title: str) -> Group:
    """Make a group of options that ``--help`` counts and ``--help-all`` lists.

    Args:
        title: What they are about.
    """
    return Group(title, help_formatter=_Counted())


class _Counted:
    """Renders a panel whole, or as one line that says how many options it has."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help.formatters import DefaultFormatter

        if _whole.get():
            DefaultFormatter()(console, options, panel)
            return
        n = len(panel.entries)
        console.print(f"{panel.title}: {n} more option{'s' * (n != 1)}, listed by {_HELP_ALL}")

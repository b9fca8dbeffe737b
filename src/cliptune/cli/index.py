"""``cliptune index``: an index over embedded images."""

from __future__ import annotations

from pathlib import Path

from cliptune.cli.console import print_result
from cliptune.cli.options import Output
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.search import index_job

__all__ = ["index"]


def index(folder: Path, /, *, output: Output = Output()) -> None:
    """Build an index over the vectors of a finished embedding job, for 'cliptune search'.

    Args:
        folder: What 'cliptune embed --executor' wrote.
        output: How results are shown.
    """
    print_result(index_job(folder, progress=TerminalWatch()), as_json=output.json)

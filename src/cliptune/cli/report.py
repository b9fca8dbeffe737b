"""``cliptune report``: the page of finished runs, rendered again."""

from __future__ import annotations

from pathlib import Path

from cliptune.cli.console import print_json, print_text
from cliptune.cli.options import Output

__all__ = ["report"]


def report(*runs: Path, out: Path | None = None, output: Output = Output()) -> None:
    """Render studies and runs of other commands as one self-contained HTML file.

    Nothing is computed: every number comes from the runs' own files.

    Args:
        runs: Folders of finished runs or studies.
        out: The file; report.html in the first folder otherwise.
        output: How results are shown.
    """
    from cliptune.report import render_report

    page = render_report(runs, out)
    if output.json:
        print_json({"task": "report", "report": str(page), "runs": [str(run) for run in runs]})
    else:
        print_text(str(page))

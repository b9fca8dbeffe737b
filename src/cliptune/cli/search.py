"""``cliptune search``: embedded images near a text or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cliptune.cli.console import print_result
from cliptune.cli.numbers import whole
from cliptune.cli.options import Compute, Output
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch
from cliptune.workflows.search import search_job

__all__ = ["search"]


def search(
    folder: Path,
    query: str,
    /,
    *,
    n: Annotated[int, whole(1)] = 10,
    compute: Compute = ComputeOptions(),
    output: Output = Output(),
) -> None:
    """Find the images nearest to a text, or to an image where QUERY is a file.

    Args:
        folder: What 'cliptune embed --executor' wrote and 'cliptune index' indexed.
        query: A text such as "a red car", or the path of an image.
        n: How many.
        compute: Where the encoder computes; model and precision are those that embedded.
        output: How results are shown.
    """
    result = search_job(folder, query, n=n, compute=compute, progress=TerminalWatch())
    print_result(result, as_json=output.json)

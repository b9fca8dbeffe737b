"""``cliptune app``: the local page over the loop of looking, labelling, re-fitting and proving."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cliptune.cli.console import note, print_json, print_text
from cliptune.cli.numbers import whole
from cliptune.cli.options import Compute, Dataset, DatasetOptions, ModelName
from cliptune.errors import MissingExtraError
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import TerminalWatch

__all__ = ["app"]

_NEEDED = ("fastapi", "uvicorn", "python_multipart")


def app(
    data: str,
    /,
    *,
    run: Path | None = None,
    port: Annotated[int, whole(0, 65535)] = 8765,
    browser: Annotated[bool, Parameter(negative="--no-browser")] = True,
    json: bool = False,
    model: ModelName = "lite",
    dataset: Dataset = DatasetOptions(),
    compute: Compute = ComputeOptions(),
) -> None:
    """Open a page on this machine: look, label, re-fit, and see whether it really got better.

    Images are never moved or changed: labels go to a journal beside the runs. The page is for this
    machine alone; its address holds a token.

    Args:
        data: A folder, a manifest, shards, hf:OWNER/NAME or a name from 'cliptune datasets'; with
            labels or without.
        run: A classifier to start from; it brings its encoder and classes.
        port: Where the page is served; 0 takes one that is free.
        browser: Open the page in a browser; --no-browser only prints its address.
        json: The address as one JSON object.
        model: Which encoder, without a run.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise MissingExtraError("app", "the local page")
    from cliptune.app.page_server import bind, serve
    from cliptune.app.start import open_page

    taken = bind(port)
    try:
        page = open_page(
            data,
            taken.getsockname()[1],
            run=run,
            model=model,
            dataset=dataset,
            compute=compute,
            progress=TerminalWatch(),
        )
        if json:
            print_json({"url": page.url, "token": page.access.token, "port": page.access.port})
        else:
            print_text(page.url)
        note(f"labels go to {page.journal}; Ctrl+C ends the page")
        if browser:
            import webbrowser

            webbrowser.open(page.url)
        serve(page.application, taken)
    finally:
        taken.close()

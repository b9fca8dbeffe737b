"""``cliptune predict``: the most probable labels of each image."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from cliptune.cli.console import print_result, print_text
from cliptune.cli.numbers import whole
from cliptune.cli.options import (
    Compute,
    ModelName,
    Output,
    Shards,
    SharedShardOptions,
    Templates,
)
from cliptune.errors import InputError
from cliptune.system.atomic import atomic_path
from cliptune.system.escaping import for_csv, for_terminal
from cliptune.system.places import require_writable
from cliptune.workflows.options import ComputeOptions, TemplateOptions
from cliptune.workflows.predict import predict as predict_images
from cliptune.workflows.progress import TerminalWatch

if TYPE_CHECKING:
    from cliptune.results.label_sets import PredictLabelsResult
    from cliptune.results.predictions import PredictResult

__all__ = ["predict"]


def predict(
    *images: str,
    labels: str | None = None,
    run: Path | None = None,
    top: Annotated[int, whole()] = 5,
    csv: bool = False,
    out: Path | None = None,
    score: Literal["softmax", "sigmoid"] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    model: ModelName = "lite",
    prompts: Templates = TemplateOptions(),
    compute: Compute = ComputeOptions(),
    shards: Shards = SharedShardOptions(),
    output: Output = Output(),
) -> None:
    """Classify images: without training by --labels, or with a classifier that was fitted.

    Args:
        images: Image files, folders, named data sets, or - for paths on standard input.
        labels: At least two labels: separated by commas, as JSON, or a file with one a line or
            with JSON; they are put into words and compared with the images.
        run: A classifier that 'cliptune fit' wrote; it brings its labels, texts and encoder.
        top: How many labels to show for each image.
        csv: Comma-separated values on standard output.
        out: A file for the answers instead, NAME.csv or NAME.json, whole or not at all.
        score: softmax over the labels, or sigmoid of each label on its own; what the model was
            trained for otherwise.
        on_bad_image: An unreadable image stops the run, or is listed and left out.
        model: Which encoder: lite, ARCHITECTURE/TAG such as ViT-B-32/openai, hf-hub:OWNER/NAME,
            a local path, or several of these with + between them, side by side.
        prompts: How class names become texts.
        compute: Where and how the encoder computes.
        shards: Who embeds the images that the cache lacks; a killed job goes on.
        output: How results are shown.
    """
    if csv and output.json:
        raise InputError("--csv and --json came together; standard output takes one of them")
    if out is not None:
        _require_file(out, "--csv" if csv else "--json" if output.json else "")
    result = predict_images(
        _read_arguments(images),
        labels=labels,
        run=run,
        top=top,
        model=model,
        prompts=prompts,
        score=score,
        on_bad_image=on_bad_image,
        compute=compute,
        shards=shards,
        progress=TerminalWatch(),
    )
    if out is not None:
        _write(result, out)
        print_text(f"answers on {len(result.predictions)} images: {for_terminal(str(out))}")
    elif csv:
        _write_csv(result, sys.stdout)
    else:
        print_result(result, as_json=output.json)


def _read_arguments(images: tuple[str, ...]) -> list[str]:
    """Replace ``-``, which comes as ``/dev/stdin``, by the lines of standard input."""
    named: list[str] = []
    for image in images:
        if image != "/dev/stdin":
            named.append(image)
            continue
        try:
            named += [line.rstrip("\r\n") for line in sys.stdin]
        except UnicodeDecodeError as error:
            raise InputError(f"standard input is no list of paths ({error.reason})") from error
    return [name for name in named if name]


def _require_file(out: Path, beside: str) -> None:
    """Look at the place of answers before anything is computed.

    Raises:
        InputError: Its name says no format, it is there already, or output is asked for besides.
    """
    if beside:
        raise InputError(f"--out and {beside} came together; answers go to one place")
    if out.suffix.lower() not in (".csv", ".json"):
        raise InputError(f"--out {str(out)!r} came; expected a name that ends in .csv or .json")
    if out.exists():
        raise InputError(f"--out {str(out)!r} is there already; name a new file")
    require_writable(out, "another file")


def _write(result: PredictResult | PredictLabelsResult, out: Path) -> None:
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if out.suffix.lower() == ".csv":
            _write_csv(result, file)
        else:
            file.write(result.to_json() + "\n")


def _write_csv(result: PredictResult | PredictLabelsResult, file: TextIO) -> None:
    on_terminal = file.isatty()  # whatever reads a pipe wants the names as they are
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["image", "rank", "label", "probability"])
    for prediction in result.predictions:
        for rank, one in enumerate(prediction.labels, 1):
            names = [prediction.image, one.label]
            image, name = map(for_terminal, names) if on_terminal else names
            writer.writerow(map(for_csv, [image, rank, name, f"{one.probability:.6f}"]))

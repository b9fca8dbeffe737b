"""``cliptune predict``: the most probable labels of each image."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import percent, print_json, print_table
from cliptune.cli.options import ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    Embedded,
    choose_template_sets,
    embed_table,
    open_encoder,
    open_store,
    text_encoder,
)
from cliptune.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.prompts import TemplateSet

__all__ = ["predict"]


def predict(
    *images: str,
    labels: str,
    top: int = 5,
    csv: Annotated[bool, Parameter(negative="")] = False,
    on_bad_image: Literal["fail", "skip"] = "fail",
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Classify images without training: labels are put into words and compared with them.

    Args:
        images: Image files, folders, named data sets, or - for paths on standard input.
        labels: At least two labels, separated by commas, or a file with one a line.
        top: How many labels to show for each image.
        csv: Comma-separated values on standard output.
        on_bad_image: An unreadable image stops the run, or is listed and left out.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """
    names = _read_labels(labels)
    if top < 1:
        raise InputError(f"--top {top} shows nothing; give a number from 1 to {len(names)}")
    template_set = _only_one(prompts)

    from cliptune.heads.zero_shot import ZeroShotHead
    from cliptune.images.loose import open_images
    from cliptune.prompts import ensemble_rows

    table = open_images(_read_arguments(images))
    encoder, store = open_encoder(model), open_store(model)
    rows = ensemble_rows(text_encoder(encoder, store, model), names, template_set.templates)
    embedded = embed_table(encoder, table, store, on_bad_image=on_bad_image)
    head = ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=encoder.logit_scale)
    ranked = _rank(embedded, head.predict_proba(embedded.features.vectors), names, top)
    if output.json:
        print_json(
            {
                "task": "zero-shot",
                "model": encoder.name,
                "precision": encoder.precision,
                "templates": list(template_set.templates),
                "predictions": ranked,
                "unreadable": [{"image": b.id, "reason": b.reason} for b in embedded.bad],
            }
        )
    elif csv:
        _print_csv(ranked)
    else:
        _print_ranked(ranked, f"{encoder.name} ({encoder.precision}), {template_set.name} prompts")


def _read_labels(labels: str) -> list[str]:
    """Split and check ``--labels``; a file holds one label a line."""
    if Path(labels).is_file():
        names = [line.strip() for line in Path(labels).read_text(encoding="utf-8").splitlines()]
    else:
        names = [name.strip() for name in labels.split(",")]
    if not all(names):
        raise InputError(f"--labels {labels!r} has an empty label; expected e.g. --labels ant,bee")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--labels names {', '.join(map(repr, twice))} twice; name each once")
    if len(names) < 2:
        raise InputError(
            f"--labels {labels!r} is one label; expected at least two to choose between, "
            "e.g. --labels ant,bee"
        )
    return names


def _only_one(prompts: TemplateOptions) -> TemplateSet:
    sets = choose_template_sets(prompts)
    if len(sets) > 1:
        raise InputError(
            f"predict takes one template set, {len(sets)} came "
            f"({', '.join(s.name for s in sets)}); compare sets with 'cliptune evaluate'"
        )
    return sets[0]


def _read_arguments(images: tuple[str, ...]) -> list[str]:
    """Replace ``-``, which comes as ``/dev/stdin``, by the lines of standard input."""
    named: list[str] = []
    for image in images:
        from_input = image == "/dev/stdin"
        named += [line.rstrip("\r\n") for line in sys.stdin] if from_input else [image]
    named = [name for name in named if name]
    if not named:
        raise InputError("no image came; give files, folders or - for a list on standard input")
    return named


def _rank(
    embedded: Embedded, probabilities: NDArray[np.floating[Any]], names: list[str], top: int
) -> list[dict[str, Any]]:
    return [
        {
            "image": source.id,
            "labels": [
                {"label": names[c], "probability": float(row[c])}
                for c in (-row).argsort(kind="stable")[:top]
            ],
        }
        for source, row in zip(embedded.table.sources, probabilities, strict=True)
    ]


def _print_csv(ranked: list[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "label", "probability"])
    for prediction in ranked:
        for rank, label in enumerate(prediction["labels"], 1):
            writer.writerow(
                [prediction["image"], rank, label["label"], f"{label['probability']:.6f}"]
            )


def _print_ranked(ranked: list[dict[str, Any]], title: str) -> None:
    rows = [
        (
            prediction["image"] if rank == 0 else "",
            label["label"],
            percent(label["probability"]),
        )
        for prediction in ranked
        for rank, label in enumerate(prediction["labels"])
    ]
    print_table(title, ("image", "label", "probability"), rows)

"""``cliptune predict``: the most probable labels of each image."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from cliptune.cli.console import print_json, print_table
from cliptune.cli.early import refuse_beside_run, require_compute, require_runs
from cliptune.cli.fitted import open_run
from cliptune.cli.numbers import whole
from cliptune.cli.options import ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import (
    Embedded,
    choose_one_template_set,
    embed_table,
    open_encoder,
    open_store,
    text_encoder,
)
from cliptune.errors import InputError
from cliptune.escaping import for_csv, for_terminal
from cliptune.formatting import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.encoders import DualEncoder
    from cliptune.features import FeatureStore
    from cliptune.images import ImageTable
    from cliptune.prompts import TemplateSet

__all__ = ["predict"]


def predict(
    *images: str,
    labels: str | None = None,
    run: Path | None = None,
    top: Annotated[int, whole()] = 5,
    csv: Annotated[bool, Parameter(negative="")] = False,
    on_bad_image: Literal["fail", "skip"] = "fail",
    prompts: TemplateOptions = TemplateOptions(),
    model: ModelOptions = ModelOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Classify images: without training by --labels, or with a classifier that was fitted.

    Args:
        images: Image files, folders, named data sets, or - for paths on standard input.
        labels: At least two labels: separated by commas, as JSON, or a file with one a line or
            with JSON; they are put into words and compared with the images.
        run: A classifier that 'cliptune fit' wrote; it brings its labels, texts and encoder.
        top: How many labels to show for each image.
        csv: Comma-separated values on standard output.
        on_bad_image: An unreadable image stops the run, or is listed and left out.
        prompts: How class names become texts.
        model: Which encoder, where and how it computes.
        output: How results are shown.
    """
    if top < 1:
        raise InputError(f"--top {top} shows nothing; give 1 or more")
    if (labels is None) == (run is None):
        raise InputError("give either --labels or --run: labels to compare with, or a classifier")
    if csv and output.json:
        raise InputError("--csv and --json came together; standard output takes one of them")
    require_compute(model, [] if labels is None else [model.model])
    if run is not None:
        refuse_beside_run(prompts, model)
        require_runs([run])
    names = None if labels is None else _read_labels(labels)
    template_set = choose_one_template_set(prompts, "predict")
    paths = _read_arguments(images)

    from cliptune.images import open_images

    table = open_images(paths)
    store = open_store(model)
    if names is not None:
        answers = _zero_shot(table, names, template_set, store, model, on_bad_image)
    else:
        assert run is not None, "one of both was given"
        answers = _fitted(table, run, store, model, on_bad_image)
    if output.json:
        from cliptune.features import describe_computing

        print_json(answers.to_dict(top) | describe_computing(answers.encoder, store.guard))
    elif csv:
        _print_csv(answers.ranked(top))
    else:
        _print_ranked(answers.ranked(top), answers.title)


@dataclass(frozen=True)
class _Answers:
    """What one way of classifying says of every readable image."""

    task: str
    title: str
    encoder: DualEncoder
    templates: tuple[str, ...]
    embedded: Embedded
    names: Sequence[str]
    probabilities: NDArray[np.float64]
    abstains: NDArray[np.bool_]

    def ranked(self, top: int) -> list[dict[str, Any]]:  # Any: plain JSON values
        """List the most probable labels of each image."""
        return [
            {
                "image": source.id,
                "labels": [
                    {"label": self.names[c], "probability": float(row[c])}
                    for c in (-row).argsort(kind="stable")[:top]
                ],
                "abstains": bool(abstains),
            }
            for source, row, abstains in zip(
                self.embedded.table.sources, self.probabilities, self.abstains, strict=True
            )
        ]

    def to_dict(self, top: int) -> dict[str, Any]:  # Any: plain JSON values
        """Return everything as plain JSON values."""
        return {
            "task": self.task,
            "model": self.encoder.name,
            "templates": list(self.templates),
            "predictions": self.ranked(top),
            "unreadable": [{"image": b.id, "reason": b.reason} for b in self.embedded.bad],
        }


def _zero_shot(
    table: ImageTable,
    names: Sequence[str],
    template_set: TemplateSet,
    store: FeatureStore,
    model: ModelOptions,
    on_bad_image: Literal["fail", "skip"],
) -> _Answers:
    import numpy as np

    from cliptune.heads.zero_shot import ZeroShotHead
    from cliptune.prompts import ensemble_rows, find_equal_classes

    encoder = open_encoder(model, table, labels=names)
    rows = ensemble_rows(text_encoder(encoder, store, model), names, template_set.templates)
    if equal := find_equal_classes(names, rows):
        raise InputError(
            f"--labels {', '.join(map(repr, equal[0]))} are equal texts to {encoder.name}, which "
            "cannot tell them apart; give each meaning once, or other words"
        )
    embedded = embed_table(encoder, table, store, on_bad_image=on_bad_image)
    head = ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=encoder.logit_scale)
    return _Answers(
        task="zero-shot",
        title=f"{encoder.name} ({encoder.precision}), {template_set.name} prompts",
        encoder=encoder,
        templates=template_set.templates,
        embedded=embedded,
        names=names,
        probabilities=head.predict_proba(embedded.features.vectors),
        abstains=np.zeros(len(embedded.table), dtype=np.bool_),
    )


def _fitted(
    table: ImageTable,
    run: Path,
    store: FeatureStore,
    model: ModelOptions,
    on_bad_image: Literal["fail", "skip"],
) -> _Answers:
    opened = open_run(run, model, table)
    classifier, encoder = opened.classifier, opened.encoder
    embedded, X = opened.embed(table, store, on_bad_image=on_bad_image)
    probabilities = classifier.predict_proba(X)
    return _Answers(
        task="fitted",
        title=f"{classifier.head.name} on {encoder.name} ({encoder.precision})",
        encoder=encoder,
        templates=classifier.templates,
        embedded=embedded,
        names=classifier.class_names,
        probabilities=probabilities,
        abstains=classifier.abstains(probabilities),
    )


def _read_labels(labels: str) -> list[str]:
    """Split and check ``--labels``: words, JSON, or a file of one label a line or of JSON."""
    from cliptune.file_kinds import is_file
    from cliptune.images.names import parse_names, read_class_names
    from cliptune.plain_text import require_text

    shown = labels if len(labels) <= 100 else f"{labels[:100]}..."
    given: Sequence[str] | Mapping[str, str] = labels.split(",")
    if is_file(labels):
        given = read_class_names(Path(labels))
    elif labels.lstrip().startswith(("[", "{")):
        given = parse_names(labels, "--labels")
    names = [name.strip() for name in (given.values() if isinstance(given, Mapping) else given)]
    if not all(names):
        raise InputError(f"--labels {shown!r} has an empty label; expected e.g. --labels ant,bee")
    for name in names:
        require_text(name, "the label", InputError)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"--labels names {', '.join(map(repr, twice[:8]))} twice; name each once")
    if len(names) < 2:
        raise InputError(
            f"--labels {shown!r} is one label; expected at least two to choose between, "
            "e.g. --labels ant,bee"
        )
    return names


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
    named = [name for name in named if name]
    if not named:
        raise InputError("no image came; give files, folders or - for a list on standard input")
    return named


def _print_csv(ranked: list[dict[str, Any]]) -> None:
    on_terminal = sys.stdout.isatty()  # whatever reads a pipe wants the names as they are
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "rank", "label", "probability"])
    for prediction in ranked:
        for rank, label in enumerate(prediction["labels"], 1):
            names = [prediction["image"], label["label"]]
            image, name = map(for_terminal, names) if on_terminal else names
            cells = [image, rank, name, f"{label['probability']:.6f}"]
            writer.writerow(map(for_csv, cells))


def _print_ranked(ranked: list[dict[str, Any]], title: str) -> None:
    rows = [
        (
            prediction["image"] if rank == 0 else "",
            label["label"] + (" (abstains)" if prediction["abstains"] and rank == 0 else ""),
            percent(label["probability"]),
        )
        for prediction in ranked
        for rank, label in enumerate(prediction["labels"])
    ]
    print_table(title, ("image", "label", "probability"), rows)

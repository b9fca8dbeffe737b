"""``cliptune evaluate --task retrieval``: images find their captions, and captions their image."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cliptune.cli.console import print_json, print_table, print_text
from cliptune.cli.open_data import open_table
from cliptune.cli.options import DataOptions, ModelOptions, OutputOptions, TemplateOptions
from cliptune.cli.session import embed_table, open_encoder, open_store, text_encoder
from cliptune.errors import InputError
from cliptune.formatting import interval, percent

__all__ = ["evaluate_retrieval"]


def evaluate_retrieval(
    data: str,
    out: Path | None,
    *,
    dataset: DataOptions,
    prompts: TemplateOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Rank every image against all captions and every caption against all images."""
    if prompts.templates or prompts.template:
        raise InputError("--task retrieval takes captions as they are; leave out the templates")

    from cliptune.run_place import claim_place

    with claim_place(out, "evaluate", data) as place:
        _evaluate(data, place, dataset=dataset, model=model, output=output)


def _evaluate(
    data: str,
    place: Path,
    *,
    dataset: DataOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    from cliptune.classifier import EncoderRecord
    from cliptune.features import describe_computing
    from cliptune.images import list_captions
    from cliptune.retrieval_run import CaptionedVectors, write_retrieval_run

    start = time.perf_counter()
    table = open_table(data, dataset, check=list_captions)
    encoder, store = open_encoder(model, table), open_store(model)
    embedded = embed_table(encoder, table, store, on_bad_image=dataset.on_bad_image)
    captions, _ = list_captions(embedded.table)
    texts = text_encoder(encoder, store, model)(list(captions))
    computing = describe_computing(encoder, store.guard)
    reported = write_retrieval_run(
        place,
        CaptionedVectors(
            table=embedded.table,
            images=embedded.features.vectors,
            texts=texts,
            encoder=EncoderRecord.of(encoder),
            contents=embedded.features.contents,
        ),
        asked={
            "data": data,
            "split": dataset.split,
            "model": encoder.name,
            "precision": encoder.precision,
            "device": encoder.device,
        },
        facts={
            "unreadable": [{"image": b.id, "reason": b.reason} for b in embedded.bad],
            "images_per_second": embedded.images_per_second,
            "images_embedded": embedded.n_embedded,
        },
        seed=output.seed,
        computing=computing,
    )
    if output.json:
        print_json(reported | {"seconds": time.perf_counter() - start})
    else:
        _show(reported)


def _show(reported: Mapping[str, Any]) -> None:  # Any: plain JSON values
    title = (
        f"Retrieval on {reported['data']}: {reported['n_images']} images, {reported['n_texts']} "
        f"captions, {reported['model']} ({reported['precision']}, {reported['device']})"
    )
    rows = []
    for name in ("image_to_text", "text_to_image"):
        scores = reported[name]
        row = [name.replace("_", " "), str(scores["n"])]
        for measure, ends in scores["intervals"].items():
            row.append(f"{percent(scores[measure])} [{interval(ends['low'], ends['high'])}]")
        rows.append(row)
    print_table(title, ("", "n", "recall at 1", "recall at 5", "recall at 10"), rows)
    print_text("Brackets are 95 % intervals.")
    if repeats := _repeats(reported):
        print_text(repeats)
    print_text(f"Scores and what each query found: {reported['run']}")


def _repeats(reported: Mapping[str, Any]) -> str:  # Any: plain JSON values
    """Say how many texts and images are the same as others, and what that means."""
    counts = {"captions": "texts", "images": "images"}
    same = [
        f"{n} of the {reported[f'n_{key}']} {what}"
        for what, key in counts.items()
        if (n := reported[f"n_{key}"] - reported[f"n_distinct_{key}"])
    ]
    if not same:
        return ""
    return (
        f"{' and '.join(same)} repeat others: equal ones are one candidate, and an image owns "
        "every caption that is equal to its own."
    )

"""What the untrained model says of one image: its five most probable names.

It knows nothing about how often such answers are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.images import open_images
from cliptune.prompts import ensemble_rows, load_template_set, published_class_names
from cliptune.report import Column, Table
from cliptune.report.charts import Bar, plot_bars
from cliptune.studies.section_context import SectionContext, SectionResult, slug
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.system.formatting import percent

__all__ = ["study_top5"]

SECTION = SectionSpec(
    name="top5",
    place=20,
    title="One image",
    question="What does the untrained model say of a single image?",
    function="study_top5",
    needs="nothing",
    rank=60,
    seconds=1.0,
)

_TOP = 5
_TEMPLATES = "single"
_LONG_SIDE = 420


@dataclass(frozen=True)
class _Shown:
    """The image, its vector for each encoder, and what it is labelled with."""

    name: str
    image: Image.Image
    vectors: tuple[NDArray[np.float32], ...]
    labels: tuple[int, ...]


def study_top5(subject: StudyData, context: SectionContext) -> SectionResult:
    """Show one image and each encoder's five most probable class names."""
    shown = _choose(subject, context)
    names = subject.table.class_names or published_class_names()
    answers = {
        view.name: _answer(view, vector, names)
        for view, vector in zip(subject.views, shown.vectors, strict=True)
    }
    truth = tuple(names[label] for label in shown.labels)
    blocks = [
        context.picture(
            _fit(shown.image), "image", alt=f"The image {shown.name}", caption=f"{shown.name}."
        )
    ]
    for model, answer in answers.items():
        bars = [
            Bar(entry["class"], entry["probability"], percent(entry["probability"]),
                marked=entry["class"] in truth)
            for entry in answer
        ]  # fmt: skip
        caption = f"The five most probable names according to {model}" + (
            "; what is true stands out." if any(e["class"] in truth for e in answer) else "."
        )
        blocks.append(
            context.chart(plot_bars(bars), f"top5-{slug(model)}", alt=caption, caption=caption)
        )
    columns = (
        Column("model", "model"),
        Column("rank", "rank", "integer"),
        Column("class", "name"),
        Column("probability", "probability", "percent"),
    )
    rows = tuple(
        (model, rank, entry["class"], entry["probability"])
        for model, answer in answers.items()
        for rank, entry in enumerate(answer, start=1)
    )
    table = Table("top5", "The five most probable names", columns, rows)
    numbers = {
        "image": shown.name,
        "label": None if not truth else truth[0] if subject.sets is None else list(truth),
        "names": len(names),
        "models": answers,
    }
    notes = () if subject.table.class_names else (_BORROWED,)
    return SectionResult(_conclude(truth, answers, len(names)), numbers, (*blocks, table), notes)


_BORROWED = "The data name no classes; the 1,000 names of ImageNet stand in for them."


def _choose(subject: StudyData, context: SectionContext) -> _Shown:
    if context.image is not None:
        table = open_images([str(context.image)])
        vectors = tuple(v.store.features(v.encoder, table).vectors[0] for v in subject.views)
        return _Shown(context.image.name, table.load_image(0), vectors, ())
    pool = subject.partition.val if subject.is_divided else subject.open_rows
    row = int(np.random.default_rng([subject.seed, 5]).choice(pool))
    return _Shown(
        subject.table.ids[row],
        subject.table.load_image(row),
        tuple(view.vectors[row] for view in subject.views),
        _labels(subject, row),
    )


def _labels(subject: StudyData, row: int) -> tuple[int, ...]:
    if subject.sets is not None:
        return tuple(np.flatnonzero(subject.sets.truth[row]).tolist())
    label = int(subject.table.labels[row])
    return (label,) if label >= 0 else ()


def _answer(
    view: EncodedData, vector: NDArray[np.float32], names: tuple[str, ...]
) -> list[dict[str, Any]]:  # Any: plain JSON values
    templates = load_template_set(_TEMPLATES).templates
    rows = ensemble_rows(view.encode_texts, names, templates)
    head = ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=view.encoder.logit_scale)
    probabilities = head.predict_proba(vector[None])[0]
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    return [{"class": names[c], "probability": float(probabilities[c])} for c in best]


def _fit(image: Image.Image) -> Image.Image:
    scale = _LONG_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _conclude(
    truth: tuple[str, ...], answers: Mapping[str, Sequence[Mapping[str, Any]]], n_names: int
) -> str:  # Any: plain JSON values
    sentences = []
    for model, answer in answers.items():
        first = answer[0]
        probability = percent(first["probability"])
        said = f"{model} says {first['class']} with a probability of {probability}"
        ranks = [entry["class"] for entry in answer]
        others = [name for name in truth if name != first["class"]]
        if not truth:
            sentences.append(f"{said}, among {n_names} names.")
        elif not others:
            sentences.append(f"{said}, which is right.")
        elif len(truth) == 1:
            sentences.append(f"{said}; the true name, {truth[0]}, {_place(truth[0], ranks)}.")
        elif len(others) < len(truth):
            listed = _listed(others, ranks)
            sentences.append(f"{said}, which is right; the other true names: {listed}.")
        else:
            sentences.append(f"{said}; the true names: {_listed(others, ranks)}.")
    return " ".join(sentences)


def _place(name: str, ranks: Sequence[str]) -> str:
    if name in ranks:
        return f"comes at rank {ranks.index(name) + 1}"
    return f"is not among its first {len(ranks)}"


def _listed(names: Sequence[str], ranks: Sequence[str]) -> str:
    return ", ".join(f"{name} {_place(name, ranks)}" for name in names)

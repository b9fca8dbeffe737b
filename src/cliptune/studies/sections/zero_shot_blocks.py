"""Tables and figures of the section on zero-shot.

They show what was scored elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cliptune.evaluation.significance import Comparison
from cliptune.evaluation.zero_shot import ZeroShotScores
from cliptune.report import Column, Table
from cliptune.report.blocks import per_class_table
from cliptune.report.charts import Dot, plot_dots
from cliptune.report.document import Block
from cliptune.report.heat_map import plot_heat_map
from cliptune.studies.section_context import SectionContext, slug
from cliptune.studies.sentences import comparison_cell, score_cell

__all__ = ["zero_shot_blocks"]

_CONFUSED = 12


def zero_shot_blocks(
    context: SectionContext,
    scores: Mapping[str, Sequence[ZeroShotScores]],
    comparisons: Mapping[str, Mapping[str, Comparison]],
    chosen: Mapping[str, ZeroShotScores],
) -> list[Block]:
    """Draw and list template sets, confusions and classes.

    Args:
        context: Of the section.
        scores: Of every template set, by encoder.
        comparisons: Of further sets with the first, by encoder and name.
        chosen: The set that is used from here on, by encoder.
    """
    several = len(scores) > 1
    dots, rows = [], []
    for model, found in scores.items():
        for one in found:
            name, accuracy = one.template_set.name, one.metrics.accuracy
            label = f"{model}, {name}" if several else name
            marked = one is chosen[model]
            dots.append(Dot(label, accuracy.value, accuracy.low, accuracy.high, model, marked))
            rows.append(_row(model, one, comparisons[model].get(name)))
    blocks: list[Block] = [
        context.chart(
            plot_dots(dots, label="accuracy in %, 95 % interval"),
            "template-sets",
            alt="Accuracy of each template set with its interval",
            caption="Accuracy of each template set; the diamond is used from here on.",
        ),
        _sets_table(rows),
    ]
    for model, one in chosen.items():
        suffix = f", {model}" if several else ""
        stem = f"-{slug(model)}" if several else ""
        if len(one.metrics.per_class) <= _CONFUSED:
            matrix = one.metrics.confusion
            names = [c.name for c in one.metrics.per_class]
            blocks.append(
                context.chart(
                    plot_heat_map(
                        matrix.astype(float), rows=names, columns=names, row_label="true",
                        column_label="predicted",
                    ),
                    f"confusion{stem}",
                    alt="Confusion matrix: true classes in rows, predicted ones in columns",
                    caption=f"Confusion matrix{suffix}: rows are true classes.",
                )
            )  # fmt: skip
        else:
            blocks.append(_confusions_table(one, f"confusions{stem}", suffix))
        classes = one.metrics.to_dict()["per_class"]
        title = f"Per class, {one.template_set.name} templates{suffix}"
        blocks.append(per_class_table(classes, title=title, name=f"per-class{stem}"))
    return blocks


def _row(
    model: str, one: ZeroShotScores, against: Comparison | None
) -> tuple[Any, ...]:  # Any: cells
    return (
        model,
        one.template_set.name,
        len(one.template_set.templates),
        score_cell(one.metrics),
        one.metrics.balanced_accuracy.value,
        one.metrics.log_loss.value,
        one.metrics.ece.value,
        comparison_cell(against) if against else None,
        against.p_value if against else None,
    )


def _sets_table(rows: Sequence[tuple[Any, ...]]) -> Table:  # Any: cells
    columns = (
        Column("model", "model"),
        Column("templates", "template set"),
        Column("n_templates", "templates", "integer"),
        Column("accuracy", "accuracy", "percent"),
        Column("balanced_accuracy", "balanced", "percent"),
        Column("log_loss", "log-loss", "number"),
        Column("ece", "calibration error", "number"),
        Column("difference", "against one template", "points"),
        Column("p_value", "p", "p"),
    )
    return Table("template-sets", "One template against ensembles", columns, tuple(rows))


def _confusions_table(one: ZeroShotScores, name: str, suffix: str) -> Table:
    cells = one.metrics.cells
    wrong = cells[cells[:, 0] != cells[:, 1]]
    names = [c.name for c in one.metrics.per_class]
    most = wrong[np.argsort(-wrong[:, 2], kind="stable")[:20]]
    rows = [
        (
            names[true],
            names[said],
            int(count),
            float(count / one.metrics.per_class[true].n),
        )
        for true, said, count in most
    ]
    columns = (
        Column("class", "true class"),
        Column("taken_for", "taken for"),
        Column("n", "images", "integer"),
        Column("share", "of the class", "percent"),
    )
    return Table(name, f"The most frequent confusions{suffix}", columns, tuple(rows), shown=8)

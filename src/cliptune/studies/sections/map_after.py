"""Whether training changed how images and texts lie in their space.

It compares the encoder as it came with the trained weights, before any mixture of both.
"""

from __future__ import annotations

from typing import Any

from safetensors.numpy import load_file

from cliptune.modality_gap import MapOptions, MapView, build_map
from cliptune.report.document import Block
from cliptune.studies.section_context import SectionContext, SectionResult, slug
from cliptune.studies.section_specs import SectionSpec
from cliptune.studies.sections.map import change_table, draw_map, map_inputs, require_enough
from cliptune.studies.study_data import StudyData

__all__ = ["study_map_after"]

SECTION = SectionSpec(
    name="map-after",
    place=80,
    title="The space after training",
    question="Did training change how images and texts lie, and did that make a better classifier?",
    function="study_map_after",
    draws_on=("zero-shot", "fine-tuning"),
    rests_on="fine-tuning",
    rank=80,
    seconds=8.0,
)


def study_map_after(subject: StudyData, context: SectionContext) -> SectionResult:
    """Draw one map of before and after for each encoder that was trained.

    Raises:
        TooSmallError: There are too few images that training did not see.
    """
    trained = context.done["fine-tuning"].numbers["models"]
    numbers: dict[str, dict[str, Any]] = {}  # Any: plain JSON values
    blocks: list[Block] = []
    verdicts: list[str] = []
    for view in subject.views:
        if view.name not in trained:
            continue
        arrays = load_file(
            context.folder.parent / "fine-tuning" / f"trained-{slug(view.name)}.safetensors"
        )
        rows = arrays["rows"]
        require_enough(rows, "validation images")
        texts = view.text_rows(context.template_set(view.name).templates)
        views = (
            MapView("before", view.vectors[rows], texts),
            MapView("after", arrays["images"], arrays["texts"]),
        )
        result = build_map(map_inputs(subject, rows, views), MapOptions(seed=subject.seed))
        numbers[view.name] = result.to_dict()
        figure = draw_map(
            context,
            result,
            stem=slug(view.name),
            caption=f"{view.name} before and after training, both in the plane fitted before.",
        )
        table = change_table(result, f"change-{slug(view.name)}", f"{view.name}, before and after")
        blocks += [figure, table]
        verdicts.append(result.numbers["verdict"])
    notes = (
        "Validation images only: the weights were trained on the others. After: the best epoch's "
        "weights as trained, chosen on these images, without mixing in the start.",
    )
    return SectionResult(" ".join(verdicts), {"models": numbers}, tuple(blocks), notes)

"""``refit``: a head on the labels of a journal, as ``fit`` does it, with the test left alone.

It knows projects and heads, and nothing about pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cliptune.choosing import Chosen, choose_methods
from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.fitting import Fitted
from cliptune.classifiers.head_data import HeadData
from cliptune.errors import CliptuneError, InputError, UnknownNameError
from cliptune.heads import HEADS
from cliptune.results.refitted import RefitResult
from cliptune.runs import RunDir, describe_machine
from cliptune.runs.place import hold_place
from cliptune.selection.methods import COMPARED, TRAINED
from cliptune.system.escaping import for_csv
from cliptune.workflows.label_next import LabelView
from cliptune.workflows.label_project import LabelProject
from cliptune.workflows.progress import StageProgress

if TYPE_CHECKING:
    from cliptune.evaluation.metrics import Score

__all__ = ["HELD_OUT", "RefitCancelledError", "refit"]

HELD_OUT = "held_out.csv"
_QUICK = "quick"
_STEPS = "steps"


class RefitCancelledError(CliptuneError):
    """Somebody called it off; nothing was written."""


def refit(
    project: LabelProject,
    *,
    method: str = _QUICK,
    seed: int = 0,
    progress: Callable[[StageProgress], None] = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RefitResult:
    """Fit a head on the labels that stand, and leave a run beside the journal.

    Settings are chosen and the head is calibrated on images that are left out in turn. The locked
    test is neither learned from nor looked at.

    Args:
        project: Images and journal.
        method: ``quick``: one head of a closed form (``discriminant``) on what stands before the
            projection, or ``linear`` where a tower has nothing there; ``all``: every head is
            compared, as ``fit`` does; or the name of a head.
        seed: Of everything random.
        progress: Called with how far it is.
        cancelled: Asked between steps; True ends it.

    Raises:
        InputError: Fewer than two classes have labels.
        UnknownNameError: There is no such head.
        RefitCancelledError: It was called off.
        UnavailableError: The run cannot be written.
    """
    began = time.perf_counter()
    view = LabelView.of(project, seed)
    present = np.unique(view.labels[view.known])
    if len(present) < 2:
        names = ", ".join(repr(view.class_names[c]) for c in present) or "none"
        raise InputError(
            f"labels of {len(present)} class came ({names}); label images of two at least, outside "
            "the test"
        )
    methods, options = _methods(method, project)
    acts = len(project.journal.standing.acts)
    task = _task(view, present, seed, trunk=options.get("features") != "embedding")

    def step(done: int, total: int) -> None:
        if cancelled():
            raise RefitCancelledError("re-fitting was called off; the run before stays")
        progress(StageProgress("fitting", done, total, _STEPS))

    step(0, 1)
    chosen = choose_methods(task, methods, options=options, progress=step)
    shipped = chosen.answer.method if method == "all" else methods[0]
    fitted = chosen.fitted[shipped or "zero-shot"]
    with _next_place(project.place) as place:
        result = RefitResult(
            task="refit",
            command="refit",
            data=project.journal.data,
            model=project.encoder.name,
            run=str(place),
            method=fitted.name,
            features=fitted.features,
            class_names=task.class_names,
            n_labels=len(task.train),
            acts=acts,
            held_out=_held_out(fitted),
            zero_shot=_held_out(chosen.fitted["zero-shot"]),
            notes=chosen.notes,
            seconds=time.perf_counter() - began,
        )
        step(1, 1)
        _write(place, result, fitted, chosen, view)
    return result


def _methods(method: str, project: LabelProject) -> tuple[Sequence[str], dict[str, Any]]:
    if method == "all":
        return COMPARED, {}
    if method == _QUICK:
        if project.embedded.features.trunk is None:
            return ("linear",), {"features": "embedding"}
        return ("discriminant",), {"features": "penultimate"}
    known = [name for name in HEADS if name not in TRAINED]
    if method not in known:
        raise UnknownNameError("method", method, [_QUICK, "all", *known])
    return (method,), {}


def _task(view: LabelView, present: Any, seed: int, *, trunk: bool) -> HeadData:
    project = view.project
    number = np.full(len(view.class_names), -1, dtype=np.int64)
    number[present] = np.arange(len(present))
    labels = np.where(view.labels >= 0, number[view.labels], -1)
    return HeadData(
        vectors=project.vectors,
        tokens=None,
        labels=labels,
        class_names=tuple(view.class_names[c] for c in present),
        text_rows=view.text_rows[present],
        logit_scale=project.encoder.logit_scale,
        train=view.known,
        val=view.known[:0],
        seed=seed,
        trunk=project.embedded.features.trunk if trunk else None,
        groups=project.source.groups,
    )


def _held_out(fitted: Fitted) -> Score | None:
    return None if fitted.cross_validation is None else fitted.cross_validation.accuracy


def _next_place(folder: Path) -> Any:  # Any: a context manager of a path
    numbers = [int(p.name[4:]) for p in folder.glob("fit-*") if p.name[4:].isdigit()]
    return hold_place(folder / f"fit-{max(numbers, default=0) + 1:03d}")


def _write(
    place: Path, result: RefitResult, fitted: Fitted, chosen: Chosen, view: LabelView
) -> None:
    project = view.project
    encoder = EncoderRecord.of(project.encoder)
    config = {
        "command": "refit",
        "data": result.data,
        "model": result.model,
        "journal": str(project.journal.path),
        "acts": result.acts,
        "method": result.method,
    }
    run = RunDir.create(place, config)
    CalibratedHead(
        head=fitted.head,
        class_names=result.class_names,
        templates=view.templates,
        encoder=encoder,
        temperature=fitted.temperature,
        threshold=fitted.threshold,
    ).save(run)
    judged = chosen.judged.get(fitted.name)
    hits = {} if judged is None else dict(zip(judged.images, judged.hits, strict=True))
    rows = (
        (
            project.contents[row],
            str(for_csv(view.class_names[view.labels[row]])),
            f"{hits[position]:.4f}" if position in hits else "",
        )
        for position, row in enumerate(chosen.rows.tolist())
    )
    run.write_csv(HELD_OUT, ["content", "label", "right"], rows)
    ids = project.source.ids
    parts = ((ids[row], "train") for row in chosen.rows.tolist())
    run.write_csv("partition.csv", ["id", "part"], parts)  # so that evaluate can say what it saw
    run.write_json("metrics.json", result.to_dict())
    run.finish({"encoder": vars(encoder), "seed": view.seed, **describe_machine()})

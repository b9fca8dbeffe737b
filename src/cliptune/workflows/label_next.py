"""``label-next``: which images to label next, and which labels to look at again.

It knows nothing about how options are read or results shown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.system.bounds import MAX_SEED, require_count
from cliptune.system.formatting import count
from cliptune.workflows.dataset import data_name
from cliptune.workflows.label_project import LabelProject, open_project
from cliptune.workflows.options import ComputeOptions, DataOptions
from cliptune.workflows.progress import ProgressLike, watching
from cliptune.workflows.requirements import refuse_beside_run, require_compute, require_runs
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    from cliptune.active.strategies import Pick
    from cliptune.results.labelled_next import (
        ExpectedWorth,
        LabelNextResult,
        NextImage,
        SuspectImage,
    )
    from cliptune.workflows.classifier import Classifier
    from cliptune.workflows.dataset import Data
    from cliptune.workflows.session import Model

__all__ = ["LabelView", "expect_worth", "label_next", "list_suspects", "propose_labels"]

_MOST_SUSPECTS = 100
_PROMPT = ("a photo of a {}.",)


def label_next(
    data: Data,
    *,
    run: str | Path | Classifier | None = None,
    n: int = 50,
    model: Model = "lite",
    journal: str | Path | None = None,
    dataset: DataOptions = DataOptions(),
    compute: ComputeOptions = ComputeOptions(),
    seed: int = 0,
    progress: ProgressLike = None,
) -> LabelNextResult:
    """Choose the images whose labels teach most, and the labels that are worth a second look.

    Images of the test are never proposed.

    Args:
        data: A data set by name, or a table; with labels or without.
        run: A classifier to start from, which brings its encoder and classes.
        n: How many images.
        model: The encoder, without a run.
        journal: The file of labels; beside the run, or in ``runs/labels-DATA``, otherwise.
        dataset: How to read the data set.
        compute: Where and how the encoder computes.
        seed: Of whatever is drawn.
        progress: A callback, or True for bars.

    Raises:
        CliptuneError: Data, run, model or journal do not fit; the message says which.
    """
    from cliptune.workflows.options import TemplateOptions

    began = time.perf_counter()
    require_count("--n", n)
    require_count("--seed", seed, at_least=0, at_most=MAX_SEED)
    require_compute(compute, [] if run is not None else [model])
    if run is not None:
        refuse_beside_run(TemplateOptions(), model)
    if isinstance(run, str | Path):
        require_runs([Path(run)])
    session = Session(compute, watching(progress))
    path = dataset.journal if journal is None else Path(journal)
    plain = replace(dataset, journal=None)
    project = open_project(data, session, run=run, model=model, journal=path, dataset=plain)
    return propose_labels(project, n, data=data_name(data), seed=seed, began=began)


@dataclass(frozen=True, eq=False)
class LabelView:
    """A project as it stands: labels outside the test, and what is believed of every image.

    Attributes:
        project: Where the images come from.
        class_names: C names.
        labels: int64 (N,), -1 where none is known, and for all of the test.
        open: bool (N,), images outside the test that wait for an answer.
        seed: Of whatever is drawn.
    """

    project: LabelProject
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    open: NDArray[np.bool_]
    seed: int

    @classmethod
    def of(cls, project: LabelProject, seed: int = 0) -> LabelView:
        """Look at a project now."""
        table, test = project.table(), project.test_mask()
        names = table.class_names
        run_names = project.classifier.class_names if project.classifier else ()
        names = (*names, *(name for name in run_names if name not in names))
        labels = np.where(test, -1, table.labels)
        is_open = ~test & (labels < 0) & ~project.marked("none") & ~project.marked("skip")
        return cls(project, names, labels, is_open, seed)

    @cached_property
    def known(self) -> NDArray[np.int64]:
        """Rows with a label, int64."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts that class names are put into: those of the run that was given."""
        run = self.project.classifier
        return run.templates if run else _PROMPT

    @cached_property
    def text_rows(self) -> NDArray[np.float32]:
        """The class texts, float32 (C, D); no rows without classes."""
        from cliptune.prompts import ensemble_rows

        if not self.class_names:
            return np.zeros((0, self.project.vectors.shape[1]), np.float32)
        return ensemble_rows(self.project.encode_texts(), self.class_names, self.templates)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """What is believed of every image, float64 (N, C), one column without classes.

        By a linear head on the labels there are; by the texts alone while these are of one class.
        """
        from cliptune.heads.linear import LinearHead
        from cliptune.heads.zero_shot import ZeroShotHead

        project, scale = self.project, self.project.encoder.logit_scale
        if len(self.class_names) < 2:
            return np.ones((len(self.labels), 1))
        if len(np.unique(self.labels[self.known])) < 2:
            head = ZeroShotHead().fit(None, None, text_rows=self.text_rows, logit_scale=scale)
            return head.predict_proba(project.vectors)
        trunk = project.embedded.features.trunk is not None
        linear = LinearHead(features="both" if trunk else "embedding")
        rows = project.rows_of_heads
        linear.fit(
            rows[self.known],
            self.labels[self.known],
            text_rows=self.text_rows,
            logit_scale=scale,
        )
        return linear.predict_proba(rows)

    def out_of_fold(self) -> NDArray[np.float64] | None:
        """Return what is believed of labelled images without them; None where it cannot be."""
        from cliptune.evaluation.label_errors import out_of_fold_probabilities

        if len(np.unique(self.labels[self.known])) < 2:
            return None
        present, codes = np.unique(self.labels[self.known], return_inverse=True)
        found = out_of_fold_probabilities(
            self.project.vectors[self.known],
            codes,
            text_rows=self.text_rows[present],
            logit_scale=self.project.encoder.logit_scale,
            seed=self.seed,
        )
        if found is None:
            return None
        spread = np.zeros((len(self.known), len(self.class_names)))
        spread[:, present] = found
        return spread


def propose_labels(
    project: LabelProject, n: int, *, data: str, seed: int = 0, began: float | None = None
) -> LabelNextResult:
    """Choose the next images of an open project, and list its suspects; see ``label_next``."""
    from cliptune.results.labelled_next import LabelNextResult

    start = time.perf_counter() if began is None else began
    view = LabelView.of(project, seed)
    suspects = list_suspects(view)
    gain = expect_worth(view, n)
    images = _next_images(view, _choose(view, n), gain)
    if len(images) < n:
        images += _check_again(view, n - len(images))
    run = project.classifier
    return LabelNextResult(
        task="label-next",
        command="label-next",
        data=data,
        model=project.encoder.name,
        run=str(run.run.path) if run else None,
        journal=str(project.journal.path),
        class_names=view.class_names,
        n_labelled=len(view.known),
        n_open=int(view.open.sum()),
        images=tuple(images),
        suspects=tuple(suspects),
        gain=gain,
        advice=_advice(view, gain, n),
        seconds=time.perf_counter() - start,
    )


def list_suspects(view: LabelView) -> list[SuspectImage]:
    """List labels to look at again, the most doubtful first."""
    from cliptune.active.suspects import find_suspects
    from cliptune.results.labelled_next import SuspectImage

    known, project = view.known, view.project
    if not len(known):
        return []
    found = find_suspects(
        project.vectors[known], view.labels[known], view.out_of_fold(), n=_MOST_SUSPECTS
    )
    sources = project.source.sources
    return [
        SuspectImage(
            id=sources[row].id,
            path=sources[row].location,
            content=project.contents[row],
            why=one.why,
            label=view.class_names[view.labels[row]],
            suggested=view.class_names[one.suggested],
            doubt=one.doubt,
            twin="" if one.twin is None else sources[int(known[one.twin])].id,
        )
        for one, row in ((one, int(known[one.row])) for one in found)
    ]


def _choose(view: LabelView, n: int) -> list[Pick]:
    """Choose among the images outside the test; rows of the picks are those of the project."""
    from cliptune.active.pool import LabelPool
    from cliptune.active.strategies import choose_images

    rows = np.flatnonzero(~view.project.test_mask())
    if not len(rows):
        return []
    pool = LabelPool(
        features=view.project.rows_of_heads[rows],
        labels=view.labels[rows],
        open=view.open[rows],
        probabilities=view.probabilities[rows],
        seed=view.seed,
    )
    return [replace(pick, row=int(rows[pick.row])) for pick in choose_images(pool, n)]


def _next_images(
    view: LabelView, picks: Sequence[Pick], gain: ExpectedWorth | None
) -> list[NextImage]:
    """Share the gain out among the picks, by what each stands for and how doubtful it is."""
    worth = np.array([pick.stands_for * pick.doubt for pick in picks])
    if gain is not None and worth.sum() > 0:
        worth = worth / worth.sum() * gain.value
    return [
        _next_image(view, pick.row, pick.why, float(share))
        for pick, share in zip(picks, worth, strict=True)
    ]


def _check_again(view: LabelView, n: int) -> list[NextImage]:
    """Return labelled images to look at again, where none is left without a label."""
    out_of_fold = view.out_of_fold() if len(view.known) else None
    if out_of_fold is None:
        return []
    from cliptune.active.suspects import rank_label_errors

    order, doubts = rank_label_errors(view.labels[view.known], out_of_fold)
    n_all = len(view.known)
    return [
        _next_image(view, int(view.known[place]), "check", float(doubts[place]) / n_all)
        for place in order[:n].tolist()
    ]


def _next_image(view: LabelView, row: int, why: str, gain: float) -> NextImage:
    from cliptune.results.labelled_next import NextImage

    source, probabilities = view.project.source.sources[row], view.probabilities[row]
    best = int(probabilities.argmax())
    named = len(view.class_names) > 1
    return NextImage(
        id=source.id,
        path=source.location,
        content=view.project.contents[row],
        why=why,
        expected_gain=gain,
        predicted=view.class_names[best] if named else "",
        probability=float(probabilities[best]) if named else 0.0,
    )


def expect_worth(view: LabelView, more: int) -> ExpectedWorth | None:
    """Return what so many more labels are expected to add; None where there are too few to tell."""
    from cliptune.active.gain import expect_gain
    from cliptune.results.labelled_next import ExpectedWorth

    if len(view.known) == 0 or len(view.class_names) < 2:
        return None
    found = expect_gain(
        view.project.vectors[view.known],
        view.labels[view.known],
        more=more,
        text_rows=view.text_rows,
        logit_scale=view.project.encoder.logit_scale,
        seed=view.seed,
    )
    return None if found is None else ExpectedWorth(**asdict(found))


def _advice(view: LabelView, gain: ExpectedWorth | None, n: int) -> str:
    if gain is None:
        return (
            f"{count(len(view.known))} labels so far: too few to tell what more of them are worth"
        )
    low, high = 100 * gain.low, 100 * gain.high
    if not view.open.any():
        return "every image has a label: what helps now is to look again at the doubtful ones"
    return (
        f"another {n} labels are worth about {100 * gain.value:+.1f} points "
        f"({low:+.1f} to {high:+.1f})"
    )

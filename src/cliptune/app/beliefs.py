"""What is believed of every image now: by the run that is shown, or by the class texts alone.

It knows projects and runs, and nothing about pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.workflows.label_next import LabelView
from cliptune.workflows.label_project import LabelProject
from cliptune.workflows.prove import believe

__all__ = ["Beliefs", "believe_now"]


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Answers for N images.

    Attributes:
        run: The run that gives them; empty where the class texts alone do.
        class_names: C names, in this order.
        probabilities: float64 (N, C); of a labelled image outside the test those that were made
            without it, where they could be.
        abstains: bool (N,).
        left_out: bool (N,), whose probabilities were made without them.
        opened: The test was opened for this run, so that its images may show what it says.
    """

    run: str
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    abstains: NDArray[np.bool_]
    left_out: NDArray[np.bool_]
    opened: bool

    @property
    def best(self) -> NDArray[np.int64]:
        """The most probable class of each, int64 (N,)."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of that class, float64 (N,)."""
        confidence: NDArray[np.float64] = self.probabilities.max(axis=1)
        return confidence


def believe_now(project: LabelProject, run: str) -> Beliefs | None:
    """Return what a run says, or the class texts where ``run`` is empty.

    Args:
        project: Images, journal and encoder.
        run: A name as ``list_runs`` gives it, or nothing.

    Returns:
        The answers; None where there is no run and fewer than two classes have a name.
    """
    view = LabelView.of(project)
    if not run:
        return _by_texts(view)
    said = believe(project, run)
    probabilities, left_out = said.probabilities.copy(), np.zeros(len(view.labels), np.bool_)
    out_of_fold = view.out_of_fold()
    if out_of_fold is not None:
        place_of = {name: place for place, name in enumerate(view.class_names)}
        if all(name in place_of for name in said.class_names):
            columns = [place_of[name] for name in said.class_names]
            probabilities[view.known] = out_of_fold[:, columns]
            left_out[view.known] = True
    opened = run in {act.facts.get("run") for act in project.journal.standing.openings()}
    return Beliefs(run, said.class_names, probabilities, said.abstains, left_out, opened)


def _by_texts(view: LabelView) -> Beliefs | None:
    from cliptune.heads.zero_shot import ZeroShotHead

    if len(view.class_names) < 2:
        return None
    head = ZeroShotHead().fit(
        None, None, text_rows=view.text_rows, logit_scale=view.project.encoder.logit_scale
    )
    n = len(view.labels)
    nobody = np.zeros(n, np.bool_)
    probabilities = head.predict_proba(view.project.vectors)
    return Beliefs("", view.class_names, probabilities, nobody, ~nobody, False)

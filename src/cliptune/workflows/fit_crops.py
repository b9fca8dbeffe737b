"""One look at each picture or the average of several crops, by what held-out answers show.

It knows how features are prepared and methods chosen, and nothing about how crops are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cliptune.selection.judging import compare
from cliptune.selection.weighing import is_shown
from cliptune.workflows.fit_prepared import Prepared, choose, prepare
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.choosing import Chosen
    from cliptune.results.fitted import CropsCompared
    from cliptune.workflows.fit_heads import HeadRequest

__all__ = ["compare_crops"]


def compare_crops(
    request: HeadRequest, methods: Sequence[str], session: Session
) -> tuple[Prepared, Chosen, CropsCompared | None]:
    """Choose among methods for one look and for several crops, and keep one of the two.

    Both have the same test, which stays locked, and the same held-out images. The crops were asked
    for and are the first guess; one look, which costs less, takes their place where it is shown to
    lose no more than the margin.

    Args:
        request: What was asked for.
        methods: Names of methods.
        session: Where and how to embed, with several crops.

    Returns:
        What was prepared and chosen with the looks that are kept; and how the two compare, None
        where no image could be held out, so that the crops are kept as they were asked for.
    """
    one_look = Session(replace(session.compute, crops=1), session.watch)
    once = prepare(request, methods, (), one_look)
    for sentence in once.partition.notes:
        session.watch.note(sentence)
    several = prepare(request, methods, (), session, alike=once)
    groups = _together(once, several)
    first = choose(once, methods, request, groups=groups)
    second = choose(several, methods, request, groups=groups)
    if not first.judged:
        return several, second, None
    found = _compare(first, second, crops=session.compute.crops, margin=request.margin)
    session.watch.note(found.sentence)
    return (several, second, found) if found.kept else (once, first, found)


def _together(once: Prepared, several: Prepared) -> NDArray[np.int64]:
    """Group images that look alike to either."""
    from cliptune.splits.duplicates import group_duplicates, join_groups

    groups = group_duplicates(several.task.vectors).astype(str)
    return join_groups(group_duplicates(once.task.vectors), groups)


def _compare(first: Chosen, second: Chosen, *, crops: int, margin: float) -> CropsCompared:
    from cliptune.results.fitted import CropsCompared

    names = [chosen.answer.method or chosen.answer.best for chosen in (first, second)]
    once, several = (
        replace(chosen.judged[name], graded=None)  # by hits, whatever the methods are compared by
        for chosen, name in zip((first, second), names, strict=True)
    )
    gain = compare(once, several)
    return CropsCompared(
        asked=crops,
        kept=not is_shown(gain, margin),
        method_one_look=names[0],
        method=names[1],
        one_look=once.accuracy,
        averaged=several.accuracy,
        low=gain.low,
        high=gain.high,
        n=gain.n,
        log_loss_one_look=once.log_loss,
        log_loss=several.log_loss,
    )

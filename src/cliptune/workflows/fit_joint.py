"""Several encoders side by side or one of them alone, by what held-out answers show.

It knows how features are prepared and methods chosen, and nothing about how encoders are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cliptune.selection.judging import compare
from cliptune.selection.weighing import is_shown
from cliptune.workflows.fit_prepared import Prepared, choose, prepare
from cliptune.workflows.requirements import name_of
from cliptune.workflows.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.choosing import Chosen
    from cliptune.results.fitted import EncodersCompared
    from cliptune.workflows.fit_heads import HeadRequest
    from cliptune.workflows.session import Model

__all__ = ["compare_encoders"]


def compare_encoders(
    request: HeadRequest, methods: Sequence[str], session: Session, models: Sequence[Model]
) -> tuple[Prepared, Chosen, EncodersCompared | None]:
    """Choose among methods on all encoders side by side and on each alone, and keep one of these.

    All have the same test, which stays locked, and the same held-out images. All encoders were
    asked for and are the first guess; the best one alone, which costs less, takes their place
    where it is shown to lose no more than the margin.

    Args:
        request: What was asked for; its model is all of them.
        methods: Names of methods.
        session: Where and how to embed.
        models: The encoders, loaded or by name.

    Returns:
        What was prepared and chosen with the encoders that are kept; and how they compare, None
        where no image could be held out, so that all are kept as they were asked for.
    """
    asked, names = name_of(request.model), [name_of(one) for one in models]
    prepared = {asked: prepare(request, methods, (), session)}
    for sentence in prepared[asked].partition.notes:
        session.watch.note(sentence)
    for name, model in zip(names, models, strict=True):
        own = replace(request, model=model)
        prepared[name] = prepare(own, methods, (), session, alike=prepared[asked])
    groups = _together([prepared[name] for name in names])
    chosen = {name: choose(one, methods, request, groups=groups) for name, one in prepared.items()}
    if not chosen[asked].judged:
        return prepared[asked], chosen[asked], None
    found = _compare(asked, chosen, request.margin)
    session.watch.note(found.sentence)
    return prepared[found.kept], chosen[found.kept], found


def _together(prepared: Sequence[Prepared]) -> NDArray[np.int64]:
    """Group images that look alike to any encoder."""
    from cliptune.splits.duplicates import group_duplicates, join_groups

    first, *others = (group_duplicates(one.task.vectors) for one in prepared)
    for groups in others:
        first = join_groups(first, groups.astype(str))
    return first


def _compare(asked: str, chosen: Mapping[str, Chosen], margin: float) -> EncodersCompared:
    from cliptune.results.fitted import EncoderAnswers, EncodersCompared

    methods = {name: one.answer.method or one.answer.best for name, one in chosen.items()}
    judged = {
        name: replace(one.judged[methods[name]], graded=None)  # by hits, whatever is compared by
        for name, one in chosen.items()
    }
    alone = [name for name in judged if name != asked]
    best = max(alone, key=lambda name: (judged[name].accuracy, -judged[name].log_loss))
    gain = compare(judged[best], judged[asked])
    return EncodersCompared(
        asked=asked,
        kept=best if is_shown(gain, margin) else asked,
        answers={
            name: EncoderAnswers(method=methods[name], accuracy=one.accuracy, log_loss=one.log_loss)
            for name, one in judged.items()
        },
        best_alone=best,
        low=gain.low,
        high=gain.high,
        n=gain.n,
    )

"""Every candidate's answers for images that were held out.

It knows no method but zero-shot, which is always compared: what each can learn from stands in its
head's file, and how it answers without being fitted anew for every fold in ``shortcuts``. Choosing
among methods is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from cliptune.selection.candidates import Candidate, Pool, Setting
from cliptune.selection.folds import Folds
from cliptune.selection.methods import needed_rows, on_features
from cliptune.selection.refitted import refitted
from cliptune.selection.shortcuts import Given, Shortcut, find_shortcut
from cliptune.selection.subspace import span
from cliptune.system.usage import Usage

__all__ = ["cross_validate"]


def cross_validate(
    pool: Pool,
    folds: Folds,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any],
) -> Iterator[list[Candidate]]:
    """Give each method's candidates, one for each of the features, zero-shot first.

    Args:
        pool: The data.
        folds: What is left out, time after time.
        methods: Names in ``METHODS``.
        options: Arguments for the heads, zero-shot excepted; ``features`` names the only features
            to learn from.
    """
    subspace = cache(lambda features: span(pool.columns(features)))
    alone = dict(options)
    wanted = alone.pop("features", None)

    @cache
    def answers(method: str) -> list[Candidate]:
        untouched = method == "zero-shot"
        own = {} if untouched else alone
        kinds = _kinds(pool, method, None if untouched else wanted)
        given = Given(pool, folds, kinds, subspace, answers)
        shortcut = None if own else find_shortcut(method)
        if shortcut and shortcut.kinds:
            kinds = shortcut.kinds(given)
        return [_candidate(given, shortcut, method, features, own) for features in kinds]

    for method in dict.fromkeys(("zero-shot", *methods)):
        yield answers(method)


def _kinds(pool: Pool, method: str, wanted: str | None) -> tuple[str, ...]:
    """Return the features that a method may learn from here."""
    if wanted is not None:
        return ("both" if wanted == "trunk" else wanted,)
    if on_features(method):
        return pool.all_features
    return ("tokens" if "tokens" in needed_rows(method, {}) else "embedding",)


def _candidate(
    given: Given,
    shortcut: Shortcut | None,
    method: str,
    features: str,
    options: dict[str, Any],  # Any: arguments of any head
) -> Candidate:
    with Usage() as usage:
        if shortcut:
            setting = shortcut.answer(given, features)
        else:
            setting = _refit(given, method, features, options)
    return Candidate(
        method, features, setting.options, setting.logits, usage.seconds, usage.peak_bytes
    )


def _refit(
    given: Given,
    method: str,
    features: str,
    options: dict[str, Any],  # Any: as above
) -> Setting:
    """Answer by heads fitted anew, of the first repeat only: each takes as long as its method."""
    whole = {**options, "features": features} if on_features(method) else options
    return refitted(given.pool, given.folds.first_repeat(), method, whole)

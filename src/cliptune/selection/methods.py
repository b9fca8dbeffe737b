"""The methods that are compared, what each takes, and the names of the scores that compare.

A method is a head, and what is said of it here stands in that head's file: a new one needs no line
here. It loads neither NumPy nor torch, so that options can be checked before anything is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast, get_args

from cliptune.errors import UnknownNameError
from cliptune.heads import HEADS, Needs

__all__ = [
    "COMPARED",
    "CRITERIA",
    "FAVOURITE",
    "METHODS",
    "TRAINED",
    "Criterion",
    "affordable",
    "as_criterion",
    "check_criterion",
    "cost",
    "in_order",
    "needed_rows",
    "on_features",
]

# The scores that methods can be compared by; ``selection.criteria`` has them.
Criterion = Literal["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]
CRITERIA: tuple[str, ...] = get_args(Criterion)
# From the least to the most that has to be fitted, kept and explained.
METHODS: tuple[str, ...]
# What is compared where no method is named.
COMPARED: tuple[str, ...]
# Those trained by gradient, which would be trained anew for every fold.
TRAINED: tuple[str, ...]
# The best guess before anything was seen; another takes its place where it is shown to be better.
FAVOURITE = "blend"
_MOST_KEPT = 12_000
_PASSES = 330  # over the images, for all penalties, from the texts and from nothing
_PRODUCTS_A_MINUTE = 6e12  # floating point, of two cores
_MOST_MINUTES = 15


def __getattr__(name: str) -> tuple[str, ...]:
    """Read the lists of methods in the files of the heads, once one of them is asked for."""
    if name in ("METHODS", "COMPARED", "TRAINED"):
        return _lists()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _lists() -> Mapping[str, tuple[str, ...]]:
    facts = HEADS.facts
    methods = tuple(sorted(facts, key=lambda name: (facts[name].rank, name)))
    return {
        "METHODS": methods,
        "COMPARED": tuple(name for name in methods if facts[name].compared),
        "TRAINED": tuple(name for name in methods if facts[name].trained),
    }


def in_order(methods: Iterable[str]) -> list[str]:
    """Return methods as ``METHODS`` has them, what is no head behind them."""
    place = {name: number for number, name in enumerate(_lists()["METHODS"])}
    return sorted(methods, key=lambda name: place.get(name, len(place)))


def check_criterion(name: str) -> None:
    """Raise an UnknownNameError where there is no such score."""
    if name not in CRITERIA:
        raise UnknownNameError("criterion", name, CRITERIA)


def as_criterion(name: str) -> Criterion:
    """Return a name that was typed as the score of that name.

    Raises:
        UnknownNameError: There is none.
    """
    check_criterion(name)
    return cast("Criterion", name)


def cost(method: str) -> int:
    """Say what a method costs whoever uses it: 0 no labels, 1 a matrix, 2 images or patches."""
    if method == "zero-shot":
        return 0
    keeps = method in HEADS and HEADS.facts[method].keeps_images
    return 2 if keeps or _learns_from(method) == "tokens" else 1


def on_features(method: str) -> bool:
    """Say whether a method can learn from features before the projection."""
    return _learns_from(method) == "trunk"


def affordable(
    methods: Sequence[str], n: int, *, n_classes: int = 2, dim: int = 512, n_fits: int = 1
) -> tuple[list[str], list[str]]:
    """Return the methods worth comparing, and a sentence for each reason to leave some out.

    Args:
        methods: Names in ``METHODS``; one alone stays, whatever it takes.
        n: Images.
        n_classes: C.
        dim: Columns of the features.
        n_fits: How often a part of the images is learned from: folds times kinds of features.
    """
    minutes = _PASSES * 4 * n * n_classes * dim * n_fits / _PRODUCTS_A_MINUTE
    facts = {name: HEADS.facts[name] for name in methods if name in HEADS}
    keep = [name for name, said in facts.items() if said.keeps_images]
    iterated = [name for name, said in facts.items() if said.iterated]
    reasons = {
        f"they keep every image and there are {n:,}": keep if n > _MOST_KEPT else (),
        f"{n:,} images of {n_classes:,} classes would take them about {minutes:,.0f} minutes": (
            iterated if minutes > _MOST_MINUTES else ()
        ),
    }
    kept, notes = list(methods), []
    for reason, names in reasons.items():
        out = [name for name in kept if name in names]
        if not out or len(kept) == len(out):
            continue
        kept = [name for name in kept if name not in out]
        notes.append(
            f"not compared, because {reason}: {', '.join(out)}; name one as --method to fit it"
        )
    return kept, notes


def needed_rows(method: str, options: Mapping[str, Any]) -> set[str]:  # Any: arguments of a head
    """Return the rows that a method may learn from: ``pooled``, ``trunk`` or ``tokens``.

    Args:
        method: A name in ``METHODS``.
        options: Arguments of its head; ``features`` narrows them.
    """
    most = _learns_from(method)
    narrow = most == "trunk" and options.get("features") == "embedding"
    return {"pooled"} if narrow else {most}


def _learns_from(method: str) -> Needs:
    return HEADS.facts[method].learns_from if method in HEADS else "pooled"

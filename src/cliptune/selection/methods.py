"""The names of the methods that are compared, what each takes, and of the scores that compare.

It loads neither NumPy nor torch, so that options can be checked before anything is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

from cliptune.errors import UnknownNameError

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
    "needed_rows",
    "on_features",
]

# The scores that methods can be compared by; ``selection.criteria`` has them.
Criterion = Literal["accuracy", "balanced-accuracy", "macro-f1", "log-loss"]
CRITERIA: tuple[str, ...] = get_args(Criterion)
# From the least to the most that has to be fitted, kept and explained.
METHODS = (
    "zero-shot",
    "prototype",
    "discriminant",
    "linear",
    "blend",
    "linear-sgd",
    "dual-linear",
    "knn",
    "cache",
    "attention",
)
# What is compared where no method is named. The others are trained by gradient, and would be
# trained anew for every fold.
COMPARED = ("zero-shot", "prototype", "discriminant", "linear", "blend", "knn", "cache")
# The best guess before anything was seen; another takes its place where it is shown to be better.
FAVOURITE = "blend"
_ON_FEATURES = ("prototype", "discriminant", "linear", "blend")
TRAINED = ("linear-sgd", "dual-linear", "attention")
_KEEPS_IMAGES = ("knn", "cache")
_MOST_KEPT = 12_000
_ITERATED = ("linear", "blend")
_PASSES = 330  # over the images, for all penalties, from the texts and from nothing
_PRODUCTS_A_MINUTE = 6e12  # floating point, of two cores
_MOST_MINUTES = 15


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
    return 2 if method in (*_KEEPS_IMAGES, "attention") else 1


def on_features(method: str) -> bool:
    """Say whether a method can learn from features before the projection."""
    return method in _ON_FEATURES


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
    reasons = {
        f"they keep every image and there are {n:,}": _KEEPS_IMAGES if n > _MOST_KEPT else (),
        f"{n:,} images of {n_classes:,} classes would take them about {minutes:,.0f} minutes": (
            _ITERATED if minutes > _MOST_MINUTES else ()
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
    if method == "attention":
        return {"tokens"}
    narrow = options.get("features") == "embedding"
    return {"trunk"} if on_features(method) and not narrow else {"pooled"}

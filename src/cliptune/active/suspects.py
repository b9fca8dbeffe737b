"""Labels to look at again: those that others contradict, and look-alikes with different labels.

It sees vectors, labels and probabilities made without the image itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.splits.duplicates import find_duplicates

__all__ = ["Suspect", "find_suspects", "rank_label_errors"]


@dataclass(frozen=True)
class Suspect:
    """A label that may be wrong.

    Attributes:
        row: Which image.
        why: ``label-error``: the others say another class; ``duplicate``: an image that looks the
            same has another label.
        suggested: The class that it seems to be of.
        doubt: How probable it is that the label is wrong.
        twin: Of a duplicate, the other image.
    """

    row: int
    why: str
    suggested: int
    doubt: float
    twin: int | None = None


def find_suspects(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64] | None,
    *,
    n: int,
) -> list[Suspect]:
    """List the labels that are most probably wrong, look-alikes that contradict each other first.

    Args:
        vectors: float32 (N, D), unit rows of labelled images.
        labels: int64 (N,), 0..C-1.
        probabilities: float64 (N, C), made without the image itself; None where they cannot be.
        n: How many at most.
    """
    found: dict[int, Suspect] = {}
    pairs = find_duplicates(vectors)
    for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        if labels[first] == labels[second]:
            continue
        row, twin = _less_probable(first, second, labels, probabilities)
        found.setdefault(row, Suspect(row, "duplicate", int(labels[twin]), 1.0, twin))
    if probabilities is not None:
        order, doubts = rank_label_errors(labels, probabilities)
        best = probabilities.argmax(axis=1)
        for row in order[: 2 * n].tolist():
            if best[row] != labels[row]:
                suspect = Suspect(row, "label-error", int(best[row]), float(doubts[row]))
                found.setdefault(row, suspect)
    return list(found.values())[:n]


def rank_label_errors(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rank images by how probably their label is wrong, the surest first.

    The doubt is 1 minus the probability of the own class, over what that is where the most
    probable class is right: classes that are hard for all are no sign of wrong labels.

    Returns:
        int64 (N,), rows in order; float64 (N,), the doubt of each row.
    """
    own = probabilities[np.arange(len(labels)), labels]
    others = probabilities.copy()
    others[np.arange(len(labels)), labels] = 0
    rival = others.max(axis=1)
    order = np.argsort(own - rival, kind="stable")
    return order, rival / np.maximum(own + rival, 1e-12)


def _less_probable(
    first: int,
    second: int,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64] | None,
) -> tuple[int, int]:
    """Return the one of two whose label is less probable, then the other."""
    if probabilities is None:
        return second, first
    if probabilities[first, labels[first]] < probabilities[second, labels[second]]:
        return first, second
    return second, first

"""An offset for each class, by which scores decide: thresholds moved on held-out answers.

It sees scores and labels, and knows nothing about heads, folds or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.selection.criteria import grade_answers

__all__ = ["choose_offsets", "cross_fitted_offsets"]

_SPEAK = 3.0  # held-out images that must speak for the move of a class, net
_TAUS = (0.0, 0.25, -0.25, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0)
_SLACK = float(np.log(2))  # how far a class may move where all are as common
_STEP = 0.25  # how far beyond the last answer that speaks for a move
_MOST_SWEEPS = 5
_EPSILON = 1e-12
_PARTS = 5


def choose_offsets(
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    log_prior: NDArray[np.floating],
    *,
    select: str,
    repeats: float = 1.0,
    speak: float = _SPEAK,
) -> NDArray[np.float64]:
    """Return offsets b (C,) for which the answers argmax_c s_c + b_c have a high score.

    Moving the thresholds of calibrated probabilities is what the best answers by mean recall or
    by F1 take (arXiv:2007.07314, section 3; arXiv:1402.1892). First the multiple of the negative
    log-prior, from -1 to 1 by quarters, whose answers score best; then coordinate ascent from
    there, each class to the best of all borders between answers that its offset can pass. Two
    rules keep a class with few images from running away: no offset leaves ± (the range of the
    log-prior + log 2); and a move counts where g^2 >= 3 sum d_i^2 for its gain g and what each
    answer adds to it on the way, d_i, as three images do that all speak for it.

    Args:
        scores: (H, C) log-probabilities, up to a constant a row, for rows that were held out.
        labels: int64 (H,), 0..C-1.
        log_prior: (C,), of the rows that were learned from.
        select: ``accuracy``, ``balanced-accuracy`` or ``macro-f1``.
        repeats: How often each image was answered: so many answers speak as one image.
        speak: The 3 above.

    Returns:
        float64 (C,) with mean 0: an offset of all classes changes nothing.
    """
    prior = log_prior.astype(np.float64)
    centred = (prior.max() + prior.min()) / 2 - prior
    starts = [tau * centred for tau in (_TAUS if np.ptp(prior) else _TAUS[:1])]
    reached = [_score(scores + start, labels, select) for start in starts]
    best = int(np.argmax(np.round(reached, 12)))  # the first of equals, which moves least
    ascent = _Ascent.begin(scores, labels, starts[best], select)
    bound = float(np.ptp(prior)) + _SLACK
    for _ in range(_MOST_SWEEPS):
        moved = [
            ascent.move(c, bound, speak * repeats) for c in np.flatnonzero(ascent.sizes).tolist()
        ]
        if not any(moved):
            break
    found: NDArray[np.float64] = ascent.offsets - ascent.offsets.mean()
    return found


def cross_fitted_offsets(
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    log_prior: NDArray[np.floating],
    *,
    select: str,
    repeats: float,
    times: int,
    seed: int,
) -> Iterator[NDArray[np.float64]]:
    """Give scores (H, C) moved by offsets that were chosen on other images, time after time.

    Groups are divided into five parts, stratified by class; each part is moved by what
    ``choose_offsets`` finds on the other four.

    Args:
        scores: As ``choose_offsets`` takes them.
        labels: int64 (H,).
        groups: int64 (H,); answers of one number are in one part.
        log_prior: (C,).
        select: As ``choose_offsets`` takes it.
        repeats: Likewise.
        times: How often they are divided.
        seed: Of the division.
    """
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    for time in range(times):
        drawn = np.random.default_rng([seed, time, 41]).permutation(len(first))
        order = drawn[np.argsort(labels[first[drawn]], kind="stable")]
        part = np.empty(len(first), np.int64)
        part[order] = np.arange(len(first)) % _PARTS
        moved = scores.astype(np.float64)
        for number in range(_PARTS):
            here = part[member] == number
            if here.any() and not here.all():
                moved[here] += choose_offsets(
                    scores[~here], labels[~here], log_prior, select=select, repeats=repeats
                )
        yield moved


def _score(scores: NDArray[np.floating], labels: NDArray[np.int64], select: str) -> float:
    answers = scores.argmax(axis=1)
    return float(grade_answers(answers, labels, scores.shape[1], select).mean())


@dataclass
class _Ascent:
    """Offsets so far, and what is answered with them.

    Attributes:
        scores: float64 (H, C), moved.
        labels: int64 (H,).
        offsets: float64 (C,).
        macro: The score is macro F1; the mean of ``worth`` over right answers otherwise.
        worth: float64 (H,), what a right answer adds to the score.
        sizes: int64 (C,), labels of each class.
        first: int64 (H,), the class with the highest score.
        second: int64 (H,), the one behind it.
        hits: int64 (C,), right answers of each class.
        said: int64 (C,), answers of each class.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    offsets: NDArray[np.float64]
    macro: bool
    worth: NDArray[np.float64]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    hits: NDArray[np.int64]
    said: NDArray[np.int64]

    @classmethod
    def begin(
        cls,
        scores: NDArray[np.floating],
        labels: NDArray[np.int64],
        offsets: NDArray[np.float64],
        select: str,
    ) -> _Ascent:
        """Begin with some offsets."""
        n, n_classes = scores.shape
        sizes = np.bincount(labels, minlength=n_classes)
        worth = np.full(n, 1 / n)
        if select == "balanced-accuracy":
            worth = 1 / (np.count_nonzero(sizes) * sizes[labels])
        none, counts = np.zeros(n, np.int64), np.zeros(n_classes, np.int64)
        moved = scores.astype(np.float64) + offsets
        macro = select == "macro-f1"
        found = cls(
            moved, labels, offsets.copy(), macro, worth, sizes, none, none.copy(), counts, counts
        )
        found._rank(np.arange(n))
        found._count()
        return found

    def move(self, c: int, bound: float, speak: float) -> bool:
        """Move one class to where the score is highest; say whether that moved it."""
        rows = np.arange(len(self.labels))
        top = self.scores[rows, self.first]
        mine = self.first == c
        up = top - self.scores[:, c]
        down = np.where(mine, top - self.scores[rows, self.second], np.inf)
        up[mine] = np.inf
        found = [
            (gain, sign * by)
            for sign, gaps, others in ((1, up, self.first), (-1, down, self.second))
            for gain, by in self._best(c, sign, gaps, others, bound - sign * self.offsets[c], speak)
        ]
        if not found:
            return False
        self._shift(c, max(found)[1])
        return True

    def _best(
        self,
        c: int,
        sign: int,
        gaps: NDArray[np.float64],
        others: NDArray[np.int64],
        room: float,
        speak: float,
    ) -> list[tuple[float, float]]:
        """Return the highest gain and how far to go for it; nothing where none is shown.

        Args:
            c: The class.
            sign: 1 to have it answered more often, -1 more rarely.
            gaps: float64 (H,), how far until each answer becomes c, or another than c.
            others: int64 (H,), the class that is answered before or then.
            room: How far it may go.
            speak: Images that must speak for it, in answers.
        """
        rows = np.flatnonzero(gaps < room)
        if not len(rows):
            return []
        rows = rows[np.argsort(gaps[rows], kind="stable")]
        steps = self._steps(c, sign, rows, others[rows])
        gains, squares, at = np.cumsum(steps), np.cumsum(steps**2), gaps[rows]
        after = np.append(at[1:], room)
        shown = (after > at) & (gains > _EPSILON) & (gains**2 >= (speak - 1e-9) * squares)
        if not shown.any():
            return []
        best = int(np.argmax(np.where(shown, np.round(gains, 12), -1.0)))
        return [(float(gains[best]), float(at[best] + min((after[best] - at[best]) / 2, _STEP)))]

    def _steps(
        self, c: int, sign: int, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return what each answer adds to the score as it changes, one after the other."""
        own, their = self.labels[rows] == c, self.labels[rows] == others
        if not self.macro:
            plain: NDArray[np.float64] = sign * self.worth[rows] * (1.0 * own - their)
            return plain
        count = np.arange(1, len(rows) + 1)
        ours = self._f1(np.full(len(rows), c), sign * np.cumsum(own), sign * count)
        steps = np.diff(ours, prepend=self._f1(np.array([c]), 0, 0))
        order = np.argsort(others, kind="stable")  # each other class loses or wins its own
        grouped = others[order]
        begins = np.append(True, grouped[1:] != grouped[:-1])
        start = np.flatnonzero(begins)[np.cumsum(begins) - 1]
        hits = np.cumsum(their[order])
        hits = hits - hits[start] + their[order][start]
        theirs = self._f1(grouped, -sign * hits, -sign * (count - start))
        before = np.where(begins, self._f1(grouped, 0, 0), np.roll(theirs, 1))
        steps[order] += theirs - before
        changed: NDArray[np.float64] = steps / np.count_nonzero(self.sizes)
        return changed

    def _f1(
        self, c: NDArray[np.int64], hits: NDArray[np.int64] | int, said: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        """Return the F1 of classes with so many more right answers, and answers."""
        both = self.sizes[c] + self.said[c] + said
        found: NDArray[np.float64] = 2 * (self.hits[c] + hits) / np.maximum(both, 1)
        return found

    def _shift(self, c: int, by: float) -> None:
        """Move one class, and rank again where it is or comes near the top."""
        rows = np.arange(len(self.labels))
        near = (self.first == c) | (self.second == c)
        self.offsets[c] += by
        self.scores[:, c] += by
        near |= self.scores[:, c] >= self.scores[rows, self.second]
        self._rank(np.flatnonzero(near))
        self._count()

    def _rank(self, rows: NDArray[np.int64]) -> None:
        scores = self.scores[rows]
        place = np.arange(len(rows))
        self.first[rows] = first = scores.argmax(axis=1)
        scores[place, first] = -np.inf
        self.second[rows] = scores.argmax(axis=1)

    def _count(self) -> None:
        n_classes = len(self.sizes)
        right = self.first == self.labels
        self.hits = np.bincount(self.labels[right], minlength=n_classes)
        self.said = np.bincount(self.first, minlength=n_classes)

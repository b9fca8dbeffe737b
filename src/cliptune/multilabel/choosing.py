"""Which way of answering to take, by cross-validation on the images that may be learned from.

Zero-shot, discriminants and logistic regressions, one against the rest, on each kind of features;
the one that ships is fitted again on all of them. It knows no test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cliptune.multilabel.calibration import Calibration, fit_calibration
from cliptune.multilabel.metrics import DrawnAreas, mean_average_precision, resampled_weights
from cliptune.multilabel.scorers import LinearScorer, fit_discriminant, fit_linear, from_texts
from cliptune.splits.stratify import stratify
from cliptune.system.formatting import change, change_interval, percent

__all__ = ["MARGIN", "METHODS", "ChosenLabels", "FittedLabels", "LabelData", "choose_labels"]

METHODS = ("zero-shot", "discriminant", "linear")  # the cheaper first
MARGIN = 0.01  # of mean average precision
N_FOLDS = 5
_PENALTIES = tuple(float(p) for p in np.logspace(-1.5, -4.5, 7))


@dataclass(frozen=True)
class LabelData:
    """What is learned from.

    Attributes:
        features: float32 (N, D) by kind: ``embedding`` and, where there are any, ``penultimate``
            and ``both``.
        truth: bool (N, C).
        groups: int64 (N,): images of one group are left out together.
        text_rows: float32 (C, D), of the class texts.
        logit_scale: The encoder's factor on cosines.
        seed: Of everything random.
    """

    features: Mapping[str, NDArray[np.float32]]
    truth: NDArray[np.bool_]
    groups: NDArray[np.int64]
    text_rows: NDArray[np.float32]
    logit_scale: float
    seed: int


@dataclass(frozen=True)
class FittedLabels:
    """One way of answering.

    Attributes:
        method: One of ``METHODS``.
        features: What it takes.
        settings: Its penalty, where it has one.
        scorer: Fitted on all images.
        calibration: Learned from the answers below.
        held_out: float64 (N, C): scores by scorers that had not seen the image.
        areas: Their mean average precision.
        seconds: What it took.
    """

    method: str
    features: str
    settings: Mapping[str, float]
    scorer: LinearScorer
    calibration: Calibration
    held_out: NDArray[np.float64]
    areas: DrawnAreas
    seconds: float


@dataclass(frozen=True)
class ChosenLabels:
    """All ways and the one to take.

    Attributes:
        fitted: By method.
        recommended: The method to take.
        answer: ``train``, ``do-not-train`` or ``undecided``.
        gain: Of the best over zero-shot, in mean average precision, with its 95 % interval.
    """

    fitted: Mapping[str, FittedLabels]
    recommended: str
    answer: str
    gain: tuple[float, float, float]

    @property
    def sentence(self) -> str:
        """What to do and why, in words."""
        gain, low, high = self.gain
        best = self.fitted[self.recommended]
        ends = change_interval(low, high)
        by = f"{change(gain)} points of mAP over zero-shot on held-out images ({ends})"
        if self.answer == "do-not-train":
            return (
                f"Do not train: zero-shot is as good within the margin; the best method has {by}."
            )
        if self.answer == "undecided":
            return f"Undecided: {self.recommended} is the best guess, {by}; label more images."
        found = percent(best.areas.value)
        return f"Take {self.recommended} on {best.features} features: mAP {found}, {by}."


def choose_labels(
    data: LabelData,
    methods: Sequence[str],
    *,
    margin: float = MARGIN,
    features: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ChosenLabels:
    """Fit every method, and take the best, or a cheaper one that is shown to be as good.

    Args:
        data: Images to learn from.
        methods: Some of ``METHODS``; zero-shot is always looked at.
        margin: Mean average precision that a cheaper method may cost and still be as good.
        features: The only kind to learn from; the best by cross-validation otherwise.
        progress: Called with methods done and methods in all.
    """
    shares = [1 / N_FOLDS] * N_FOLDS
    folds = stratify(data.truth, data.groups, shares, seed=data.seed)
    weights = resampled_weights(len(data.truth), seed=data.seed)
    wanted = [m for m in METHODS if m == "zero-shot" or m in methods or "linear" in methods]
    fitted: dict[str, FittedLabels] = {}
    for done, method in enumerate(wanted):
        progress(done, len(wanted))
        kinds = [features] if features and method != "zero-shot" else list(data.features)
        fitted[method] = _fit(data, method, kinds, folds, weights, fitted)
    progress(len(wanted), len(wanted))
    fitted = {m: f for m, f in fitted.items() if m == "zero-shot" or m in methods}
    return _choose(fitted, margin)


def _fit(
    data: LabelData,
    method: str,
    kinds: Sequence[str],
    folds: NDArray[np.int64],
    weights: NDArray[np.float64],
    before: Mapping[str, FittedLabels],
) -> FittedLabels:
    began = time.perf_counter()
    if method == "zero-shot":
        scorer = from_texts(data.text_rows, data.logit_scale)
        held_out, kind = scorer.score(data.features["embedding"]), "embedding"
        settings: dict[str, float] = {}
    elif method == "discriminant":
        answers = {
            kind: _held_out(data.features[kind], data.truth, folds, _discriminant)[0]
            for kind in kinds
        }
        kind = max(kinds, key=lambda k: float(mean_average_precision(data.truth, answers[k])[0]))
        held_out, settings = answers[kind], {}
        scorer = fit_discriminant(data.features[kind], data.truth)
    else:  # on the features that suit discriminants: a path on each kind would take long
        kind = before["discriminant"].features
        paths = _held_out(data.features[kind], data.truth, folds, _linear_path)
        best = int(np.argmin([_loss(data.truth, path) for path in paths]))
        held_out, settings = paths[best], {"penalty": _PENALTIES[best]}
        scorer = fit_linear(data.features[kind], data.truth, _PENALTIES[: best + 1])[-1]
    calibration = fit_calibration(held_out, data.truth)
    areas = DrawnAreas.of(data.truth, held_out, weights)
    return FittedLabels(
        method, kind, settings, scorer, calibration, held_out, areas, time.perf_counter() - began
    )


def _discriminant(X: NDArray[np.float32], truth: NDArray[np.bool_]) -> list[LinearScorer]:
    return [fit_discriminant(X, truth)]


def _linear_path(X: NDArray[np.float32], truth: NDArray[np.bool_]) -> list[LinearScorer]:
    return fit_linear(X, truth, _PENALTIES)


def _held_out(
    X: NDArray[np.float32],
    truth: NDArray[np.bool_],
    folds: NDArray[np.int64],
    fit: Callable[[NDArray[np.float32], NDArray[np.bool_]], list[LinearScorer]],
) -> list[NDArray[np.float64]]:
    """Return, for each scorer that ``fit`` gives, its scores for the images it had not seen."""
    answers: list[NDArray[np.float64]] = []
    for fold in np.unique(folds).tolist():
        left_out = folds == fold
        for place, scorer in enumerate(fit(X[~left_out], truth[~left_out])):
            if place == len(answers):
                answers.append(np.zeros(truth.shape))
            answers[place][left_out] = scorer.score(X[left_out])
    return answers


def _loss(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0.0, scores) - truth * scores).mean())


def _choose(fitted: Mapping[str, FittedLabels], margin: float) -> ChosenLabels:
    best = max(fitted, key=lambda m: fitted[m].areas.value)
    gain = fitted["zero-shot"].areas.change_to(fitted[best].areas)
    recommended = best
    for method in METHODS:  # the cheaper first
        if method in fitted:
            lost = fitted[method].areas.change_to(fitted[best].areas)
            if method == best or lost[2] <= margin:
                recommended = method
                break
    answer = "undecided"
    if recommended == "zero-shot":
        answer = "do-not-train"
    elif gain[1] > 0:
        answer = "train"
    return ChosenLabels(fitted, recommended, answer, gain)

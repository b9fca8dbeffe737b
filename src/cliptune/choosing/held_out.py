"""Methods fitted on every image, and scored by what they answered where they had not learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cliptune.choosing.chosen import Chosen
from cliptune.classifiers.fitting import CrossValidation, Fitted
from cliptune.classifiers.head_data import HeadData, head_input
from cliptune.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature
from cliptune.evaluation.metrics import Score, compute_metrics, wilson_interval
from cliptune.heads import Head
from cliptune.heads.build import make_head
from cliptune.selection.answer import nothing_held_out
from cliptune.selection.candidates import Candidate, Pool
from cliptune.selection.class_thresholds import MovedThresholds
from cliptune.selection.folds import Folds
from cliptune.selection.judging import Judged
from cliptune.selection.kinds import favoured, held_out_loss
from cliptune.system.usage import Usage

if TYPE_CHECKING:
    from cliptune.heads.blend import BlendHead
    from cliptune.heads.discriminant import DiscriminantHead
    from cliptune.heads.linear import LinearHead

__all__ = ["HeldOut"]

# Where nothing can be chosen. One image a class: nearest class means on top of the texts.
_USUAL: Mapping[str, Mapping[str, Any]] = {"discriminant": {"shrinkage": 1.0, "mix": 0.02}}


@dataclass(frozen=True)
class HeldOut:
    """The images that a run learns from, which of them were held out when, and what was fitted.

    Attributes:
        task: Data.
        rows: int64 (n,), the images that are learned from.
        pool: The same images, as candidates take them.
        folds: Which of them were held out when.
        select: The score that methods are compared by.
        logits: Of held-out rows by method, where thresholds may move; None otherwise.
        alike: int64 (n,), images with one number look alike.
        heads: Those that were fitted.
        took: How long each method took, in seconds.
    """

    task: HeadData
    rows: NDArray[np.int64]
    pool: Pool
    folds: Folds
    select: str
    logits: dict[str, NDArray[np.float32]] | None
    alike: NDArray[np.int64]
    heads: list[Head] = field(default_factory=list)
    took: dict[str, float] = field(default_factory=dict)

    def fit_best(
        self, candidates: Sequence[Candidate], abstain_precision: float | None
    ) -> tuple[Fitted, Judged]:
        """Fit a method on every image, on the features and with the settings that suit it.

        Args:
            candidates: A method on one or several features.
            abstain_precision: As ``choose_methods`` takes it.
        """
        pool, folds = self.pool, self.folds
        losses = {one.features: held_out_loss(one, pool, folds) for one in candidates}
        best = favoured(candidates, pool, folds)
        labels = pool.labels[folds.rows[: len(best.logits)]]
        temperature = fit_temperature(best.logits, labels)
        probabilities = apply_temperature(best.logits, temperature)
        judged = Judged.of(probabilities, pool.labels, folds, select=self.select)
        head, seconds, peaks = self._fit_timed(best, candidates)
        if self.logits is not None:
            self.logits[best.method] = best.logits
        fitted = Fitted(
            name=best.method,
            head=head,
            temperature=temperature,
            threshold=None,
            val=None,
            val_correct=np.zeros(0, bool),
            epochs=tuple(head.history_),
            seconds=seconds,
            peak_bytes=max(peaks, default=None),
            features=best.features,
            settings=best.options,
        )
        losses = losses if len(losses) > 1 else {}
        return self.scored(fitted, probabilities, judged, losses, abstain_precision), judged

    def scored(
        self,
        fitted: Fitted,
        probabilities: NDArray[np.float64],
        judged: Judged,
        losses: Mapping[str, float],
        abstain_precision: float | None,
    ) -> Fitted:
        """Return a method with its scores on held-out images, and when it abstains."""
        folds = self.folds
        labels = self.pool.labels[folds.rows[: len(probabilities)]]
        once = len(folds.first_repeat().rows)  # the images of one repeat, each once
        threshold = None
        if abstain_precision is not None:
            threshold = choose_threshold(
                probabilities[:once], labels[:once], precision=abstain_precision
            )
        n_repeats = len(probabilities) // once
        found = CrossValidation(
            _mean_accuracy(judged), judged.log_loss, folds.n_folds, n_repeats, losses
        )
        names = self.task.class_names
        metrics = compute_metrics(
            labels[:once], probabilities[:once], class_names=names, seed=self.task.seed
        )
        return replace(
            fitted,
            threshold=threshold,
            val=replace(metrics, accuracy=found.accuracy),
            val_correct=probabilities[:once].argmax(axis=1) == labels[:once],
            cross_validation=found,
        )

    def without_choice(
        self, methods: Sequence[str], options: Mapping[str, Any], margin: float
    ) -> Chosen:
        """Fit methods with their usual settings where no image can be held out: one a class."""
        fitted = {}
        for method in dict.fromkeys(("zero-shot", *methods)):
            if method == "blend" and len(methods) > 1:
                continue  # its weights come from held-out answers
            own = {**_USUAL.get(method, {}), **({} if method == "zero-shot" else options)}
            with Usage() as usage:
                head = self._fit(method, own)
            fitted[method] = Fitted(
                name=method,
                head=head,
                temperature=1.0,
                threshold=None,
                val=None,
                val_correct=np.zeros(0, bool),
                epochs=tuple(head.history_),
                seconds=usage.seconds,
                peak_bytes=usage.peak_bytes,
                features=str(own.get("features", "embedding")),
                settings=own,
            )
        guess = "linear" if "linear" in fitted else list(fitted)[-1]
        note = (
            "no image can be held out: every class has a single image, or look-alikes only; usual "
            "settings, no temperature, and nothing is compared"
        )
        chosen = Chosen(fitted, nothing_held_out(guess, margin), (note,), self.rows, {})
        if self.logits is None:
            return chosen
        reason = "no image could be held out to choose them on"
        return replace(chosen, thresholds=MovedThresholds(None, self.select, False, reason=reason))

    def _fit_timed(
        self, best: Candidate, candidates: Sequence[Candidate]
    ) -> tuple[Head, float, list[int]]:
        """Fit on every image; return also what that and the comparison took."""
        with Usage() as usage:
            blended = self._blend(best)
            head = blended or self._fit(best.method, best.options)
        seconds = usage.seconds + sum(one.seconds for one in candidates)
        if blended is not None:  # its parts took their time before
            seconds += sum(self.took[part] for part in ("discriminant", "linear"))
        self.heads.append(head)
        self.took[best.method] = seconds
        peaks = [usage.peak_bytes, *(one.peak_bytes for one in candidates)]
        return head, seconds, [peak for peak in peaks if peak]

    def _blend(self, candidate: Candidate) -> Head | None:
        """Return a blend of heads that were fitted before; nothing where one of them was not."""
        if candidate.method != "blend":
            return None
        blend = cast("BlendHead", make_head("blend", candidate.options, seed=self.task.seed))
        fitted = {
            wanted.name: one
            for wanted in blend.parts()
            for one in self.heads
            if one.name == wanted.name and one.get_params() == wanted.get_params()
        }
        if len(fitted) < 2:
            return None
        return blend.combine(
            cast("DiscriminantHead", fitted["discriminant"]), cast("LinearHead", fitted["linear"])
        )

    def _fit(self, method: str, options: Mapping[str, Any]) -> Head:
        head = make_head(method, options, seed=self.task.seed)
        return head.fit(
            head_input(self.task, head, self.rows),
            self.pool.labels,
            text_rows=self.task.text_rows,
            logit_scale=self.task.logit_scale,
            soft_labels=self.pool.soft if head.takes_soft_labels else None,
        )


def _mean_accuracy(judged: Judged) -> Score:
    n = len(judged.images)
    low, high = wilson_interval(round(judged.accuracy * n), n)
    return Score(judged.accuracy, low, high, n, "Wilson, of the mean over repeats")

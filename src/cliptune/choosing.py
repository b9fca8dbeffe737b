"""Methods compared by cross-validation, and fitted again on every label outside the test.

It knows features, heads and scores; nothing about images, files or how results are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from cliptune.classifiers.fitting import CrossValidation, Fitted
from cliptune.classifiers.head_data import HeadData, head_input
from cliptune.errors import InputError
from cliptune.evaluation.calibration import apply_temperature, choose_threshold, fit_temperature
from cliptune.evaluation.metrics import Score, compute_metrics, wilson_interval
from cliptune.heads import Head
from cliptune.heads.balance import Balance, check_balance
from cliptune.heads.biased import has_bias
from cliptune.heads.build import make_head
from cliptune.selection.answer import Answer, answer, nothing_held_out
from cliptune.selection.candidates import Candidate, Pool
from cliptune.selection.class_thresholds import (
    MovedThresholds,
    check_moved_score,
    move_thresholds,
    not_moved,
)
from cliptune.selection.cross_validation import cross_validate
from cliptune.selection.folds import Folds, plan_folds
from cliptune.selection.judging import Judged
from cliptune.selection.kinds import MANY, favoured, held_out_loss
from cliptune.selection.methods import affordable, check_criterion
from cliptune.selection.unlabelled import (
    LearnedUnlabelled,
    Unlabelled,
    learn_unlabelled,
    not_learned,
)
from cliptune.splits.duplicates import group_duplicates, join_groups
from cliptune.system.usage import Usage

if TYPE_CHECKING:
    from cliptune.heads.blend import BlendHead
    from cliptune.heads.discriminant import DiscriminantHead
    from cliptune.heads.linear import LinearHead

__all__ = ["Chosen", "choose_methods"]

# Where nothing can be chosen. One image a class: nearest class means on top of the texts.
_USUAL: Mapping[str, Mapping[str, Any]] = {"discriminant": {"shrinkage": 1.0, "mix": 0.02}}


@dataclass(frozen=True)
class Chosen:
    """The methods that were fitted, and which of them to ship.

    Attributes:
        fitted: By name, zero-shot first; each fitted on every image outside the test.
        answer: The rule's answer.
        notes: What was done, one sentence each.
        rows: int64 (n,), the images that were learned from.
        judged: What each answered for images of these that it had not learned from, by position;
            nothing where none could be held out. Of the method whose thresholds or weights were
            moved, what it answered before.
        thresholds: What came of moving the thresholds of the method to ship, where that was asked.
        unlabelled: What came of images without labels, where some were given.
    """

    fitted: Mapping[str, Fitted]
    answer: Answer
    notes: tuple[str, ...]
    rows: NDArray[np.int64]
    judged: Mapping[str, Judged]
    thresholds: MovedThresholds | None = None
    unlabelled: LearnedUnlabelled | None = None


def choose_methods(
    task: HeadData,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any],  # Any: arguments of any head
    abstain_precision: float | None = None,
    margin: float = 0.01,
    cut: float | None = None,
    select: str = "accuracy",
    balance: Balance = "none",
    class_thresholds: bool = False,
    unlabelled: Unlabelled | None = None,
    groups: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    scored: Callable[[Fitted], None] = lambda fitted: None,
) -> Chosen:
    """Compare methods on images that each has not learned from; fit each on all of them.

    Args:
        task: Data; ``train`` and ``val`` together are what is learned from.
        methods: Names in ``selection.METHODS``; zero-shot is among them in any case.
        options: Arguments of the heads, zero-shot excepted.
        abstain_precision: Choose thresholds whose answers reach this precision.
        margin: How much of the score a cheaper method may cost.
        cut: Hold out a single share of the images instead of cross-validation.
        select: The score that methods are compared by, a name in ``CRITERIA``.
        balance: Of logistic regressions, and of the blends that hold them; see ``LinearHead``.
        class_thresholds: Move the threshold of each class of the method to ship, where held-out
            images say that this raises the score; see ``move_thresholds``.
        unlabelled: Images without labels, which move the method to ship unless held-out images
            show that this makes it worse; see ``learn_unlabelled``.
        groups: int64 (N,), images with one number look alike and are held out together; found
            from the vectors otherwise.
        progress: Called with methods done and methods in all.
        scored: Called with each method as soon as it was compared and fitted, zero-shot first.

    Raises:
        InputError: The margin is no share, a head does not take one of the options, or there is no
            such score, or thresholds do not change it.
    """
    if not 0 <= margin < 1:
        raise InputError(f"--margin {100 * margin:g} is no margin in points; give 0 or more")
    check_criterion(select)
    check_balance(balance)
    if class_thresholds:
        check_moved_score(select)
    rows = np.sort(np.concatenate([task.train, task.val]))
    pool = _pool(task, rows, balance)
    alike = group_duplicates(pool.vectors) if groups is None else groups[rows]
    if task.groups is not None:
        alike = join_groups(alike, task.groups[rows])
    folds = plan_folds(pool.labels, alike, n_classes=pool.n_classes, seed=task.seed, cut=cut)
    compared, notes = affordable(
        methods,
        len(rows),
        n_classes=pool.n_classes,
        dim=pool.columns(pool.all_features[-1]).shape[1],
        n_fits=len(folds.held) * (1 if len(rows) > MANY else len(pool.all_features)),
    )
    total = len(dict.fromkeys(("zero-shot", *compared)))
    logits: dict[str, NDArray[np.float32]] | None = {} if class_thresholds else None
    held = _HeldOut(task, rows, pool, folds, select, logits, alike)
    if not len(folds.rows):
        chosen = held.without_choice(compared, options, margin)
        return chosen if unlabelled is None else held.learn(chosen, None, unlabelled, None)
    fitted: dict[str, Fitted] = {}
    judged: dict[str, Judged] = {}
    progress(0, total)
    for candidates in cross_validate(pool, folds, compared, options=options):
        method = candidates[0].method
        fitted[method], judged[method] = held.fit_best(candidates, abstain_precision)
        progress(len(fitted), total)
        scored(fitted[method])
    found = answer(
        judged, margin=margin, chance=_chance(pool, select), seed=task.seed, select=select
    )
    said = (*_fold_notes(task, rows, folds), *_confidence_note(task, rows, fitted), *notes)
    chosen = Chosen(fitted, found, said, rows, judged)
    shipped = methods[0] if len(methods) == 1 else found.method
    if unlabelled is not None:
        chosen = held.learn(chosen, shipped, unlabelled, abstain_precision)
    return held.move(chosen, shipped, abstain_precision) if class_thresholds else chosen


def _pool(task: HeadData, rows: NDArray[np.int64], balance: Balance) -> Pool:
    return Pool(
        vectors=task.vectors[rows],
        trunk=None if task.trunk is None else task.trunk[rows],
        tokens=None if task.tokens is None else task.tokens[rows],
        labels=task.labels[rows],
        text_rows=task.text_rows,
        logit_scale=task.logit_scale,
        seed=task.seed,
        balance=balance,
        soft=None if task.soft_labels is None else task.soft_labels[rows],
    )


@dataclass(frozen=True)
class _HeldOut:
    """The images that a run learns from, which of them were held out when, and what was fitted."""

    task: HeadData
    rows: NDArray[np.int64]
    pool: Pool
    folds: Folds
    select: str
    logits: dict[str, NDArray[np.float32]] | None  # of held-out rows, where thresholds may move
    alike: NDArray[np.int64]  # by image
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
        return self._scored(fitted, probabilities, judged, losses, abstain_precision), judged

    def move(self, chosen: Chosen, shipped: str | None, abstain_precision: float | None) -> Chosen:
        """Move the thresholds of the method to ship, where that is worth it.

        Args:
            chosen: What was compared and fitted.
            shipped: The method to ship; None where none is recommended.
            abstain_precision: As ``choose_methods`` takes it.
        """
        if shipped is None or not has_bias(shipped):
            return replace(chosen, thresholds=not_moved(shipped, self.select))
        assert self.logits is not None  # thresholds were asked for
        before, labels = chosen.fitted[shipped], self.pool.labels
        found, moved, probabilities = move_thresholds(
            before,
            self.logits[shipped],
            chosen.judged[shipped],
            labels,
            self.alike,
            self.folds,
            select=self.select,
            seed=self.task.seed,
        )
        if found.kept:
            assert before.cross_validation is not None  # it was chosen by held-out answers
            losses = before.cross_validation.feature_losses
            judged = Judged.of(probabilities, labels, self.folds, select=self.select)
            moved = self._scored(moved, probabilities, judged, losses, abstain_precision)
        return replace(chosen, fitted={**chosen.fitted, shipped: moved}, thresholds=found)

    def learn(
        self,
        chosen: Chosen,
        shipped: str | None,
        unlabelled: Unlabelled,
        abstain_precision: float | None,
    ) -> Chosen:
        """Let images without labels move the method to ship, unless that is shown to be worse.

        Args:
            chosen: What was compared and fitted.
            shipped: The method to ship; None where none is recommended.
            unlabelled: The images.
            abstain_precision: As ``choose_methods`` takes it.
        """
        none_held = None if len(self.folds.rows) else "no image could be held out to try them on"
        refused = not_learned(shipped, len(unlabelled.vectors), none_held)
        if refused is not None:
            return replace(chosen, unlabelled=refused)
        assert shipped is not None  # it would have been refused
        before = chosen.fitted[shipped]
        found, moved, probabilities = learn_unlabelled(before, self.pool, self.folds, unlabelled)
        if found.kept:
            assert before.cross_validation is not None  # it was chosen by held-out answers
            losses = before.cross_validation.feature_losses
            judged = Judged.of(probabilities, self.pool.labels, self.folds, select=self.select)
            moved = self._scored(moved, probabilities, judged, losses, abstain_precision)
        return replace(chosen, fitted={**chosen.fitted, shipped: moved}, unlabelled=found)

    def _scored(
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


def _chance(pool: Pool, select: str) -> float:
    """Return what always naming one class reaches; of macro F1 it is no more than that."""
    if select in ("balanced-accuracy", "macro-f1"):
        return 1 / len(np.unique(pool.labels))
    return float(np.bincount(pool.labels).max() / len(pool.labels))


def _mean_accuracy(judged: Judged) -> Score:
    n = len(judged.images)
    low, high = wilson_interval(round(judged.accuracy * n), n)
    return Score(judged.accuracy, low, high, n, "Wilson, of the mean over repeats")


def _fold_notes(task: HeadData, rows: NDArray[np.int64], folds: Folds) -> list[str]:
    together = "near-duplicates" if task.groups is None else "near-duplicates and groups"
    notes = [
        f"methods are chosen on held-out images: {folds} (stratified, seed {task.seed}, "
        f"{together} on one side); each is then fitted on all {len(rows)}"
    ]
    if folds.n_folds > 1 and len(folds.never_held):
        kept = {task.class_names[label] for label in task.labels[rows[folds.never_held]]}
        notes.append(
            f"{len(folds.never_held)} images are never held out, because their class would be gone "
            f"without them: {', '.join(sorted(kept)[:10])}"
        )
    return notes


def _confidence_note(
    task: HeadData, rows: NDArray[np.int64], fitted: Mapping[str, Fitted]
) -> Sequence[str]:
    if task.soft_labels is None:
        return ()
    unsure = int((task.soft_labels[rows].max(axis=1) < 1).sum())
    takers = [name for name, one in fitted.items() if one.head.takes_soft_labels]
    who = f"{', '.join(takers)} learn from how sure they are" if takers else "no method uses that"
    return (
        f"{unsure} of these images have labels that are not certain: {who}; scores and other "
        "methods take the label itself",
    )

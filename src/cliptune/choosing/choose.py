"""Methods compared on images that each has not learned from, and fitted again on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.choosing.afterwards import learn_from_unlabelled, move_class_thresholds
from cliptune.choosing.chosen import Chosen
from cliptune.choosing.held_out import HeldOut
from cliptune.classifiers.fitting import Fitted
from cliptune.classifiers.head_data import HeadData
from cliptune.errors import InputError
from cliptune.heads.balance import Balance, check_balance
from cliptune.selection.answer import answer
from cliptune.selection.candidates import Pool
from cliptune.selection.class_thresholds import check_moved_score
from cliptune.selection.cross_validation import cross_validate
from cliptune.selection.folds import Folds, plan_folds
from cliptune.selection.judging import Judged
from cliptune.selection.kinds import MANY
from cliptune.selection.methods import affordable, check_criterion
from cliptune.selection.unlabelled import Unlabelled
from cliptune.splits.duplicates import group_duplicates, join_groups

__all__ = ["choose_methods"]


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
    held = HeldOut(task, rows, pool, folds, select, logits, alike)
    if not len(folds.rows):
        chosen = held.without_choice(compared, options, margin)
        return learn_from_unlabelled(held, chosen, None, unlabelled, None)
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
    chosen = learn_from_unlabelled(held, chosen, shipped, unlabelled, abstain_precision)
    if class_thresholds:
        chosen = move_class_thresholds(held, chosen, shipped, abstain_precision)
    return chosen


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


def _chance(pool: Pool, select: str) -> float:
    """Return what always naming one class reaches; of macro F1 it is no more than that."""
    if select in ("balanced-accuracy", "macro-f1"):
        return 1 / len(np.unique(pool.labels))
    return float(np.bincount(pool.labels).max() / len(pool.labels))


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

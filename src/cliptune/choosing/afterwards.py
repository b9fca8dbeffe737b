"""What is done to the method to ship once it was chosen, where held-out images say that it pays."""

from __future__ import annotations

from dataclasses import replace

from cliptune.choosing.chosen import Chosen
from cliptune.choosing.held_out import HeldOut
from cliptune.heads.biased import has_bias
from cliptune.selection.class_thresholds import move_thresholds, not_moved
from cliptune.selection.judging import Judged
from cliptune.selection.unlabelled import Unlabelled, learn_unlabelled, not_learned

__all__ = ["learn_from_unlabelled", "move_class_thresholds"]


def move_class_thresholds(
    held: HeldOut, chosen: Chosen, shipped: str | None, abstain_precision: float | None
) -> Chosen:
    """Move the thresholds of the method to ship, where that is worth it.

    Args:
        held: The images, and which of them were held out when.
        chosen: What was compared and fitted.
        shipped: The method to ship; None where none is recommended.
        abstain_precision: As ``choose_methods`` takes it.
    """
    if shipped is None or not has_bias(shipped):
        return replace(chosen, thresholds=not_moved(shipped, held.select))
    assert held.logits is not None  # thresholds were asked for
    before, labels = chosen.fitted[shipped], held.pool.labels
    found, moved, probabilities = move_thresholds(
        before,
        held.logits[shipped],
        chosen.judged[shipped],
        labels,
        held.alike,
        held.folds,
        select=held.select,
        seed=held.task.seed,
    )
    if found.kept:
        assert before.cross_validation is not None  # it was chosen by held-out answers
        losses = before.cross_validation.feature_losses
        judged = Judged.of(probabilities, labels, held.folds, select=held.select)
        moved = held.scored(moved, probabilities, judged, losses, abstain_precision)
    return replace(chosen, fitted={**chosen.fitted, shipped: moved}, thresholds=found)


def learn_from_unlabelled(
    held: HeldOut,
    chosen: Chosen,
    shipped: str | None,
    unlabelled: Unlabelled | None,
    abstain_precision: float | None,
) -> Chosen:
    """Let images without labels move the method to ship, unless that is shown to be worse.

    Args:
        held: The images, and which of them were held out when.
        chosen: What was compared and fitted.
        shipped: The method to ship; None where none is recommended.
        unlabelled: The images; None where there are none.
        abstain_precision: As ``choose_methods`` takes it.
    """
    if unlabelled is None:
        return chosen
    none_held = None if len(held.folds.rows) else "no image could be held out to try them on"
    refused = not_learned(shipped, len(unlabelled.vectors), none_held)
    if refused is not None:
        return replace(chosen, unlabelled=refused)
    assert shipped is not None  # it would have been refused
    before = chosen.fitted[shipped]
    found, moved, probabilities = learn_unlabelled(before, held.pool, held.folds, unlabelled)
    if found.kept:
        assert before.cross_validation is not None  # it was chosen by held-out answers
        losses = before.cross_validation.feature_losses
        judged = Judged.of(probabilities, held.pool.labels, held.folds, select=held.select)
        moved = held.scored(moved, probabilities, judged, losses, abstain_precision)
    return replace(chosen, fitted={**chosen.fitted, shipped: moved}, unlabelled=found)

"""Zero-shot in cross-validation: nothing is learned, so nothing is left out."""

from __future__ import annotations

from cliptune.heads.zero_shot import zero_shot_logits
from cliptune.selection.candidates import Setting
from cliptune.selection.shortcuts import Given, Shortcut

__all__ = ["SHORTCUT", "zero_shot"]


def zero_shot(given: Given, features: str) -> Setting:
    """Answer by the cosine to the class texts."""
    pool = given.pool
    rows = pool.vectors[given.folds.rows]
    return Setting({}, zero_shot_logits(rows, pool.text_rows, pool.logit_scale))


SHORTCUT = Shortcut(zero_shot)

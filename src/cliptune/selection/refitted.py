"""Heads without a closed form in cross-validation: fitted anew for every fold.

It knows heads by their protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cliptune.heads.build import make_head
from cliptune.selection.candidates import Pool, Setting
from cliptune.selection.folds import Folds

__all__ = ["refitted"]


def refitted(
    pool: Pool,
    folds: Folds,
    method: str,
    options: Mapping[str, Any],  # Any: arguments of any head
) -> Setting:
    """Answer by heads that were fitted without the held rows.

    Args:
        pool: The data.
        folds: What is left out.
        method: A name in ``HEADS``.
        options: Arguments of its constructor.
    """
    logits = np.empty((len(folds.rows), pool.n_classes), np.float32)
    for learned, held, place in folds.splits():
        head = make_head(method, options, seed=pool.seed)
        head.fit(
            pool.rows(learned, head.needs),
            pool.labels[learned],
            text_rows=pool.text_rows,
            logit_scale=pool.logit_scale,
            soft_labels=pool.soft_of(learned) if head.takes_soft_labels else None,
        )
        logits[place] = head.predict_logits(pool.rows(held, head.needs))
    return Setting(options, logits)

"""The end of a run: the best epoch's weights, LoRA merged, mixed with the start.

It knows nothing about how they were trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cliptune.finetuning.lora import merge_lora
from cliptune.finetuning.merge import ALPHAS, choose_alpha, interpolate
from cliptune.finetuning.records import (
    AlphaPoint,
    EpochRecord,
    Interpolation,
    Scores,
    TrainingOutcome,
)
from cliptune.finetuning.scoring import make_embedder
from cliptune.finetuning.session import Session
from cliptune.finetuning.validation import score_validation, score_watched

__all__ = ["finish"]

_PARITY_IMAGES = 8


def finish(
    session: Session,
    records: Sequence[EpochRecord],
    best_weights: Mapping[str, Tensor],
    *,
    best_epoch: int,
    stopped_early: bool,
) -> Iterator[Interpolation | TrainingOutcome]:
    """Put the chosen weights into the module.

    Without interpolation, the start is kept where no epoch did better on validation.

    Args:
        session: The run.
        records: The per-epoch table.
        best_weights: Of the trained epoch with the best validation.
        best_epoch: That epoch.
        stopped_early: Whether patience ran out.

    Yields:
        ``Interpolation`` if asked for, then ``TrainingOutcome``.
    """
    session.load_weights(best_weights)
    merge_error = _merge(session)
    interpolation = None
    if session.options.interpolate:
        # Merged updates of low rank are not quite the weights that were scored.
        scored = {} if session.lora else {0.0: records[0], 1.0: records[best_epoch]}
        interpolation, val = _interpolate(session, scored)
        yield interpolation
    elif records[best_epoch].val.is_better_than(records[0].val):
        val = records[best_epoch].val
    else:
        session.load_weights(session.start)
        best_epoch, val = 0, records[0].val
    yield TrainingOutcome(
        best_epoch=best_epoch,
        stopped_early=stopped_early,
        epochs=tuple(records),
        interpolation=interpolation,
        head=_head_arrays(session),
        merge_error=merge_error,
        val=val,
    )


def _merge(session: Session) -> float | None:
    if session.lora is None:
        return None
    images = session.data.val
    rows = np.arange(min(_PARITY_IMAGES, len(images)))
    names = images.class_names[:_PARITY_IMAGES] or ("a photo",)
    # In half precision rounding alone would differ by more than a faulty merge.
    embedder = make_embedder(session.encoder, session.processes, "fp32")

    def embed() -> list[Tensor]:
        return [embedder.embed_images(images, rows), embedder.embed_texts(names)]

    # cuDNN convolves in TF32, which rounds as coarsely.
    with torch.backends.cudnn.flags(enabled=False):
        return merge_lora(session.lora, embed)


def _interpolate(
    session: Session, scored: Mapping[float, EpochRecord]
) -> tuple[Interpolation, Scores]:
    """Score mixtures; what the weights at either end score is known where they are an epoch's."""
    trained = dict(session.trainee.named_parameters())
    end = {name: trained[name].detach().clone() for name in session.start}
    curve = []
    for alpha in ALPHAS:
        if known := scored.get(alpha):
            curve.append(AlphaPoint(alpha, known.val, known.watch))
            continue
        session.load_weights(interpolate(session.start, end, alpha))
        curve.append(AlphaPoint(alpha, score_validation(session), score_watched(session)))
    chosen = choose_alpha(curve)
    session.load_weights(interpolate(session.start, end, chosen.alpha))
    return Interpolation(chosen.alpha, tuple(curve)), chosen.val


def _head_arrays(session: Session) -> tuple[Any, Any] | None:  # Any: see TrainingOutcome
    head = session.trainee.head
    if head is None:
        return None
    with torch.no_grad():
        return head.weight.cpu().numpy().copy(), head.bias.cpu().numpy().copy()

"""Scores of a session's model as it is now: training images, validation images, watched data.

It knows nothing about steps or checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.finetuning.batches import Images
from cliptune.finetuning.head import fit_head
from cliptune.finetuning.records import EpochRecord, HeadRecord, Scores
from cliptune.finetuning.scoring import score_captions, score_logits
from cliptune.finetuning.session import Session
from cliptune.finetuning.texts import distinct_captions

__all__ = [
    "class_logits",
    "measure_epoch",
    "measure_start",
    "score_validation",
    "score_watched",
]

_TRAIN_SCORED = 1000


def measure_epoch(
    session: Session,
    epoch: int,
    *,
    loss: float | None = None,
    learning_rates: Mapping[str, float] | None = None,
    seconds_before: float = 0.0,
) -> EpochRecord:
    """Score the model on everything that the per-epoch table shows.

    Training accuracy is taken on at most 1,000 images, the same in every epoch, without
    augmentation and with the weights of this moment: it can be compared with validation's.

    Args:
        session: The run.
        epoch: Epochs done.
        loss: Mean training loss of the epoch.
        learning_rates: By group.
        seconds_before: What the epoch's training took.
    """
    began = time.perf_counter()
    train = session.data.train
    return EpochRecord(
        epoch=epoch,
        train=_score(session, train, _scored_rows(session)),
        val=score_validation(session),
        loss=loss,
        seconds=seconds_before + time.perf_counter() - began,
        learning_rates=dict(learning_rates or {}),
        watch=score_watched(session),
    )


def score_validation(session: Session) -> Scores:
    """Score the model on the validation images."""
    return _score(session, session.data.val, np.arange(len(session.data.val)))


def score_watched(session: Session) -> dict[str, Scores]:
    """Score the towers, zero-shot, on every data set that is only looked at."""
    scores = {}
    for name, watched in session.watch.items():
        images = watched.images
        rows = session.embed_images(images, np.arange(len(images)))
        texts = session.embedder.class_rows(images.class_names, watched.templates)
        logits = _scale(session) * rows @ texts.T
        scores[name] = score_logits(logits, torch.from_numpy(images.labels))
    return scores


def measure_start(session: Session) -> tuple[EpochRecord, HeadRecord | None]:
    """Score the model before training, and fit its linear head where there is one.

    Both rest on the same rows, each image embedded once; the head that is scored is not fitted yet.
    """
    if session.trainee.head is None:
        return measure_epoch(session, 0), None
    began = time.perf_counter()
    train, val = session.data.train, session.data.val
    scored = _scored_rows(session)
    # Of many images only those that are scored in every epoch are worth keeping.
    embed = session.embed_images if len(scored) == len(train) else session.embedder.embed_images
    rows = embed(train, np.arange(len(train)))
    val_rows = session.embed_images(val, np.arange(len(val)))
    record = EpochRecord(
        epoch=0,
        train=_score_labels(session, train, rows[torch.from_numpy(scored)], scored),
        val=_score_labels(session, val, val_rows, np.arange(len(val))),
        loss=None,
        seconds=time.perf_counter() - began,
        learning_rates={},
        watch=score_watched(session),
    )
    return record, _fit_head(session, rows, val_rows)


def _fit_head(session: Session, rows: Tensor, val_rows: Tensor) -> HeadRecord:
    """Fit the linear head on the features of the towers as they are, and put it in place."""
    began = time.perf_counter()
    head = session.trainee.head
    assert head is not None, "the caller has looked"
    labels, val_labels = (
        torch.from_numpy(images.labels) for images in (session.data.train, session.data.val)
    )
    fitted = fit_head((rows, labels), (val_rows, val_labels), head.cpu())
    head.load_state_dict(fitted.layer.state_dict())
    head.to(session.processes.device)
    return HeadRecord(fitted.l2, fitted.train, fitted.val, time.perf_counter() - began)


def _scored_rows(session: Session) -> NDArray[np.int64]:
    n_images = len(session.data.train)
    if n_images <= _TRAIN_SCORED:
        return np.arange(n_images)
    chosen = np.random.default_rng(session.options.seed).permutation(n_images)[:_TRAIN_SCORED]
    return np.sort(chosen)


def _score(session: Session, images: Images, rows: NDArray[np.int64]) -> Scores:
    embedded = session.embed_images(images, rows)
    if images.captions is not None:
        texts, own = distinct_captions([images.captions[row] for row in rows])
        return score_captions(embedded, session.embedder.embed_texts(texts), own, _scale(session))
    return _score_labels(session, images, embedded, rows)


def _score_labels(
    session: Session, images: Images, embedded: Tensor, rows: NDArray[np.int64]
) -> Scores:
    return score_logits(class_logits(session, embedded), torch.from_numpy(images.labels[rows]))


@torch.no_grad()
def class_logits(session: Session, rows: Tensor) -> Tensor:
    """Return logits (n, C) for unit rows (n, D): by the head, or else by the class texts."""
    head = session.trainee.head
    if head is not None:
        logits: Tensor = head(rows.to(session.processes.device))
        return logits.cpu()
    data = session.data
    texts = session.embedder.class_rows(data.train.class_names, data.templates)
    return _scale(session) * rows @ texts.T


def _scale(session: Session) -> float:
    return float(session.trainee.scale().detach())

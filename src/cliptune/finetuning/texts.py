"""Which texts a step compares its images with: each distinct one once.

It knows nothing about models; it turns labels or captions into texts and indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.finetuning.batches import Images
from cliptune.images import number_texts
from cliptune.prompts import fill_template

__all__ = ["StepTexts", "caption_texts", "class_texts", "distinct_captions"]

_STREAM = 1  # keeps these draws apart from those of order and views under the same seed


@dataclass(frozen=True)
class StepTexts:
    """Distinct texts and who they belong to.

    Attributes:
        texts: U distinct texts.
        text_of_image: int64 (N,), the text of each image of the batch.
        labels: int64 (N,), the class of each image, or of its caption.
    """

    texts: tuple[str, ...]
    text_of_image: NDArray[np.int64]
    labels: NDArray[np.int64]


def class_texts(
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    templates: Sequence[str],
    *,
    every_class: bool,
    seed: int,
    step: int,
) -> StepTexts:
    """Give one prompt to each class, its template drawn anew at every step.

    Args:
        labels: int64 (N,), values 0..C-1.
        class_names: C names.
        templates: Texts with one ``{}`` each.
        every_class: Include classes without an image in the batch, in class order.
        seed: Of the run.
        step: Steps done.
    """
    chosen = np.random.default_rng([seed, _STREAM, step]).integers(
        len(templates), size=len(class_names)
    )
    present = np.arange(len(class_names)) if every_class else np.unique(labels)
    texts = tuple(fill_template(templates[chosen[c]], class_names[c]) for c in present)
    return StepTexts(texts, np.searchsorted(present, labels), labels)


def caption_texts(images: Images, rows: NDArray[np.int64], *, seed: int, epoch: int) -> StepTexts:
    """Draw one caption of each image; equal captions are one text and one class."""
    assert images.captions is not None, "the caller has looked"
    drawn = []
    for row in rows:
        own = images.captions[row]
        rng = np.random.default_rng([seed, _STREAM, epoch, int(row)])
        drawn.append(own[int(rng.integers(len(own)))])
    distinct = tuple(dict.fromkeys(drawn))
    number = {text: position for position, text in enumerate(distinct)}
    index = np.asarray([number[text] for text in drawn], dtype=np.int64)
    return StepTexts(distinct, index, index)


def distinct_captions(captions: Sequence[Sequence[str]]) -> tuple[list[str], Tensor]:
    """Return each wording once, and bool (n, m): which wordings each of n images has."""
    texts = [text for own in captions for text in own]
    numbers = number_texts(texts)
    owners = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
    own = torch.zeros(len(captions), int(numbers.max(initial=-1)) + 1, dtype=torch.bool)
    own[torch.from_numpy(owners), torch.from_numpy(numbers)] = True
    first = np.unique(numbers, return_index=True)[1]
    return [texts[row] for row in first], own

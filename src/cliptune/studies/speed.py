"""How fast this machine is at what a study does: embedding images, texts, and training.

It knows encoders and images, and nothing about plans.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from cliptune.encoders import DualEncoder
from cliptune.errors import DataError
from cliptune.features.extract import extract
from cliptune.images import ImageTable
from cliptune.prompts import fill_template

if TYPE_CHECKING:
    from cliptune.finetuning.session import Session

__all__ = ["Speed", "TrainingSpeed", "measure_speed", "measure_training"]

_IMAGES, _WARM_UP = 96, 32
_TEXTS = 64
_TRAINED = 24


@dataclass(frozen=True)
class Speed:
    """What one encoder does in a second here, input included.

    Attributes:
        images: Images embedded a second.
        texts: Texts embedded a second.
    """

    images: float
    texts: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def measure_speed(encoder: DualEncoder, table: ImageTable, *, seed: int = 0) -> Speed:
    """Embed a few images and texts and take the time.

    Args:
        encoder: What embeds.
        table: The images of the study; few of them are read.
        seed: Of the sample.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(table))[:_IMAGES])
    batches = extract(encoder, table.select(rows), batch_size=_WARM_UP)
    began, done = time.perf_counter(), 0
    for number, batch in enumerate(batches):
        if number == 0 and len(rows) > _WARM_UP:
            began = time.perf_counter()
            continue
        done += len(batch.rows)
    images = done / (time.perf_counter() - began)
    names = table.class_names or ("image",)
    texts = [fill_template("a photo of a {}.", f"{names[k % len(names)]}") for k in range(_TEXTS)]
    encoder.encode_texts(texts[:8])
    began = time.perf_counter()
    encoder.encode_texts(texts)
    return Speed(images=images, texts=_TEXTS / (time.perf_counter() - began))


@dataclass(frozen=True)
class TrainingSpeed:
    """What training all weights of one encoder takes here, in seconds.

    Attributes:
        step: What a step takes whatever its size: the class texts and the update.
        image: What each image adds to a step.
        forward: One image through the tower as training scores it, input included.
    """

    step: float
    image: float
    forward: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    def slower(self, factor: float) -> TrainingSpeed:
        """Return the same on a machine that takes so many times as long."""
        return TrainingSpeed(self.step * factor, self.image * factor, self.forward * factor)


def measure_training(
    encoder: DualEncoder, table: ImageTable, *, templates: tuple[str, ...]
) -> TrainingSpeed:
    """Take the time of two training steps, a small and a larger one, and of scoring.

    Args:
        encoder: In fp32; its weights stay as they are.
        table: Labelled images, at least two.
        templates: Texts with one ``{}`` each.

    Raises:
        DataError: The encoder cannot be trained here.
    """
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.finetuning.data import TrainingData
    from cliptune.finetuning.options import FinetuneOptions
    from cliptune.finetuning.setup import open_session

    if not isinstance(encoder, TorchEncoder):
        raise DataError(f"{encoder.name!r} is no torch model, so its weights cannot be trained")
    large = min(_TRAINED, len(table))
    small = max(2, large // 4)
    options = FinetuneOptions(batch_size=large, micro_batch_size=large, augment="none", epochs=1)
    data = TrainingData(table, table, templates)
    with open_session(encoder, data, options, watch={}, trackers=(), folder=None) as session:
        _time_step(session, small)  # the first one allocates
        first, second = _time_step(session, small), _time_step(session, large)
        session.trainee.zero_grad(set_to_none=True)
        began = time.perf_counter()
        session.embedder.embed_images(table, np.arange(large))
        forward = (time.perf_counter() - began) / large
    return _split_steps((small, first), (large, second), forward=forward)


def _time_step(session: Session, n_images: int) -> float:
    """Return the seconds of a step's gradients; its images are read before."""
    from cliptune.checks.trial import compute_batch_gradients, make_step, take_batch

    step = make_step(session, take_batch(session, n_images))
    began = time.perf_counter()
    compute_batch_gradients(session, step)
    return time.perf_counter() - began


def _split_steps(
    small: tuple[int, float], large: tuple[int, float], *, forward: float
) -> TrainingSpeed:
    """Split the times of two steps, of (images, seconds), into what is fixed and what is not.

    An image costs at least what it takes forward: two times that are close together, or noise
    that turns them around, would make it free.
    """
    n_images, seconds = large
    slope = (seconds - small[1]) / max(n_images - small[0], 1)
    image = min(max(slope, forward), seconds / n_images)
    return TrainingSpeed(step=seconds - n_images * image, image=image, forward=forward)

"""How fast this machine is at what a study does: embedding images, texts, and training.

It knows encoders and images, and nothing about plans.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import numpy as np

from cliptune.encoders import DualEncoder
from cliptune.errors import DataError
from cliptune.features import extract
from cliptune.images import ImageTable
from cliptune.prompts import fill_template

__all__ = ["Speed", "measure_speed", "measure_training"]

_IMAGES, _WARM_UP = 96, 32
_TEXTS = 64
_TRAINED = 16


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


def measure_training(
    encoder: DualEncoder, table: ImageTable, *, templates: tuple[str, ...]
) -> float:
    """Return the seconds that one image takes in a step of training all weights.

    Args:
        encoder: In fp32; its weights stay as they are.
        table: Labelled images, at least two.
        templates: Texts with one ``{}`` each.

    Raises:
        DataError: The encoder cannot be trained here.
    """
    from cliptune.checks.trial import compute_batch_gradients, make_step, take_batch
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.finetune.data import TrainingData
    from cliptune.finetune.options import FinetuneOptions
    from cliptune.finetune.setup import open_session

    if not isinstance(encoder, TorchEncoder):
        raise DataError(f"{encoder.name!r} is no torch model, so its weights cannot be trained")
    size = min(_TRAINED, len(table))
    options = FinetuneOptions(batch_size=size, micro_batch_size=size, augment="none", epochs=1)
    data = TrainingData(table, table, templates)
    with open_session(encoder, data, options, watch={}, trackers=(), folder=None) as session:
        step = make_step(session, take_batch(session, size))
        compute_batch_gradients(session, step)
        began = time.perf_counter()
        compute_batch_gradients(session, step)
        seconds = time.perf_counter() - began
        session.trainee.zero_grad(set_to_none=True)
    return seconds / size

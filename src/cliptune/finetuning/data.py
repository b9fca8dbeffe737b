"""What a fine-tuning run learns from, and whether model, data and options go together.

It knows nothing about how training is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import DataError, InputError
from cliptune.features import DataIdentity
from cliptune.finetuning.batches import Images, resolve_batch_size
from cliptune.finetuning.options import FinetuneOptions

__all__ = ["TrainingData", "WatchData", "settle_options"]

_CONTRASTIVE = ("class-aware", "clip", "sigmoid")


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from, and what it chooses by.

    Attributes:
        train: Images with labels or captions.
        val: The same, apart from ``train``; everything is chosen on them.
        templates: Texts with one ``{}`` each, for class-labelled data.
        identity: Which images these are and what for, those of the locked test and those that
            are only watched among them. A run with checkpoints needs it: a checkpoint goes on
            with the same images only.
    """

    train: Images
    val: Images
    templates: tuple[str, ...] = ("a photo of a {}.",)
    identity: DataIdentity | None = None

    @property
    def has_captions(self) -> bool:
        """Whether texts belong to images one by one instead of to classes."""
        return self.train.captions is not None


@dataclass(frozen=True)
class WatchData:
    """Labelled images that are not trained on: what does the model still know of them?

    Attributes:
        images: Labelled images.
        templates: Texts with one ``{}`` each.
    """

    images: Images
    templates: tuple[str, ...] = ("a photo of a {}.",)


def settle_options(
    options: FinetuneOptions, data: TrainingData, encoder: TorchEncoder, *, precision: str
) -> FinetuneOptions:
    """Check that model, data and options go together, and fill in what they decide.

    A batch size of ``auto`` stays: only the machine can tell.

    Args:
        options: As asked for.
        data: Images.
        encoder: Its module trains.
        precision: What the towers will compute in.

    Returns:
        The options with loss, precision and, unless ``auto``, batch size.

    Raises:
        InputError: They contradict each other.
        DataError: Images lack labels, or there is no validation.
    """
    if encoder.precision != "fp32":
        raise InputError(
            f"the encoder came in {encoder.precision}, but training keeps its weights in fp32; "
            "load it with precision fp32 and choose the precision of training instead"
        )
    if not len(data.val):
        raise DataError("there is no validation image, and everything is chosen on them: give some")
    loss = _settle_loss(options, data)
    if not data.has_captions:
        _require_labels(data)
    asked = None if options.batch_size == "auto" else options.batch_size
    size = resolve_batch_size(asked, len(data.train), contrastive=loss in _CONTRASTIVE)
    return replace(
        options,
        loss=loss,
        precision=precision,
        batch_size="auto" if options.batch_size == "auto" else size,
    )


def _settle_loss(options: FinetuneOptions, data: TrainingData) -> str:
    if options.method == "head-then-full":
        loss = "cross-entropy"
    else:
        loss = options.loss or ("clip" if data.has_captions else "class-aware")
    if data.has_captions and loss in ("cross-entropy", "class-aware"):
        raise InputError(
            f"loss {loss} needs classes, but the data hold captions; use loss clip or sigmoid with "
            "method full or lora"
        )
    return loss


def _require_labels(data: TrainingData) -> None:
    for part, images in (("training", data.train), ("validation", data.val)):
        missing = int((images.labels < 0).sum())
        if missing:
            raise DataError(
                f"{missing} of the {len(images)} {part} images have no label; leave them out"
            )

"""From batches of rows to what a step takes: views of images, distinct texts, their parts.

It knows nothing about losses or optimisers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.encoders.preprocess import Preprocess
from cliptune.finetuning.augment import augment_image
from cliptune.finetuning.batches import Images, epoch_batches, iterate_pixels, shard
from cliptune.finetuning.entry import ImageEntry
from cliptune.finetuning.gradcache import Side
from cliptune.finetuning.scoring import Embedder
from cliptune.finetuning.step import StepInput
from cliptune.finetuning.texts import StepTexts, caption_texts, class_texts

__all__ = ["BatchSource"]

_STREAM = 2  # keeps the draws of views apart from those of order and prompts


@dataclass(frozen=True)
class BatchSource:
    """All steps of a run, each a function of seed, epoch and place.

    Attributes:
        images: Training images.
        templates: Texts with one ``{}`` each, for class-labelled data.
        embedder: Tokenises, knows this process and its device.
        preprocess: The model's input transform.
        augment: ``none``, ``light`` or ``strong``.
        balance: Draw every class equally often.
        batch_size: Images a step, over all processes.
        micro_batch_size: Images encoded at once.
        every_class: Texts of all classes, not only of those in the batch.
        with_texts: Whether the step has a text side at all.
        seed: Of the run.
        views: Views of each image; an epoch sees the one of its number, and after the last the
            first again.
        entry: Enters the image tower behind its frozen blocks; None: it is run as a whole.
    """

    images: Images
    templates: Sequence[str]
    embedder: Embedder
    preprocess: Preprocess
    augment: str
    balance: bool
    batch_size: int
    micro_batch_size: int
    every_class: bool
    with_texts: bool
    seed: int
    views: int
    entry: ImageEntry | None = None

    def fill(self, epoch: int) -> Iterator[tuple[int, int]]:
        """Compute the hidden states that an epoch lacks: images done and to do, bit by bit."""
        return iter(()) if self.entry is None else self.entry.fill(epoch)

    def steps(
        self, epoch: int, *, skip: int, image_trains: bool, text_trains: bool
    ) -> Iterator[tuple[int, StepInput]]:
        """Give the steps of an epoch after the first ``skip``, with the number of images."""
        batches = epoch_batches(
            self.images.labels,
            batch_size=self.batch_size,
            balance=self.balance,
            seed=self.seed,
            epoch=epoch,
        )
        own = [rows[shard(len(rows), *self._place)[0]] for rows in batches]
        for number, part in enumerate(self._load(own[skip:], epoch), start=skip):
            rows, step = batches[number], epoch * len(batches) + number
            trains = (image_trains, text_trains)
            yield len(rows), self.make_step(rows, part, epoch=epoch, step=step, trains=trains)

    def _load(self, batches: Sequence[NDArray[np.int64]], epoch: int) -> Iterator[Tensor]:
        """Give each batch's pixels, or its hidden states where the tower is entered later."""
        if self.entry is not None:
            for _ in self.fill(epoch):
                pass
            kept = self.entry.view(epoch)
            yield from (kept.rows.read(rows) for rows in batches)
            return
        view = epoch % self.views
        loaded = iterate_pixels(
            batches, lambda row: self.draw(row, view), n_threads=self.embedder.n_threads
        )
        yield from map(torch.from_numpy, loaded)

    def make_step(
        self,
        rows: NDArray[np.int64],
        inputs: Tensor,
        *,
        epoch: int,
        step: int,
        trains: tuple[bool, bool],
    ) -> StepInput:
        """Make one step.

        Args:
            rows: Images of the whole batch, (N,).
            inputs: Those of this process, n images: pixels, uint8 (n, 3, H, W), or hidden states
                where the tower is entered behind its frozen blocks.
            epoch: Epochs done; decides on captions.
            step: Steps done; decides on templates.
            trains: Whether gradients flow into the image tower, and into the text tower.
        """
        texts = self._texts(rows, epoch, step)
        parts = torch.split(inputs, self.micro_batch_size)
        entry = self.entry
        encode = self.embedder.encode_pixels if entry is None else entry.activations.tower.encode
        sides = [Side(parts, encode, trains[0])]
        sizes = [shard(len(rows), *self._place)[1]]
        if self.with_texts:
            side, text_sizes = self._text_side(texts.texts, trains[1])
            sides.append(side)
            sizes.append(text_sizes)
        device = self.embedder.device
        return StepInput(
            sides=sides,
            sizes=sizes,
            text_of_image=torch.from_numpy(texts.text_of_image).to(device),
            labels=torch.from_numpy(texts.labels).to(device),
        )

    @property
    def _place(self) -> tuple[int, int]:
        return self.embedder.rank, self.embedder.n_processes

    def draw(self, row: int, view: int) -> NDArray[np.uint8]:
        """Return one view of an image, uint8 (3, H, W)."""
        rng = np.random.default_rng([self.seed, _STREAM, view, row])
        image = self.images.load_image(row)
        return augment_image(image, self.preprocess, kind=self.augment, rng=rng)

    def _texts(self, rows: NDArray[np.int64], epoch: int, step: int) -> StepTexts:
        if self.images.captions is not None:
            return caption_texts(self.images, rows, seed=self.seed, epoch=epoch)
        return class_texts(
            self.images.labels[rows],
            self.images.class_names,
            self.templates,
            every_class=self.every_class,
            seed=self.seed,
            step=step,
        )

    def _text_side(self, texts: Sequence[str], trains: bool) -> tuple[Side, list[int]]:
        """Deal the texts to the processes; one without a text encodes the first for nothing."""
        own, sizes = shard(len(texts), *self._place)
        tokens = self.embedder.tokenize(list(texts[own]) or [texts[0]])
        n_kept = sizes[self.embedder.rank]

        def encode(part: Tensor) -> Tensor:
            return self.embedder.encode_tokens(part)[:n_kept]

        return Side(torch.split(tokens, self.micro_batch_size), encode, trains), sizes

"""How a model in training does on images that it is not trained on at this moment.

It knows nothing about steps or optimisers. Rows are embedded by all processes together; every
process gets all scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from cliptune.encoders.torch_encoder import TorchEncoder, is_convolutional
from cliptune.finetuning.batches import Images, iterate_pixels, shard
from cliptune.finetuning.gather import gather_rows
from cliptune.finetuning.processes import Processes
from cliptune.finetuning.records import Scores
from cliptune.finetuning.towers import (
    encode_images,
    encode_tokens,
    normalize_pixels,
    precision_context,
    to_device,
)
from cliptune.prompts import ensemble_rows
from cliptune.system.processors import usable_cores

__all__ = ["Embedder", "make_embedder", "remember_tokens", "score_captions", "score_logits"]

_IMAGES_AT_ONCE = 64
_TEXTS_AT_ONCE = 128
_TEXTS_REMEMBERED = 1 << 16  # 40 MB of ids


@dataclass(frozen=True)
class Embedder:
    """A model as functions, for inference.

    Attributes:
        encode_pixels: uint8 (B, 3, H, W) to unit rows.
        encode_tokens: int64 (T, L) on the host to unit rows.
        tokenize: Texts to ids.
        preprocess: From a picture to uint8 (3, H, W).
        device: Where rows are gathered.
        rank: This process.
        n_processes: Processes.
        n_threads: Images loaded at once.
    """

    encode_pixels: Callable[[Tensor], Tensor]
    encode_tokens: Callable[[Tensor], Tensor]
    tokenize: Callable[[list[str]], Tensor]
    preprocess: Callable[..., NDArray[np.uint8]]
    device: str
    rank: int
    n_processes: int
    n_threads: int

    @torch.no_grad()
    def embed_images(self, images: Images, rows: NDArray[np.int64]) -> Tensor:
        """Return float32 unit rows (n, D) on the host, in the order of ``rows``."""
        part, sizes = shard(len(rows), self.rank, self.n_processes)
        own = rows[part]
        batches = [own[i : i + _IMAGES_AT_ONCE] for i in range(0, len(own), _IMAGES_AT_ONCE)]

        def load(row: int) -> NDArray[np.uint8]:
            return self.preprocess(images.load_image(row))

        embedded = [
            self.encode_pixels(torch.from_numpy(pixels))
            for pixels in iterate_pixels(batches, load, n_threads=self.n_threads)
        ]
        return self._gather(embedded, sizes)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return float32 unit rows (T, D) on the host; every process embeds all of them."""
        parts = [
            self.encode_tokens(self.tokenize(list(texts[i : i + _TEXTS_AT_ONCE])))
            for i in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        return torch.cat(parts).cpu()

    def class_rows(self, class_names: Sequence[str], templates: Sequence[str]) -> Tensor:
        """Return one unit row a class (C, D): the mean of its prompts."""

        def encode(texts: list[str]) -> NDArray[np.float32]:
            rows: NDArray[np.float32] = self.embed_texts(texts).numpy()
            return rows

        return torch.from_numpy(ensemble_rows(encode, class_names, templates))

    def _gather(self, embedded: list[Tensor], sizes: Sequence[int]) -> Tensor:
        width = torch.tensor([embedded[0].shape[1] if embedded else 0], device=self.device)
        if len(sizes) > 1:  # a process without rows learns their length from the others
            torch.distributed.all_reduce(width, op=torch.distributed.ReduceOp.MAX)
        own = torch.cat(embedded) if embedded else torch.zeros(0, int(width), device=self.device)
        return gather_rows(own, sizes).cpu()


def make_embedder(encoder: TorchEncoder, processes: Processes, precision: str) -> Embedder:
    """Give the encoder's module as functions that compute in the precision of training."""
    model, preprocess, device = encoder.model, encoder.preprocess, processes.device
    channels_last = is_convolutional(model)

    def encode_pixels(pixels: Tensor) -> Tensor:
        on_device = to_device(pixels, device)
        images = normalize_pixels(on_device, preprocess, channels_last=channels_last)
        with precision_context(device, precision):
            return encode_images(model, images)

    def encode_ids(tokens: Tensor) -> Tensor:
        with precision_context(device, precision):
            return encode_tokens(model, tokens)

    return Embedder(
        encode_pixels=encode_pixels,
        encode_tokens=encode_ids,
        tokenize=remember_tokens(encoder.tokenizer),
        preprocess=preprocess,
        device=device,
        rank=processes.rank,
        n_processes=processes.count,
        n_threads=max(1, usable_cores() // processes.count),
    )


def remember_tokens(tokenize: Callable[[list[str]], Tensor]) -> Callable[[list[str]], Tensor]:
    """Tokenise each text once: the same prompts come at every step, and a GPU waits for them."""

    @lru_cache(_TEXTS_REMEMBERED)
    def ids_of(text: str) -> Tensor:
        return tokenize([text])[0]

    return lambda texts: torch.stack([ids_of(text) for text in texts])


def score_logits(logits: Tensor, labels: Tensor) -> Scores:
    """Score logits (n, C) against labels (n,)."""
    accuracy = float((logits.argmax(dim=1) == labels).double().mean())
    return Scores(accuracy, float(cross_entropy(logits.double(), labels)), len(labels))


def score_captions(images: Tensor, texts: Tensor, own: Tensor, scale: float) -> Scores:
    """Score image-to-text retrieval: is the nearest caption one of the image's own?

    Args:
        images: (n, D), unit rows.
        texts: (m, D), unit rows of all captions that differ.
        own: bool (n, m), which of them each image has.
        scale: Factor on cosines.
    """
    logits = (scale * images @ texts.T).double()
    hits = own[torch.arange(len(images)), logits.argmax(dim=1)]
    mass = logits.log_softmax(dim=1).masked_fill(~own, -torch.inf).logsumexp(dim=1)
    return Scores(float(hits.double().mean()), float(-mass.mean()), len(images))

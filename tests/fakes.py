"""Small real stand-ins for what is large: an encoder of one random projection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import InputError

_CELLS = 4


@dataclass
class TinyEncoder:
    """A ``DualEncoder``: mean colours of a 4 x 4 grid, or counts of letters, times a matrix.

    Equal pixels give equal embeddings and near ones near ones. A text of one class's name and
    that class's images have nothing in common.

    Attributes:
        seed: Another seed is another matrix, and so another fingerprint.
        n_images: Images embedded so far.
        batch_sizes: Size of each batch of images so far.
        texts: Texts embedded so far.
    """

    name: str = "tiny"
    dim: int = 16
    seed: int = 0
    logit_scale: float = 20.0
    context_length: int = 77
    preprocess: Preprocess = field(default_factory=lambda: Preprocess(size=(32, 32)))
    precision: str = "fp32"
    device: str = "cpu"
    n_images: int = 0
    batch_sizes: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.image_weight = rng.standard_normal((3 * _CELLS**2, self.dim)).astype(np.float32)
        self.text_weight = rng.standard_normal((128, self.dim)).astype(np.float32)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.image_weight.tobytes() + self.text_weight.tobytes())
        return digest.hexdigest()

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.n_images += len(pixels)
        self.batch_sizes.append(len(pixels))
        grid = self._grid(pixels)
        return _unit(grid.reshape(len(grid), -1) @ self.image_weight)

    def encode_tokens(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        grid = self._grid(pixels).reshape(len(pixels), 3, -1).transpose(0, 2, 1)
        tokens: NDArray[np.float32] = grid @ self.image_weight[:3]
        return tokens

    def encode_trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        grid = self._grid(pixels).reshape(len(pixels), -1)
        return np.concatenate([_unit(grid @ self.image_weight), _unit(grid)], axis=1)

    def encode_texts(self, texts: Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        for text in texts:
            if len(text) > self.context_length and not truncate:
                raise InputError(f"{text!r} has {len(text)} letters, more than 77; shorten it")
        self.texts.extend(texts)
        cut = [text[: self.context_length].encode("ascii", "replace") for text in texts]
        counts = [np.bincount(np.frombuffer(t, np.uint8), minlength=128) for t in cut]
        return _unit((1.0 + np.array(counts, np.float32)) @ self.text_weight)

    def encode_alone(
        self, kind: str, inputs: NDArray[np.uint8] | Sequence[str]
    ) -> NDArray[np.float32]:
        """Compute without counting: a check is no embedding."""
        plain = TinyEncoder(
            name=self.name, dim=self.dim, seed=self.seed, preprocess=self.preprocess
        )
        if isinstance(inputs, np.ndarray):
            encode = {"tokens": plain.encode_tokens, "trunk": plain.encode_trunk}
            return encode.get(kind, plain.encode_images)(inputs)
        return plain.encode_texts(inputs, truncate=True)

    def _grid(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        b, c, h, w = pixels.shape
        blocks = self.preprocess.normalize(pixels).reshape(
            b, c, _CELLS, h // _CELLS, _CELLS, w // _CELLS
        )
        return blocks.mean(axis=(3, 5))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / norms).astype(np.float32)

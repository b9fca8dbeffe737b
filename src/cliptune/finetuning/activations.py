"""Hidden states of images behind a tower's frozen blocks, computed once per view and kept.

Training then enters the tower at its border. It knows nothing about losses, epochs or steps.
Rows are computed in blocks of fixed images, so that neither the order of steps nor a kill
changes a bit of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.finetuning.batches import iterate_pixels
from cliptune.finetuning.border import TowerCut
from cliptune.finetuning.kept_rows import KeptRows, row_bytes
from cliptune.finetuning.scoring import Embedder

__all__ = [
    "TOLERANCE",
    "Activations",
    "EnteredTower",
    "KeptImages",
    "dtype_of",
    "enter_images",
    "leave",
]

_BLOCK = 64
TOLERANCE = 1e-5  # of unit rows, between a tower entered at its border and run as a whole
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_log = logging.getLogger(__name__)
Load = Callable[[int], NDArray[np.uint8]]


def dtype_of(precision: str) -> torch.dtype:
    """Return what hidden states are kept in: the precision that the towers compute in."""
    return _DTYPES.get(precision, torch.float32)


@dataclass(frozen=True)
class KeptImages:
    """One view of some images.

    Attributes:
        rows: Their hidden states.
        load: From an image's number to the pixels of this view, uint8 (3, H, W).
        n_images: How many there are.
    """

    rows: KeptRows
    load: Load
    n_images: int


@dataclass(frozen=True)
class EnteredTower:
    """An image tower that is entered at its border.

    Attributes:
        cut: The tower.
        embedder: The model as functions.
        shape: Of one image's hidden states.
        dtype: They come in, and go on in.
        blank: uint8 (1, 3, H, W); what the tower's first layer sees when it is entered.
    """

    cut: TowerCut
    embedder: Embedder
    shape: tuple[int, ...]
    dtype: torch.dtype
    blank: Tensor

    def leave(self, pixels: Tensor) -> Tensor:
        """Run the frozen blocks: uint8 (B, 3, H, W) to hidden states (B, ...)."""
        return leave(self.cut, self.embedder, pixels)

    def encode(self, hidden: Tensor) -> Tensor:
        """Go on from hidden states (B, ...) to float32 unit rows (B, D), with gradients."""
        on_device = hidden.to(self.embedder.device, self.dtype)
        with self.cut.entered(on_device):
            return self.embedder.encode_pixels(self.blank)


@dataclass(frozen=True)
class Activations:
    """A tower that is entered at its border, and where its hidden states are kept.

    Attributes:
        tower: The tower.
        folder: Of this model, border and precision.
        dtype: Hidden states are kept in.
    """

    tower: EnteredTower
    folder: Path
    dtype: torch.dtype

    @property
    def image_bytes(self) -> int:
        """Size of one image's hidden states on disk."""
        return row_bytes(self.tower.shape, self.dtype)

    def open(self, contents: Sequence[str], view: str, load: Load) -> KeptImages:
        """Open the file of one view of some images.

        Args:
            contents: Digest of each of N images.
            view: What is done to them: its name and whatever it depends on.
            load: From an image's number to its pixels in this view.

        Raises:
            UnavailableError: The place cannot be written to.
        """
        described = json.dumps([list(contents), view]).encode("utf-8", "backslashreplace")
        name = hashlib.sha256(described).hexdigest()[:32]
        rows = KeptRows(self.folder / name, len(contents), self.tower.shape, self.dtype)
        return KeptImages(rows, load, len(contents))

    @torch.no_grad()
    def fill(self, kept: KeptImages, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Compute what these rows lack, whole blocks of images at a time.

        Yields:
            Images done and images to do, after each block.

        Raises:
            UnavailableError: The disk is full.
        """
        wanted = [
            np.arange(start * _BLOCK, min((start + 1) * _BLOCK, kept.n_images))
            for start in np.unique(rows // _BLOCK)
        ]
        lacking = [block for block in wanted if kept.rows.lacks(block)]
        total, done = sum(map(len, lacking)), 0
        loaded = iterate_pixels(lacking, kept.load, n_threads=self.tower.embedder.n_threads)
        for block, pixels in zip(lacking, loaded, strict=True):
            kept.rows.write(block, self.tower.leave(torch.from_numpy(pixels)))
            done += len(block)
            yield done, total

    @torch.no_grad()
    def embed(self, kept: KeptImages, rows: NDArray[np.int64]) -> Tensor:
        """Return float32 unit rows (n, D) on the host; fills what is lacking."""
        for _ in self.fill(kept, rows):
            pass
        parts = [
            self.tower.encode(kept.rows.read(rows[start : start + _BLOCK])).cpu()
            for start in range(0, len(rows), _BLOCK)
        ]
        return torch.cat(parts)


def leave(cut: TowerCut, embedder: Embedder, pixels: Tensor) -> Tensor:
    """Run an image tower up to its border: uint8 (B, 3, H, W) to (B, ...)."""
    return cut.leave(lambda: embedder.encode_pixels(pixels))


@torch.no_grad()
def enter_images(cut: TowerCut, embedder: Embedder, pixels: Tensor) -> EnteredTower | None:
    """Enter an image tower at its border, if it then gives the rows that it gives as a whole.

    Args:
        cut: The tower.
        embedder: The model as functions.
        pixels: uint8 (B, 3, H, W), B at least 2, for a trial.

    Returns:
        The tower, or None where something behind the border looks at more than the hidden states.
    """
    whole, blank = embedder.encode_pixels(pixels), torch.zeros_like(pixels[:1])
    try:
        hidden = leave(cut, embedder, pixels)
        tower = EnteredTower(cut, embedder, tuple(hidden.shape[1:]), hidden.dtype, blank)
        entered = tower.encode(hidden)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        _log.info("the image tower cannot be entered behind its frozen blocks (%s)", error)
        return None
    if entered.shape != whole.shape or len(hidden) != len(pixels):
        return None
    off = float((entered - whole).abs().max())
    if not off <= TOLERANCE:
        _log.info("the image tower entered behind its frozen blocks is off by %.1e", off)
        return None
    return tower

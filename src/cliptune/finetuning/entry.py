"""Whether a run enters its image tower behind the frozen blocks, and with which views of images.

It knows nothing about steps or losses. A fully frozen text tower is treated alike: its prompts
are embedded once.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import InputError
from cliptune.features import ACTIVATIONS, DataIdentity
from cliptune.finetuning.activations import (
    Activations,
    EnteredTower,
    KeptImages,
    dtype_of,
    enter_images,
    leave,
)
from cliptune.finetuning.batches import Images
from cliptune.finetuning.border import Border, TowerCut, find_border
from cliptune.finetuning.groups import GroupPlan
from cliptune.finetuning.kept_rows import row_bytes
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.scoring import Embedder
from cliptune.system.formatting import size

if TYPE_CHECKING:
    from cliptune.images import ImageTable

__all__ = [
    "FREE_SHARE",
    "ActivationPlace",
    "ImageEntry",
    "View",
    "open_entry",
    "remember_prompts",
    "settle_views",
]

_TRIAL_IMAGES = 2
FREE_SHARE = 0.5  # of the disk's free space, where no limit came
_VIEWS = 4
_log = logging.getLogger(__name__)
View = Callable[[int, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class ActivationPlace:
    """Where hidden states may be kept.

    Attributes:
        folder: For those of all models; may be shared by several processes.
        contents: From images to the digest of each.
        max_bytes: Most that this run may keep; None: half of what is free, and none of it where
            that is too little.
    """

    folder: Path
    contents: Callable[[Images], Sequence[str]]
    max_bytes: int | None = None

    @classmethod
    def in_cache(
        cls,
        cache_dir: Path,
        identity: DataIdentity,
        *,
        prefixes: Mapping[int, str] | None = None,
        max_bytes: int | None = None,
    ) -> ActivationPlace:
        """Return the cache's own place.

        Args:
            cache_dir: The cache.
            identity: Which images there are, and what is in them; tables of images name them so.
            prefixes: Of names in the record, by ``id`` of a table.
            max_bytes: As above.
        """
        known = dict(zip(identity.ids, identity.contents, strict=True))

        def contents(images: Images) -> list[str]:
            prefix = (prefixes or {}).get(id(images), "")
            return [known[prefix + name] for name in cast("ImageTable", images).ids]

        return cls(cache_dir / ACTIVATIONS, contents, max_bytes)


@dataclass(frozen=True)
class ImageEntry:
    """A tower that is entered at its border, and the images it is entered with.

    Attributes:
        activations: Computes and keeps.
        views: Training images, one entry a view; view ``epoch % len(views)`` serves an epoch.
        place: Where, and how images are told apart.
        n_bytes: What the training views take on disk.
    """

    activations: Activations
    views: tuple[KeptImages, ...]
    place: ActivationPlace
    n_bytes: int
    _plain: dict[tuple[int, bytes], KeptImages] = field(default_factory=dict)

    def view(self, epoch: int) -> KeptImages:
        """Return the training images as an epoch sees them."""
        return self.views[epoch % len(self.views)]

    def fill(self, epoch: int) -> Iterator[tuple[int, int]]:
        """Compute what an epoch's view lacks; images done and to do after each block."""
        kept = self.view(epoch)
        return self.activations.fill(kept, np.arange(kept.n_images))

    def embed(self, images: Images, rows: NDArray[np.int64]) -> Tensor:
        """Return float32 unit rows (n, D) of images without augmentation."""
        key = (id(images), rows.tobytes())
        if key not in self._plain:
            self._plain[key] = self._open_plain(images, rows)
        return self.activations.embed(self._plain[key], np.arange(len(rows)))

    def close(self) -> None:
        """Close all files."""
        for kept in (*self.views, *self._plain.values()):
            kept.rows.close()

    def _open_plain(self, images: Images, rows: NDArray[np.int64]) -> KeptImages:
        contents = self.place.contents(images)
        preprocess = self.activations.tower.embedder.preprocess
        return self.activations.open(
            [contents[row] for row in rows.tolist()],
            "plain",
            lambda number: preprocess(images.load_image(int(rows[number]))),
        )


def settle_views(
    options: FinetuneOptions, plans: Sequence[GroupPlan], *, keeps: bool
) -> FinetuneOptions:
    """Say how many views of each image a run sees, where that was left open.

    Where lower blocks never train and their output can be kept, four; else as many as epochs,
    which is a new one in each.

    Args:
        options: As asked for.
        plans: Of all groups.
        keeps: Whether there is a place to keep hidden states in.
    """
    few = keeps and find_border(plans, "image") is not None
    views = options.views or (_VIEWS if few else options.epochs)
    return replace(options, views=1 if options.augment == "none" else min(views, options.epochs))


@contextmanager
def open_entry(
    encoder: TorchEncoder,
    train: Images,
    plans: Sequence[GroupPlan],
    options: FinetuneOptions,
    embedder: Embedder,
    place: ActivationPlace | None,
    view: View,
) -> Iterator[ImageEntry | None]:
    """Open the files of a run whose lower blocks never train; None where that cannot be.

    Args:
        encoder: Its module trains.
        train: Training images.
        plans: Of all groups.
        options: Settled.
        embedder: The model as functions.
        place: Where; None: nowhere.
        view: From an image's number and a view's to pixels, uint8 (3, H, W).

    Raises:
        InputError: The views need more than the place may hold.
        UnavailableError: The place cannot be written to.
    """
    border = find_border(plans, "image")
    if place is None or border is None or embedder.n_processes > 1:
        yield None
        return
    pixels = _trial_pixels(train, embedder)
    tower = enter_images(TowerCut(encoder.model, border), embedder, pixels)
    if tower is None:
        yield None
        return
    activations = _activations(encoder, tower, border, options, place)
    if not _fits(activations, len(train), options, place):
        if place.max_bytes is None:
            yield None
            return
        deeper = partial(_bytes_at, encoder.model, embedder, pixels, activations.dtype)
        raise _too_large(activations, len(train), border, options, place.max_bytes, deeper)
    assert options.views is not None, "settle_views filled it in"
    contents = place.contents(train)
    views = tuple(
        activations.open(contents, _view_name(options, number), _numbered(view, number))
        for number in range(options.views)
    )
    entry = ImageEntry(activations, views, place, _needed(activations, len(train), options))
    with closing(entry):
        yield entry


def _numbered(view: View, number: int) -> Callable[[int], NDArray[np.uint8]]:
    return lambda row: view(row, number)


def _view_name(options: FinetuneOptions, number: int) -> str:
    if options.augment == "none":
        return "plain"
    return f"{options.augment} {options.seed} {number}"


def _trial_pixels(train: Images, embedder: Embedder) -> Tensor:
    rows = (row % len(train) for row in range(_TRIAL_IMAGES))
    return torch.from_numpy(np.stack([embedder.preprocess(train.load_image(row)) for row in rows]))


def _activations(
    encoder: TorchEncoder,
    tower: EnteredTower,
    border: Border,
    options: FinetuneOptions,
    place: ActivationPlace,
) -> Activations:
    facts = (
        encoder.fingerprint,
        str(encoder.preprocess.to_dict()),
        options.precision,
        border,
    )
    name = hashlib.sha256(repr((*facts, tower.embedder.device)).encode()).hexdigest()[:32]
    return Activations(tower, place.folder / name, dtype_of(options.precision))


def _needed(activations: Activations, n_images: int, options: FinetuneOptions) -> int:
    assert options.views is not None, "settle_views filled it in"
    return activations.image_bytes * n_images * options.views


def _fits(
    activations: Activations, n_images: int, options: FinetuneOptions, place: ActivationPlace
) -> bool:
    needed = _needed(activations, n_images, options)
    if place.max_bytes is not None:
        return needed <= place.max_bytes
    place.folder.mkdir(parents=True, exist_ok=True)
    return needed <= FREE_SHARE * shutil.disk_usage(place.folder).free


def _bytes_at(
    model: nn.Module, embedder: Embedder, pixels: Tensor, dtype: torch.dtype, border: Border
) -> int:
    """Return the size of one image's hidden states at a border."""
    return row_bytes(leave(TowerCut(model, border), embedder, pixels).shape[1:], dtype)


def _too_large(
    activations: Activations,
    n_images: int,
    border: Border,
    options: FinetuneOptions,
    max_bytes: int,
    bytes_at: Callable[[Border], int],
) -> InputError:
    """Say what is needed, and what would fit: later blocks, or fewer views."""
    assert options.views is not None, "settle_views filled it in"
    n_rows = n_images * options.views
    deeper = (Border(border.blocks, n) for n in range(border.n_frozen + 1, len(border.blocks)))
    fits = next((b.n_moving for b in deeper if bytes_at(b) * n_rows <= max_bytes), None)
    n_views = max_bytes // (activations.image_bytes * n_images)
    ways = [f"--max-disk {-(-activations.image_bytes * n_rows // 1_000_000)}MB"]
    ways += [f"--train image.last{fits}"] if fits else []
    ways += [f"--views {n_views}"] if n_views else []
    return InputError(
        f"what the frozen blocks give for {n_images} images takes "
        f"{size(activations.image_bytes * n_rows)} ({options.views} views of "
        f"{size(activations.image_bytes)} each), but --max-disk allows {size(max_bytes)}; use "
        f"{', '.join(ways)} or --no-activations"
    )


def remember_prompts(embedder: Embedder, texts: Sequence[str]) -> Embedder:
    """Embed prompts once, for a text tower that never trains.

    Args:
        embedder: The model as functions.
        texts: T prompts.

    Returns:
        Functions that look these up and compute all others.
    """
    known: Mapping[bytes, Tensor] = {}
    ids = embedder.tokenize(list(texts))
    rows = embedder.embed_texts(texts).to(embedder.device)
    known = {one.numpy().tobytes(): row for one, row in zip(ids, rows, strict=True)}

    def encode_tokens(tokens: Tensor) -> Tensor:
        found = [known.get(one.numpy().tobytes()) for one in tokens]
        if any(row is None for row in found):
            return embedder.encode_tokens(tokens)
        return torch.stack([row for row in found if row is not None])

    return replace(embedder, encode_tokens=encode_tokens)

"""Stored vectors held against new ones: a random sample is computed again, each alone.

What differs by more than rounding is set aside with its shard, so that it is computed again when
it is asked for. It knows no command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, CliptuneError
from cliptune.features.cache import CacheEntry, DamagedShard, list_cache
from cliptune.features.digests import MEMO_NAME
from cliptune.features.folder import ShardFolder, quarantine, shard_files
from cliptune.features.guard import RowsChecked, encode_alone, largest_difference, rounding_limit
from cliptune.features.keys import StoreKey, reduces_input
from cliptune.features.places import read_image, read_text, recall_places
from cliptune.features.shards import open_shard
from cliptune.images.decode import decode_image

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["NotRecomputed", "Recomputed", "recompute_cache"]

_LOOKED_AT = 8  # places tried for each vector wanted, before the others count as gone


@dataclass(frozen=True)
class NotRecomputed:
    """Vectors that could not be held against anything.

    Attributes:
        entry: Where they are.
        reason: Why: the encoder is not here, or images or texts are gone or were not recorded.
    """

    entry: CacheEntry
    reason: str


@dataclass(frozen=True)
class Recomputed:
    """What was found.

    Attributes:
        checked: How many vectors were computed again, and the largest difference.
        damaged: Shards with a vector that came out otherwise, and where they lie now.
        left_out: Entries that could not be looked at.
    """

    checked: RowsChecked
    damaged: tuple[DamagedShard, ...]
    left_out: tuple[NotRecomputed, ...]


@dataclass(frozen=True)
class _Stored:
    """A vector on disk, and what it was computed from."""

    shard: Path
    vector: NDArray[np.float32]
    name: str
    given: bytes | str  # an image's bytes, or a text


def recompute_cache(
    cache_dir: Path,
    n_vectors: int,
    open_encoder: Callable[[CacheEntry], DualEncoder],
    *,
    rng: np.random.Generator | None = None,
) -> Recomputed:
    """Compute a random sample of stored vectors again.

    Args:
        cache_dir: The cache.
        n_vectors: How many; entries share them by their sizes, each gets at least one.
        open_encoder: Opens what made an entry.
        rng: Draws the sample; another one each time by default.

    Raises:
        UnavailableError: The cache cannot be read or written to.
    """
    rng = np.random.default_rng() if rng is None else rng
    entries = [entry for entry in list_cache(cache_dir) if entry.n_vectors]
    total = sum(entry.n_vectors for entry in entries)
    checked, damaged, left_out = RowsChecked(), [], []
    for entry in entries:
        wanted = max(1, round(n_vectors * entry.n_vectors / total))
        try:
            found, wrong = _recompute(cache_dir, entry, wanted, open_encoder, rng)
        except CliptuneError as error:
            left_out.append(NotRecomputed(entry, " ".join(str(error).split())))
            continue
        if not found.n:
            left_out.append(NotRecomputed(entry, "what it was made from is gone or not recorded"))
        checked += found
        damaged += wrong
    return Recomputed(checked, tuple(damaged), tuple(left_out))


def _recompute(
    cache_dir: Path,
    entry: CacheEntry,
    wanted: int,
    open_encoder: Callable[[CacheEntry], DualEncoder],
    rng: np.random.Generator,
) -> tuple[RowsChecked, list[DamagedShard]]:
    stored = _sample(cache_dir, entry, wanted, rng)
    if not stored:
        return RowsChecked(), []
    encoder = open_encoder(entry)
    if entry.path.name != f"{entry.kind}-{StoreKey.of(encoder, entry.kind).digest}":
        raise CheckpointError(f"{entry.encoder} of today is not what made it")
    limit = rounding_limit(entry.precision, encoder.device)
    wrong: dict[Path, str] = {}
    checked = RowsChecked()
    for one in stored:
        alone = encode_alone(encoder, entry.kind, _inputs(encoder, one))
        difference = float(largest_difference(one.vector[None], alone)[0])
        checked += RowsChecked(1, difference)
        if not difference <= limit:
            wrong[one.shard] = (
                f"the vector of {one.name!r} differs by {difference:.2g} from the same computed "
                f"again by {entry.engine} ({entry.precision}); rounding stays below {limit:g}"
            )
    with ShardFolder(entry.path).locked():
        return checked, [
            DamagedShard(quarantine(shard), problem)
            for shard, problem in wrong.items()
            if shard.exists()
        ]


def _inputs(encoder: DualEncoder, stored: _Stored) -> NDArray[np.uint8] | list[str]:
    if isinstance(stored.given, str):
        return [stored.given]
    min_side = encoder.preprocess.min_side if reduces_input(encoder) else None
    image = decode_image(stored.given, name=stored.name, min_side=min_side)
    return encoder.preprocess(image)[None]


def _sample(
    cache_dir: Path, entry: CacheEntry, wanted: int, rng: np.random.Generator
) -> list[_Stored]:
    """Draw vectors whose inputs can still be read."""
    with ShardFolder(entry.path).locked():
        shards = [open_shard(path) for path in shard_files(entry.path)]
        owners = np.repeat(np.arange(len(shards)), [len(shard) for shard in shards])
        drawn = rng.permutation(len(owners))[: wanted * _LOOKED_AT]
        firsts = np.cumsum([0, *map(len, shards)])
        places = [(shards[owners[d]], int(d - firsts[owners[d]])) for d in drawn]
        vectors = [shard.read(row, row + 1)[0] for shard, row in places]
    contents = [shard.contents[row : row + 1] for shard, row in places]
    known = recall_places(cache_dir / MEMO_NAME, np.concatenate(contents)) if contents else {}
    found: list[_Stored] = []
    for (shard, _), content, vector in zip(places, contents, vectors, strict=True):
        given = _read(known.get(content.tobytes()), content.tobytes(), entry.kind)
        if given is not None:
            found.append(_Stored(shard.path, vector, *given))
        if len(found) == wanted:
            break
    return found


def _read(place: str | None, content: bytes, kind: str) -> tuple[str, bytes | str] | None:
    """Return the name and the input behind a recorded place, or None."""
    if place is None:
        return None
    if kind.startswith("texts"):
        text = read_text(place, content)
        return None if text is None else (text, text)
    found = read_image(place, content)
    return None if found is None else (found[1], found[0])

"""One shard: vectors and the digests of what they were made from, in one safetensors file.

A shard's name ends in the BLAKE2b digest of its bytes, and a name appears only when the file
is complete, so a shard is whole, or it is visibly not itself. This module knows nothing about
encoders or images.

::

    00000012-<digest of the file>.safetensors
      vectors   float32 (n, ...)
      contents  uint8 (n, 16)     digest of the file or text that each vector belongs to
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, UnavailableError
from cliptune.features.keys import CONTENT_BYTES

__all__ = ["Shard", "open_shard", "remove_unfinished", "shard_is_intact", "write_shard"]

_ALIGNMENT = 64
_UNFINISHED = ".tmp-"  # the prefix of ``atomic_path`` too


@dataclass(frozen=True)
class Shard:
    """An opened shard; nothing but its header and digests has been read.

    Attributes:
        path: The file.
        contents: Digests, shape (n,), 16 bytes each.
        row_shape: Shape of one vector.
        start: Offset of the first vector in the file, in bytes.
    """

    path: Path
    contents: NDArray[np.bytes_]
    row_shape: tuple[int, ...]
    start: int

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def sequence(self) -> int:
        """Its place among the shards of its folder."""
        return int(self.path.name.partition("-")[0])

    @property
    def row_bytes(self) -> int:
        """Size of one vector in bytes."""
        return 4 * math.prod(self.row_shape)

    def map(self) -> NDArray[np.float32]:
        """Map the vectors, shape (n, ...): writing to the array changes no file."""
        shape = (len(self), *self.row_shape)
        mapped = np.memmap(self.path, np.float32, mode="c", offset=self.start, shape=shape)
        return mapped.view(np.ndarray)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read some vectors into memory, where a map would count as resident in its whole."""
        count = (stop - start) * math.prod(self.row_shape)
        offset = self.start + start * self.row_bytes
        flat = np.fromfile(self.path, np.float32, count=count, offset=offset)
        return flat.reshape(stop - start, *self.row_shape)


def write_shard(
    folder: Path,
    sequence: int,
    contents: NDArray[np.bytes_],
    *,
    parts: Iterable[NDArray[np.float32]],
    row_shape: tuple[int, ...],
) -> Path:
    """Write a shard as a stream: to an unfinished name, to the disk, to its final name.

    Args:
        folder: Where.
        sequence: Its place among the folder's shards.
        contents: The digests, shape (n,).
        parts: The vectors, in pieces of shape (m, *row_shape) that sum to n.
        row_shape: Shape of one vector.

    Raises:
        UnavailableError: The disk is full or the folder cannot be written to. Nothing is left
            behind and all other shards are untouched.
    """
    temporary = folder / f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}"
    checksum = hashlib.blake2b(digest_size=16)
    try:
        with temporary.open("xb") as file:
            for piece in _bytes_of(contents, parts, row_shape):
                checksum.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        target = folder / f"{sequence:08d}-{checksum.hexdigest()}.safetensors"
        temporary.replace(target)
        _sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UnavailableError(
            f"cannot write features to {str(folder)!r} ({error.strerror or error}); what was "
            "written before is kept: make room or name another --cache-dir, then repeat"
        ) from error
    return target


def _bytes_of(
    contents: NDArray[np.bytes_],
    parts: Iterable[NDArray[np.float32]],
    row_shape: tuple[int, ...],
) -> Iterator[bytes | memoryview]:
    """Give the file piece by piece: length of the header, header, vectors, digests."""
    n = len(contents)
    end = 4 * n * math.prod(row_shape)
    header = {
        "vectors": {"dtype": "F32", "shape": [n, *row_shape], "data_offsets": [0, end]},
        "contents": {
            "dtype": "U8",
            "shape": [n, CONTENT_BYTES],
            "data_offsets": [end, end + n * CONTENT_BYTES],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for part in parts:
        yield np.ascontiguousarray(part, np.float32).reshape(-1).data.cast("B")
    yield contents.tobytes()


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power failure, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_shard(path: Path) -> Shard:
    """Read a shard's header and digests.

    Raises:
        CheckpointError: It is cut short, or is no shard.
        FileNotFoundError: It is gone.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
            n, *row_shape = (int(v) for v in header["vectors"]["shape"])
            if min(n, *row_shape, 0) < 0 or header["vectors"]["dtype"] != "F32":
                raise ValueError("the header describes no float32 vectors")
            start = 8 + length
            end = start + 4 * n * math.prod(row_shape)
            if size != end + n * CONTENT_BYTES:
                raise ValueError(f"{size} bytes instead of {end + n * CONTENT_BYTES}")
            file.seek(end)
            contents = np.frombuffer(file.read(), f"S{CONTENT_BYTES}")
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"{str(path)!r} is cut short or is no shard ({error})") from error
    return Shard(path, contents, tuple(row_shape), start)


def shard_is_intact(path: Path) -> bool:
    """Tell whether a shard's bytes are those it was written with."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return path.stem.partition("-")[2] == digest


def remove_unfinished(folder: Path) -> None:
    """Remove what killed writers left; only the holder of the folder's lock may."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        path.unlink(missing_ok=True)

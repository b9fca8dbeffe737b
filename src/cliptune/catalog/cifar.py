"""CIFAR's binary archives, written out as Parquet files that any tool can read.

It knows the layout of those archives and of the Hugging Face convention for image columns,
and nothing about fetching.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.errors import DataError

__all__ = ["CIFAR10", "CIFAR100", "CifarLayout", "write_cifar"]

_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE
_ROWS_PER_GROUP = 1000


@dataclass(frozen=True)
class CifarLayout:
    """Where things are in an archive.

    Attributes:
        splits: From split to the names of its files in the archive.
        label_bytes: How many bytes stand before an image; the last is the label.
        labels: What the labels mean, in their order.
    """

    splits: dict[str, tuple[str, ...]]
    label_bytes: int
    labels: tuple[str, ...]


CIFAR10 = CifarLayout(
    splits={
        "train": tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
        "test": ("cifar-10-batches-bin/test_batch.bin",),
    },
    label_bytes=1,
    labels=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
)
CIFAR100 = CifarLayout(
    splits={
        "train": ("cifar-100-binary/train.bin",),
        "test": ("cifar-100-binary/test.bin",),
    },
    label_bytes=2,
    labels=(
        *("apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle"),
        *("bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can"),
        *("castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud"),
        *("cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant"),
        *("flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard"),
        *("lamp", "lawn mower", "leopard", "lion", "lizard", "lobster", "man", "maple tree"),
        *("motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid"),
        *("otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy"),
        *("porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea"),
        *("seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider"),
        *("squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank", "telephone"),
        *("television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe"),
        *("whale", "willow tree", "wolf", "woman", "worm"),
    ),
)


def write_cifar(archive: Path, folder: Path, *, layout: CifarLayout) -> None:
    """Write ``train.parquet`` and ``test.parquet`` from one of CIFAR's binary archives.

    The columns are ``image``, structs of PNG ``bytes`` and a ``path``, and ``label``, with the
    names of the labels in the schema as the ``datasets`` library has them.

    Args:
        archive: The ``-binary.tar.gz`` file.
        folder: Where to write.
        layout: What the archive holds.

    Raises:
        DataError: The archive is damaged or lacks a file.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for split, members in layout.splits.items():
                rows = (row for m in members for row in _records(tar, m, layout.label_bytes))
                _write_parquet(rows, folder / f"{split}.parquet", split, layout.labels)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise DataError(f"{str(archive)!r} is no whole archive of CIFAR ({error})") from error


def _records(tar: tarfile.TarFile, member: str, label_bytes: int) -> Iterator[NDArray[np.uint8]]:
    file = tar.extractfile(member)
    if file is None:
        raise KeyError(member)
    data = np.frombuffer(file.read(), dtype=np.uint8)
    if len(data) % (label_bytes + _PIXEL_BYTES):
        raise DataError(f"{member!r} in {tar.name!r} does not hold whole records")
    yield from data.reshape(-1, label_bytes + _PIXEL_BYTES)[:, label_bytes - 1 :]


def _write_parquet(
    rows: Iterator[NDArray[np.uint8]], path: Path, split: str, labels: tuple[str, ...]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features: dict[str, Any] = {  # Any: plain JSON values
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
    }
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", image), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    with pq.ParquetWriter(path, schema) as writer:
        group: list[dict[str, Any]] = []  # Any: cells of two types
        for number, row in enumerate(rows):
            if row[0] >= len(labels):
                raise DataError(f"image {number} of the {split} split has the label {row[0]}")
            name = f"{split}/{labels[row[0]]}/{number:05d}.png"
            group.append({"image": {"bytes": _as_png(row[1:]), "path": name}, "label": int(row[0])})
            if len(group) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    rgb = pixels.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, format="PNG")
    return buffer.getvalue()

"""ModalityMap: everything a map shows, as numbers, in two files.

It knows nothing about how the numbers were computed or will be drawn: figures are rendered from
what ``load_map`` reads and recompute nothing.

::

    OUT/
      numbers.json     every number with its interval, projection, remarks, verdict
      points.parquet   one row a point: place in each view, label, prediction, thumbnail

Embedding Atlas opens the second file as it is, see ``atlas_arguments``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import RunError
from cliptune.system.atomic import atomic_path
from cliptune.system.json_files import read_object

__all__ = ["DrawnView", "ModalityMap", "atlas_arguments", "load_map", "save_map"]

FORMAT_VERSION = 1
Json = dict[str, Any]  # Any: plain JSON values


@dataclass(frozen=True)
class DrawnView:
    """Where one encoder or run puts the points, and what it says of the images.

    Attributes:
        name: What the user calls it.
        image_places: float32 (N, 2).
        text_places: float32 (M, 2).
        predicted: N class names, or with captions the nearest caption; None for no prediction.
        correct: int8 (N,), 1 right, 0 wrong, -1 unknown.
    """

    name: str
    image_places: NDArray[np.float32]
    text_places: NDArray[np.float32]
    predicted: tuple[str | None, ...]
    correct: NDArray[np.int8]


@dataclass(frozen=True)
class ModalityMap:
    """One map: N drawn images, M texts, one or more views of them.

    Attributes:
        numbers: Everything that is not a point, as plain JSON values.
        image_ids: N names of images.
        labels: N class names or first captions; None for an image without.
        texts: M texts as shown: class names, or captions.
        image_groups: int64 (N,), the class, or with captions the image's own number; -1 none.
        text_groups: int64 (M,), likewise.
        views: The first is the "before".
        thumbnails: N encoded pictures, or none at all.
    """

    numbers: Json
    image_ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    texts: tuple[str, ...]
    image_groups: NDArray[np.int64]
    text_groups: NDArray[np.int64]
    views: tuple[DrawnView, ...]
    thumbnails: tuple[bytes, ...] = ()

    @property
    def has_captions(self) -> bool:
        """Whether images have texts of their own rather than those of classes."""
        return bool(self.numbers["kind"] == "captions")

    def to_dict(self) -> Json:
        """Return everything but the points as plain JSON values."""
        return dict(self.numbers)


def save_map(result: ModalityMap, out: Path) -> dict[str, Path]:
    """Write the numbers and the points; each file appears whole or not at all.

    Returns:
        The paths, as ``numbers`` and ``points``.

    Raises:
        UnavailableError: The place cannot be written to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = {"numbers": out / "numbers.json", "points": out / "points.parquet"}
    with atomic_path(paths["points"]) as temporary:
        pq.write_table(pa.table(_columns(result)), temporary, compression="zstd")
    with atomic_path(paths["numbers"]) as temporary:
        text = json.dumps(
            {"format_version": FORMAT_VERSION, **result.numbers},
            indent=2,
            ensure_ascii=False,
            allow_nan=False,
        )
        temporary.write_text(text + "\n", encoding="utf-8")
    return paths


def load_map(out: Path) -> ModalityMap:
    """Read what ``save_map`` wrote.

    Raises:
        RunError: A file is missing, broken, of other types or of a newer format.
    """
    import pyarrow.parquet as pq

    try:
        numbers = read_object(out / "numbers.json")
        version = numbers.pop("format_version")
        if version <= FORMAT_VERSION:
            return _from_columns(numbers, pq.read_table(out / "points.parquet").to_pydict())
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise RunError(
            f"cannot read the map in {str(out)!r} ({error}); make it again with cliptune map"
        ) from error
    raise RunError(
        f"{str(out)!r} has map format {version}; this cliptune reads up to "
        f"{FORMAT_VERSION}: upgrade cliptune"
    )


def atlas_arguments(points: Path) -> list[str]:
    """Return the command that opens the points in Embedding Atlas at our coordinates."""
    return [
        "embedding-atlas",
        str(points),
        *("--x", "x"),
        *("--y", "y"),
        *("--text", "text"),
        *("--image", "image"),
    ]


def _columns(result: ModalityMap) -> Mapping[str, Any]:  # Any: whatever Arrow takes as a column
    import pyarrow as pa

    n_texts = len(result.texts)
    pictures = [*(result.thumbnails or [None] * len(result.labels)), *[None] * n_texts]
    pixels = [
        {"bytes": p, "path": None} if p is not None else None  # the Hugging Face convention
        for p in pictures
    ]
    columns: dict[str, Any] = {  # Any: as above
        "id": [*result.image_ids, *(f"text:{number}" for number in range(n_texts))],
        "modality": ["image"] * len(result.labels) + ["text"] * n_texts,
        "text": [*(label or "" for label in result.labels), *result.texts],
        "label": [*result.labels, *[None] * n_texts],
        "group": np.concatenate([result.image_groups, result.text_groups]),
        "image": pa.array(pixels, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    }
    for number, view in enumerate(result.views):
        suffix = "" if number == 0 else f"_{number + 1}"
        places = np.concatenate([view.image_places, view.text_places])
        columns[f"x{suffix}"], columns[f"y{suffix}"] = places[:, 0], places[:, 1]
        columns[f"predicted{suffix}"] = pa.array([*view.predicted, *[None] * n_texts], pa.string())
        columns[f"correct{suffix}"] = np.concatenate([view.correct, np.full(n_texts, -1, np.int8)])
    return columns


def _from_columns(numbers: Json, columns: Mapping[str, list[Any]]) -> ModalityMap:  # Any: as above
    n = columns["modality"].count("image")
    groups = np.asarray(columns["group"], dtype=np.int64)
    views = []
    for number, view in enumerate(numbers["views"]):
        suffix = "" if number == 0 else f"_{number + 1}"
        places = np.asarray([columns[f"x{suffix}"], columns[f"y{suffix}"]], dtype=np.float32).T
        views.append(
            DrawnView(
                name=view["name"],
                image_places=places[:n],
                text_places=places[n:],
                predicted=tuple(columns[f"predicted{suffix}"][:n]),
                correct=np.asarray(columns[f"correct{suffix}"][:n], dtype=np.int8),
            )
        )
    pictures = [picture["bytes"] for picture in columns["image"][:n] if picture is not None]
    return ModalityMap(
        numbers=numbers,
        image_ids=tuple(columns["id"][:n]),
        labels=tuple(columns["label"][:n]),
        texts=tuple(columns["text"][n:]),
        image_groups=groups[:n],
        text_groups=groups[n:],
        views=tuple(views),
        thumbnails=tuple(pictures) if len(pictures) == n else (),
    )

"""An index over the vectors of a finished job, and what is nearest to a vector.

usearch holds the graph; rows are numbered as the parts count them. It knows no encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import MissingExtraError, RunError
from cliptune.scale.job import MANIFEST
from cliptune.scale.parts import read_part
from cliptune.scale.plan import read_plan
from cliptune.system.atomic import atomic_path
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

__all__ = ["Neighbour", "build_index", "iterate_vectors", "search_index"]

_INDEX, _FACTS = "index.usearch", "index.json"


@dataclass(frozen=True)
class Neighbour:
    """A row of a job near a vector.

    Attributes:
        values: ``id``, ``path`` and ``class_name``.
        similarity: Cosine.
    """

    values: Mapping[str, str | None]
    similarity: float


def iterate_vectors(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Give the vectors of a finished job, part by part: float32 (n, D).

    Raises:
        RunError: The job is not finished, or a part is broken.
    """
    for part in _manifest(folder)["parts"]:
        column = _read(folder / part["file"], ["vector"]).column("vector").combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        yield flat.astype(np.float32).reshape(len(column), -1)


def build_index(folder: Path, progress: Callable[[int, int], None]) -> tuple[Path, int, int]:
    """Build the index of a finished job.

    Args:
        folder: Of the job.
        progress: Called with vectors done and vectors in all.

    Returns:
        The file, how many vectors it holds, and their length.

    Raises:
        MissingExtraError: usearch is not installed.
        RunError: The job is not finished.
    """
    usearch = _usearch()
    manifest = _manifest(folder)
    total, done, index = int(manifest["rows"]), 0, None
    for vectors in iterate_vectors(folder):
        if index is None:
            index = usearch.Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
        index.add(np.arange(done, done + len(vectors)), vectors)
        done += len(vectors)
        progress(done, total)
    if index is None or not done:
        raise RunError(f"the job in {str(folder)!r} has no vectors to index")
    with atomic_path(folder / _INDEX) as temporary:
        index.save(str(temporary))
    with atomic_path(folder / _FACTS) as temporary:
        facts = {"job": manifest["job"], "rows": done, "dim": int(index.ndim)}
        temporary.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return folder / _INDEX, done, int(index.ndim)


def search_index(folder: Path, vector: NDArray[np.float32], n: int) -> list[Neighbour]:
    """Find the rows nearest to a vector (D,), the nearest first.

    Raises:
        MissingExtraError: usearch is not installed.
        RunError: There is no index, or it is of another job or another length.
    """
    usearch = _usearch()
    manifest = _manifest(folder)
    if not (is_file(folder / _INDEX) and is_file(folder / _FACTS)):
        raise RunError(f"{str(folder)!r} has no index; make one with 'cliptune index {folder}'")
    facts = read_object(folder / _FACTS)
    if facts.get("job") != manifest["job"] or facts.get("rows") != manifest["rows"]:
        raise RunError(f"the index in {str(folder)!r} is of another job; build it again")
    if facts.get("dim") != len(vector):
        raise RunError(
            f"the query has {len(vector)} dimensions and the index {facts.get('dim')}; search with "
            "the model that embedded"
        )
    try:
        index = usearch.Index.restore(str(folder / _INDEX), view=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(f"the index in {str(folder)!r} is broken ({error}); build it") from error
    found = index.search(vector, n)
    rows = [int(key) for key in found.keys]
    known = _rows(folder, manifest, rows)
    return [
        Neighbour(known[row], 1.0 - float(distance))
        for row, distance in zip(rows, found.distances, strict=True)
    ]


def _rows(
    folder: Path, manifest: Mapping[str, Any], rows: list[int]
) -> dict[int, Mapping[str, str | None]]:
    """Read what is known of some rows, from the parts that hold them."""
    starts = np.cumsum([0, *(part["rows"] for part in manifest["parts"])])
    places = np.searchsorted(starts, rows, side="right") - 1
    known: dict[int, Mapping[str, str | None]] = {}
    for place in np.unique(places).tolist():
        table = _read(folder / manifest["parts"][place]["file"], ["id", "path", "class_name"])
        own = [row for row, p in zip(rows, places.tolist(), strict=True) if p == place]
        values = table.take([row - int(starts[place]) for row in own]).to_pylist()
        known |= dict(zip(own, values, strict=True))
    return known


def _manifest(folder: Path) -> Mapping[str, Any]:
    """Read the manifest of a finished job.

    Raises:
        RunError: There is none, or it is broken.
    """
    plan = read_plan(folder)
    if not is_file(folder / MANIFEST):
        raise RunError(
            f"the job in {str(folder)!r} is not finished; repeat the 'cliptune embed' that began it"
        )
    found = read_object(folder / MANIFEST)
    parts = found.get("parts")
    whole = isinstance(parts, list) and all(
        isinstance(p, dict) and isinstance(p.get("file"), str) and isinstance(p.get("rows"), int)
        for p in parts
    )
    if found.get("job") != plan.digest or not whole:
        raise RunError(f"the manifest in {str(folder)!r} is broken; repeat the 'cliptune embed'")
    names = [plan.part(Path(), number).as_posix() for number in range(plan.n_shards)]
    if [part["file"] for part in found["parts"]] != names:
        raise RunError(f"the manifest in {str(folder)!r} names other files than the job's")
    return found


def _read(path: Path, columns: list[str]) -> Any:  # Any: a table of Arrow
    import pyarrow as pa

    try:
        return read_part(path, columns)
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"the part {str(path)!r} cannot be read ({error}); remove it and repeat the "
            "'cliptune embed'"
        ) from error


def _usearch() -> Any:  # Any: usearch has no types
    try:
        import usearch.index
    except ImportError as error:
        raise MissingExtraError("scale", "an index") from error
    return usearch.index

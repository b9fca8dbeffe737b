"""An index over the vectors of a finished job, and what is nearest to a vector.

usearch holds the graph; rows are numbered as the parts count them. It knows no encoder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import MissingExtraError, RunError
from cliptune.scale.manifest import read_manifest, require_unaltered, spoilt_part
from cliptune.scale.parts import file_digest, read_part
from cliptune.scale.reading import part_vectors
from cliptune.system.atomic import atomic_path
from cliptune.system.file_kinds import is_file
from cliptune.system.json_files import read_object

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Neighbour", "build_index", "iterate_vectors", "nearest", "search_index"]

_INDEX, _FACTS = "index.usearch", "index.json"
_ALL = 200_000  # vectors that are all compared: about a tenth of a second
_CANDIDATES = 2048
_READ_WHOLE = 1 << 30  # bytes of an index, up to which its digest is compared at every search


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
    for part in read_manifest(folder)["parts"]:
        path = folder / part["file"]
        require_unaltered(path, part["sha256"])
        column = _read(path, ["vector"], part["rows"]).column("vector").combine_chunks()
        yield part_vectors(column, path)


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
    manifest = read_manifest(folder)
    total, done, index = manifest["rows"], 0, None
    for vectors in iterate_vectors(folder):
        if index is None:
            index = usearch.Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
        if vectors.shape[1] != index.ndim:
            raise RunError(f"the parts in {str(folder)!r} have vectors of several lengths")
        index.add(np.arange(done, done + len(vectors)), vectors)
        done += len(vectors)
        progress(done, total)
    if index is None or not done:
        raise RunError(f"the job in {str(folder)!r} has no vectors to index")
    with atomic_path(folder / _INDEX) as temporary:
        index.save(str(temporary))
    with atomic_path(folder / _FACTS) as temporary:
        facts = {
            "job": manifest["job"],
            "rows": done,
            "dim": int(index.ndim),
            "bytes": (folder / _INDEX).stat().st_size,
            "sha256": file_digest(folder / _INDEX),
        }
        temporary.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return folder / _INDEX, done, int(index.ndim)


def search_index(folder: Path, vector: NDArray[np.float32], n: int) -> list[Neighbour]:
    """Find the rows nearest to a vector (D,), the nearest first.

    Raises:
        MissingExtraError: usearch is not installed.
        RunError: There is no index, or it is of another job or another length.
    """
    usearch = _usearch()
    manifest = read_manifest(folder)
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
    _require_own_bytes(folder / _INDEX, facts)
    try:
        index = usearch.Index.restore(str(folder / _INDEX), view=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(f"the index in {str(folder)!r} is broken ({error}); build it") from error
    rows, cosines = nearest(index, vector, n)
    known = _rows(folder, manifest, rows)
    return [Neighbour(known[row], cosine) for row, cosine in zip(rows, cosines, strict=True)]


def _require_own_bytes(path: Path, facts: Mapping[str, Any]) -> None:  # Any: plain JSON values
    """Make sure that an index is the one that was built: usearch follows its numbers unchecked.

    Raises:
        RunError: It was cut or altered. Of a large one, which would take long to read, only the
            size is compared.
    """
    n_bytes = path.stat().st_size
    if facts.get("bytes") != n_bytes or (
        n_bytes <= _READ_WHOLE and facts.get("sha256") != file_digest(path)
    ):
        raise RunError(f"the index in {str(path.parent)!r} was cut or altered; build it again")


def nearest(
    index: Any,  # Any: usearch has no types
    vector: NDArray[np.float32],
    n: int,
    *,
    compare_up_to: int = _ALL,
) -> tuple[list[int], list[float]]:
    """Find the keys nearest to a vector (D,), and their cosines, the nearest first.

    Texts lie elsewhere than images do, and a graph over images that is entered from there ends at
    near ones too soon: with usearch's own 64 candidates half of the ten nearest are missed. So up
    to a size all vectors are compared, and above it 2,048 candidates are kept.

    Args:
        index: Of usearch, over cosines.
        vector: float32 (D,).
        n: How many.
        compare_up_to: Vectors up to which all are compared.
    """
    index.expansion_search = max(_CANDIDATES, n)
    found = index.search(vector, n, exact=len(index) <= compare_up_to)
    return [int(key) for key in found.keys], [1.0 - float(d) for d in found.distances]


def _rows(
    folder: Path, manifest: Mapping[str, Any], rows: list[int]
) -> dict[int, Mapping[str, str | None]]:
    """Read what is known of some rows, from the parts that hold them."""
    parts = manifest["parts"]
    starts = np.cumsum([0, *(part["rows"] for part in parts)])
    places = np.searchsorted(starts, rows, side="right") - 1
    known: dict[int, Mapping[str, str | None]] = {}
    for place in np.unique(places).tolist():
        table = _read(
            folder / parts[place]["file"], ["id", "path", "class_name"], parts[place]["rows"]
        )
        own = [row for row, p in zip(rows, places.tolist(), strict=True) if p == place]
        values = table.take([row - int(starts[place]) for row in own]).to_pylist()
        known |= dict(zip(own, values, strict=True))
    return known


def _read(path: Path, columns: list[str], rows: int) -> pa.Table:
    """Read columns of a part that has so many rows.

    Raises:
        RunError: It cannot be read, or holds something else.
    """
    import pyarrow as pa

    try:
        table = read_part(path, columns)
    except (OSError, pa.ArrowException) as error:
        raise spoilt_part(path, str(error)) from error
    if len(table) != rows or set(table.column_names) != set(columns):
        raise spoilt_part(path, f"it holds {len(table)} rows of {table.column_names}")
    return table


def _usearch() -> Any:  # Any: usearch has no types
    try:
        import usearch.index
    except ImportError as error:
        raise MissingExtraError("scale", "an index") from error
    return usearch.index

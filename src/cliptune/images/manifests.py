"""Manifests: CSV, TSV, JSONL and Parquet files with one image a row.

It knows how each format gives columns and images, and leaves their meaning to ``labelling``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.errors import DataError
from cliptune.images.parquet_rows import BatchCache, ImageColumn, ParquetSource
from cliptune.images.records import Records, Values
from cliptune.images.sources import FileSource, Source, readable
from cliptune.images.text_tables import read_csv_rows, read_json_rows, read_jsonl_rows
from cliptune.system.file_kinds import can_name
from cliptune.system.json_files import parse_value

__all__ = ["MANIFEST_SUFFIXES", "TABLE_SUFFIXES", "holds_images", "read_manifest"]

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
TABLE_SUFFIXES = (*MANIFEST_SUFFIXES, ".json")


def read_manifest(path: Path, root: Path, cache: BatchCache) -> Records:
    """Open a manifest by its suffix.

    Args:
        path: The file.
        root: The folder that ids are relative to.
        cache: Where rows of Parquet files are kept once read.

    Raises:
        DataError: It is not what its suffix says, or has no rows.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path, root, cache)
    try:
        if suffix == ".json":
            rows = read_json_rows(path)
        else:
            rows = read_jsonl_rows(path) if suffix in (".jsonl", ".ndjson") else read_csv_rows(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{str(path)!r} is not UTF-8 text ({error.reason}); save it so") from error
    if not rows:
        raise DataError(f"{str(path)!r} has no rows; expected one for each image")
    columns = tuple(dict.fromkeys(name for row in rows for name in row))

    def read_column(name: str) -> Values:
        return [row.get(name) for row in rows]

    return Records(
        name=str(path),
        columns=columns,
        n_rows=len(rows),
        read_column=read_column,
        read_sources=lambda name: _file_sources(read_column(name), path, root),
    )


def holds_images(path: Path) -> bool:
    """Tell whether a Parquet file has a column of pictures, and not only paths of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path, memory_map=True)
    except (pa.ArrowException, OSError):
        return True  # so that opening it says what is wrong
    return any(_holds_images(field.type) for field in schema)


def _file_sources(cells: Iterable[Any], manifest: Path, root: Path) -> list[Source]:
    """Turn cells into files beside the manifest, and check that each is there and inside."""
    real_root = root.resolve()
    folders: dict[str, _Folder] = {}
    sources: list[Source] = []
    for row, cell in enumerate(cells):
        if not isinstance(cell, str) or not cell.strip() or not can_name(cell):
            raise DataError(f"row {row} of {str(manifest)!r} names no image; expected a path")
        above, _, name = cell.replace(os.sep, "/").rpartition("/")
        above = above or ("/" if cell.startswith("/") else "")
        if above not in folders:
            folders[above] = _look_into((manifest.parent / above).resolve(), real_root)
        folder = folders[above]
        if folder.prefix is None or name in folder.outside:
            raise DataError(
                f"row {row} of {str(manifest)!r} has a path outside of {str(root)!r}: {cell!r}; "
                "paths are relative to the manifest and stay below its folder"
            )
        if name not in folder.files:
            raise DataError(
                f"row {row} of {str(manifest)!r} names a file that is not there: {cell!r}; "
                "correct the path or remove the row"
            )
        sources.append(FileSource(readable(f"{folder.prefix}{name}"), f"{folder.path}/{name}"))
    return sources


@dataclass(frozen=True)
class _Folder:
    """A folder that a manifest points into: asked once instead of once a file.

    Attributes:
        path: Where it is, links resolved.
        prefix: What ids of its files begin with; nothing when it is outside of the root.
        files: The names of its files.
        outside: The names of links in it that lead out of the root.
    """

    path: Path
    prefix: str | None
    files: frozenset[str]
    outside: frozenset[str]


def _look_into(path: Path, real_root: Path) -> _Folder:
    if not path.is_relative_to(real_root):
        return _Folder(path, None, frozenset(), frozenset())
    relative = path.relative_to(real_root).as_posix()
    prefix = "" if relative == "." else f"{relative}/"
    try:
        with os.scandir(path) as entries:
            listed = [(e.name, e.is_file(), e.is_symlink()) for e in entries]
    except OSError:
        return _Folder(path, prefix, frozenset(), frozenset())
    outside = (
        name
        for name, _, is_link in listed
        if is_link and not (path / name).resolve().is_relative_to(real_root)
    )
    files = frozenset(name for name, is_file, _ in listed if is_file)
    return _Folder(path, prefix, files, frozenset(outside))


def _read_parquet(path: Path, root: Path, cache: BatchCache) -> Records:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{str(path)!r} is no readable Parquet file ({reason})") from error
    if not n_rows:
        raise DataError(f"{str(path)!r} has no rows; expected one for each image")
    if len(set(schema.names)) < len(schema.names):
        raise DataError(f"{str(path)!r} has two columns of one name; rename one of them")

    def read_column(name: str) -> Values:
        values: Values = file.read([name]).column(name).to_pylist()
        return values

    def read_sources(name: str) -> list[Source]:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _file_sources(read_column(name), path, root)
        if not _holds_images(kind):
            raise DataError(
                f"column {name!r} of {str(path)!r} holds {kind}; expected bytes, paths, or structs "
                "of both; name another with --image-column"
            )
        column = ImageColumn(path, name, cache)
        stem = path.relative_to(root).as_posix()
        return [ParquetSource(f"{stem}#{row}", column, row) for row in range(n_rows)]

    return Records(
        str(path), tuple(schema.names), n_rows, read_column, read_sources, _label_names(schema)
    )


def _holds_images(kind: Any) -> bool:  # Any: a pyarrow.DataType
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else kind
    is_bytes: Callable[[Any], bool] = pa.types.is_binary  # Any: a pyarrow.DataType
    return is_bytes(kind) or bool(pa.types.is_large_binary(kind))


def _label_names(schema: Any) -> dict[str, tuple[str, ...]]:  # Any: a pyarrow.Schema
    """Read the ClassLabel names that the ``datasets`` library leaves in the schema's metadata."""
    stored = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = parse_value(stored)["info"]["features"]
    except (ValueError, LookupError, TypeError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {
        column: tuple(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, dict)
        and feature.get("_type") == "ClassLabel"
        and _are_names(feature.get("names"))
    }


def _are_names(value: Any) -> bool:  # Any: a JSON value of a stranger
    return (
        isinstance(value, list)
        and all(isinstance(name, str) for name in value)
        and len(set(value)) == len(value)
    )

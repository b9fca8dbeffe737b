from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import DataError, UnavailableError
from cliptune.features import FeatureStore, export, export_parquet
from fakes import TinyEncoder


@pytest.fixture
def made(make_table, tmp_path: Path):
    table = make_table(40)
    labels = table.labels.copy()
    labels[3] = -1
    splits = np.where(np.arange(40) < 30, "train", "test")
    splits[5] = ""
    table = replace(table, labels=labels, splits=splits)
    return FeatureStore(tmp_path / "cache").features(TinyEncoder(), table), table


def test_other_readers_find_ids_paths_labels_and_vectors(made, tmp_path, monkeypatch):
    features, table = made
    monkeypatch.setattr(export, "_ROWS_PER_GROUP", 16)
    path = export_parquet(features, table, tmp_path / "out" / "deep")
    assert path == tmp_path / "out" / "deep" / "features.parquet"
    read = pq.read_table(path)
    assert read.column_names == ["id", "path", "label", "class_name", "split", "vector"]
    assert read.schema.field("vector").type == pa.list_(pa.float32(), 16)
    assert pq.ParquetFile(path).num_row_groups == 3
    frame = read.to_pandas()
    np.testing.assert_array_equal(np.stack(frame["vector"]), features.vectors)
    assert tuple(frame["id"]) == table.ids
    assert all(Path(p).is_file() for p in frame["path"])
    assert frame["label"].isna().to_numpy().nonzero()[0].tolist() == [3]
    known = frame.drop(index=3)
    assert (known["label"].to_numpy() == table.labels[table.labels >= 0]).all()
    assert [table.class_names[int(i)] for i in known["label"]] == list(known["class_name"])
    assert frame["split"].isna().to_numpy().nonzero()[0].tolist() == [5]
    assert read.schema.metadata[b"cliptune.key"].decode() == features.key
    assert tuple(json.loads(read.schema.metadata[b"cliptune.class_names"])) == table.class_names


def test_datasets_reads_it(made, tmp_path):
    from datasets import Dataset

    features, table = made
    path = export_parquet(features, table, tmp_path)
    rows = Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "hub")).with_format("numpy")
    np.testing.assert_array_equal(rows["vector"][:], features.vectors)


def test_writes_whole_or_not_at_all(made, tmp_path, monkeypatch):
    features, table = made
    path = export_parquet(features, table, tmp_path)
    before = path.read_bytes()
    groups = export._groups

    def failing(*arguments):
        yield next(iter(groups(*arguments)))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_groups", failing)
    with pytest.raises(UnavailableError, match="No space left"):
        export_parquet(features, table, tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".parquet"] == ["features.parquet"]


def test_refuses_features_of_other_images(made, tmp_path):
    features, table = made
    with pytest.raises(DataError, match="same ids"):
        export_parquet(features, table.select(np.arange(39)), tmp_path)
    with pytest.raises(DataError, match="same ids"):
        export_parquet(features, table.select(np.arange(40)[::-1]), tmp_path)


def test_what_a_killed_export_left_is_removed_and_what_is_being_written_stays(made, tmp_path):
    features, table = made
    out = tmp_path / "out"
    out.mkdir()
    for name in (".tmp-dead.parquet", ".tmp-alive.parquet"):
        (out / name).write_bytes(b"half")
    os.utime(out / ".tmp-dead.parquet", (1, 1))
    export_parquet(features, table, out)
    assert {path.name for path in out.iterdir()} == {"features.parquet", ".tmp-alive.parquet"}

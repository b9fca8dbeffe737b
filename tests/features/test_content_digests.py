from __future__ import annotations

import hashlib
import logging
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import BadImageError
from cliptune.features.digests import content_digests
from cliptune.images.parquet_rows import BatchCache, ImageColumn, ParquetSource
from cliptune.images.sources import FileSource, TarSource

READ: Counter[str] = Counter()


class CountedFile(FileSource):
    def read(self) -> bytes:
        READ[self.id] += 1
        return super().read()


@pytest.fixture
def files(tmp_path: Path) -> list[CountedFile]:
    READ.clear()
    for i in range(5):
        (tmp_path / f"{i}.jpg").write_bytes(b"content %d" % i)
    return [CountedFile(f"{i}.jpg", str(tmp_path / f"{i}.jpg")) for i in range(5)]


def expected(*contents: bytes) -> list[bytes]:
    return [hashlib.blake2b(c, digest_size=16).digest() for c in contents]


def listed(digests: np.ndarray) -> list[bytes]:
    raw = digests.tobytes()
    return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def parquet_sources(path: Path, cells: list, kind: pa.DataType | None = None) -> list:
    pq.write_table(pa.table({"image": pa.array(cells, kind)}), path)
    column = ImageColumn(path, "image", BatchCache())
    return [ParquetSource(f"{path.name}#{i}", column, i) for i in range(len(cells))]


def test_digests_are_those_of_the_bytes(files, tmp_path):
    digests = content_digests(files, tmp_path / "memo", workers=2)
    assert listed(digests) == expected(*(b"content %d" % i for i in range(5)))


def test_a_digest_that_ends_in_zero_is_recalled_whole(tmp_path, settled):
    number = next(n for n in range(10**5) if expected(b"%d" % n)[0].endswith(b"\0"))
    (tmp_path / "a").write_bytes(b"%d" % number)
    sources = [FileSource("a", str(tmp_path / "a"))]
    for _ in range(2):
        found = content_digests(sources, tmp_path / "memo", workers=1)
        assert listed(found) == expected(b"%d" % number)


def test_settled_files_are_read_once(files, tmp_path, settled):
    first = content_digests(files, tmp_path / "memo", workers=2)
    second = content_digests(files, tmp_path / "memo", workers=2)
    assert set(READ.values()) == {1}
    np.testing.assert_array_equal(first, second)


def test_a_renamed_folder_is_not_read_again(tmp_path, settled):
    READ.clear()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.jpg").write_bytes(b"a")
    content_digests([CountedFile("a", str(tmp_path / "old/a.jpg"))], tmp_path / "memo", workers=1)
    (tmp_path / "old").rename(tmp_path / "new")
    content_digests([CountedFile("a", str(tmp_path / "new/a.jpg"))], tmp_path / "memo", workers=1)
    assert READ["a"] == 1


def test_files_written_a_moment_ago_are_read_again(files, tmp_path):
    content_digests(files, tmp_path / "memo", workers=2)
    content_digests(files, tmp_path / "memo", workers=2)
    assert set(READ.values()) == {2}


def test_a_change_is_seen_behind_an_equal_size_and_a_faked_time(files, tmp_path, settled):
    content_digests(files, tmp_path / "memo", workers=2)
    path = Path(files[2].path)
    times = path.stat()
    path.write_bytes(b"CONTENT 2")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    found = content_digests(files, tmp_path / "memo", workers=2)
    assert listed(found)[2:3] == expected(b"CONTENT 2")
    assert READ["2.jpg"] == 2
    assert READ["1.jpg"] == 1


@pytest.mark.parametrize("damage", [b"no database at all, " * 99, b""])
def test_a_damaged_memo_costs_one_more_reading(files, tmp_path, settled, caplog, damage):
    memo = tmp_path / "memo"
    first = content_digests(files, memo, workers=2)
    memo.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        second = content_digests(files, memo, workers=2)
    np.testing.assert_array_equal(first, second)
    assert set(READ.values()) == {2}
    assert bool(damage) == ("read again" in caplog.text)


def test_members_of_an_archive_are_told_apart_and_read_once(tmp_path, settled, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 9)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("a", "b"):
            archive.add(tmp_path / name, name)
    path = str(tmp_path / "x.tar")
    with tarfile.open(path) as archive:
        sources = [TarSource(m.name, path, m.name, m.offset_data, m.size) for m in archive]
    first = content_digests(sources, tmp_path / "memo", workers=1)
    assert listed(first) == expected(b"a" * 9, b"b" * 9)
    monkeypatch.setattr(TarSource, "read", lambda self: pytest.fail("was read again"))
    np.testing.assert_array_equal(content_digests(sources, tmp_path / "memo", workers=1), first)


@pytest.mark.parametrize("struct", [True, False])
def test_cells_of_bytes_are_read_once(tmp_path, settled, monkeypatch, struct):
    cells = [b"%d" % i for i in range(7)]
    held = [{"bytes": c, "path": "x"} for c in cells] if struct else cells
    sources = parquet_sources(tmp_path / "x.parquet", held)
    first = content_digests(sources, tmp_path / "memo", workers=2)
    assert listed(first) == expected(*cells)
    monkeypatch.setattr(ParquetSource, "read", lambda self: pytest.fail("was read again"))
    np.testing.assert_array_equal(content_digests(sources, tmp_path / "memo", workers=2), first)


@pytest.mark.parametrize(
    "cells",
    [
        [{"bytes": None, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}],
        [{"bytes": None, "path": "a.jpg"}, {"bytes": b"2", "path": "b.jpg"}],
    ],
)
def test_cells_that_name_files_follow_those_files(tmp_path, settled, cells):
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "b.jpg").write_bytes(b"2")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    sources = parquet_sources(tmp_path / "x.parquet", cells, kind)
    assert listed(content_digests(sources, tmp_path / "m", workers=1)) == expected(b"1", b"2")
    (tmp_path / "a.jpg").write_bytes(b"3")
    assert listed(content_digests(sources, tmp_path / "m", workers=1)) == expected(b"3", b"2")


def test_a_file_that_is_gone_is_named(files, tmp_path):
    Path(files[3].path).unlink()
    with pytest.raises(BadImageError, match=r"3\.jpg"):
        content_digests(files, tmp_path / "memo", workers=2)

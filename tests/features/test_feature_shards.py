from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from cliptune.errors import CheckpointError, UnavailableError
from cliptune.features import shards
from cliptune.features.folder import ShardFolder
from cliptune.features.gather import gather_rows
from cliptune.features.shards import open_shard, shard_is_intact, write_shard


def digests(*numbers: int) -> NDArray[np.bytes_]:
    return np.frombuffer(b"".join(n.to_bytes(16, "big") for n in numbers), "S16")


def vectors(*numbers: int) -> NDArray[np.float32]:
    return np.array([[n, n + 0.5, -n] for n in numbers], np.float32)


def append(folder: ShardFolder, *numbers: int) -> None:
    folder.append(digests(*numbers), vectors(*numbers))


def files(folder: ShardFolder) -> list[Path]:
    return sorted(folder.path.glob("*.safetensors"))


@pytest.fixture
def folder(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path / "folder")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if not (sys.platform == "linux" and shutil.which("mount") and os.geteuid() == 0):
        pytest.skip("only root on Linux can mount a small disk")
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mounts")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_shard_is_a_safetensors_file(tmp_path):
    parts = [vectors(1, 2), vectors(3)]
    path = write_shard(tmp_path, 7, digests(1, 2, 3), parts=parts, row_shape=(3,))
    loaded = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(loaded["vectors"], vectors(1, 2, 3))
    assert loaded["contents"].tobytes() == digests(1, 2, 3).tobytes()
    shard = open_shard(path)
    assert (shard.sequence, len(shard), shard.row_shape, shard.start % 64) == (7, 3, (3,), 0)
    np.testing.assert_array_equal(shard.map(), vectors(1, 2, 3))
    np.testing.assert_array_equal(shard.read(1, 3), vectors(2, 3))


def test_every_cut_of_a_shard_is_found_on_opening(tmp_path):
    path = write_shard(tmp_path, 0, digests(1, 2), parts=[vectors(1, 2)], row_shape=(3,))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cut short"):
            open_shard(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="instead of"):
        open_shard(path)


def test_every_altered_byte_shows_in_the_checksum(tmp_path):
    path = write_shard(tmp_path, 0, digests(1, 2), parts=[vectors(1, 2)], row_shape=(3,))
    whole = path.read_bytes()
    assert shard_is_intact(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert not shard_is_intact(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\2\0\0\0\0\0\0\0{}", b"\2" + b"\0" * 40])
def test_what_is_no_shard_is_refused(tmp_path, content):
    (tmp_path / "00000000-x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError):
        open_shard(tmp_path / "00000000-x.safetensors")


@pytest.mark.parametrize("max_resident", [0, 1 << 30])
def test_gathers_any_rows_from_any_shards(tmp_path, max_resident):
    rng = np.random.default_rng(0)
    opened, everything, first = [], [], 0
    for sequence, n in enumerate([5, 1, 17, 64]):
        numbers = range(first, first + n)
        part = vectors(*numbers)
        path = write_shard(tmp_path, sequence, digests(*numbers), parts=[part], row_shape=(3,))
        opened.append(open_shard(path))
        everything.append(part)
        first += n
    joined = np.concatenate(everything)
    for _ in range(50):
        places = rng.integers(0, first, rng.integers(1, 100))
        np.testing.assert_array_equal(
            gather_rows(opened, places, max_resident=max_resident), joined[places]
        )
    assert sorted(p.name[:8] for p in tmp_path.iterdir()) == [f"{i:08d}" for i in range(4)]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (5, 6), (6, 23), (8, 20), (4, 7), (22, 24)])
def test_rows_in_one_piece_of_one_shard_are_mapped_not_copied(tmp_path, start, stop):
    opened, first = [], 0
    for sequence, n in enumerate([5, 1, 17, 64]):
        numbers = range(first, first + n)
        path = write_shard(
            tmp_path, sequence, digests(*numbers), parts=[vectors(*numbers)], row_shape=(3,)
        )
        opened.append(open_shard(path))
        first += n
    rows = gather_rows(opened, np.arange(start, stop))
    np.testing.assert_array_equal(rows, vectors(*range(start, stop)))
    base = rows
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap) == ((start, stop) not in {(4, 7), (22, 24)})


def test_finds_what_was_appended_by_another(folder):
    append(folder, 1, 2)
    append(folder, 3)
    other = ShardFolder(folder.path)
    assert other.lacks(digests(1)).tolist() == [True]
    other.refresh()
    assert other.lacks(digests(3, 9, 1)).tolist() == [False, True, False]
    np.testing.assert_array_equal(other.gather(digests(3, 1, 3)), vectors(3, 1, 3))


def test_merging_keeps_every_vector_once_and_in_order(folder):
    for numbers in [(5, 1), (1, 7), (2,), (7, 5), (9, 8, 3)]:
        append(folder, *numbers)
    folder.merge()
    (file,) = files(folder)
    loaded = safetensors.numpy.load_file(file)
    np.testing.assert_array_equal(loaded["vectors"], vectors(5, 1, 7, 2, 9, 8, 3))
    assert shard_is_intact(file)


def test_merging_leaves_large_old_shards_alone(folder):
    append(folder, *range(100))
    append(folder, *range(100, 110))
    folder.merge()
    assert [len(open_shard(f)) for f in files(folder)] == [100, 10]
    append(folder, *range(110, 113))
    folder.merge()
    assert [len(open_shard(f)) for f in files(folder)] == [113]
    np.testing.assert_array_equal(folder.gather(digests(*range(113))), vectors(*range(113)))


def test_the_number_of_shards_stays_small_however_they_grow(folder):
    for number in range(300):
        append(folder, number)
        folder.merge()
    assert len(files(folder)) <= 4
    np.testing.assert_array_equal(folder.gather(digests(*range(300))), vectors(*range(300)))


def test_what_a_killed_merge_left_is_removed(folder):
    append(folder, 1, 2)
    append(folder, 3, 4)
    parts = {file.name: file.read_bytes() for file in files(folder)}
    folder.merge()
    merged = files(folder)
    for name, content in parts.items():
        (folder.path / name).write_bytes(content)
    (folder.path / ".tmp-123-abc").write_bytes(b"half a shard")
    ShardFolder(folder.path).refresh()
    assert files(folder) == merged
    assert not list(folder.path.glob(".tmp-*"))


def test_without_room_to_merge_the_shards_stay(folder, monkeypatch, caplog):
    append(folder, 1, 2)
    append(folder, 3)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(shards.os, "fsync", full)
        folder.merge()
    assert "stays in 2 files" in caplog.text
    assert len(files(folder)) == 2
    np.testing.assert_array_equal(folder.gather(digests(1, 2, 3)), vectors(1, 2, 3))


def test_a_disk_that_is_really_full_keeps_what_was_written(small_disk):
    folder = ShardFolder(small_disk / "folder")
    written = 0
    with pytest.raises(UnavailableError, match="No space left") as caught:
        for written in range(100):
            numbers = np.arange(16 * written, 16 * written + 16)
            folder.append(digests(*numbers.tolist()), np.ones((16, 512), np.float32))
    assert "\n" not in str(caught.value)
    assert len(files(folder)) == written > 3
    assert all(shard_is_intact(file) for file in files(folder))
    assert not list(folder.path.glob(".tmp-*"))


def test_vectors_that_were_pruned_meanwhile_are_one_line(folder):
    append(folder, 1)
    folder.refresh()
    files(folder)[0].unlink()
    with pytest.raises(UnavailableError, match="repeat the command"):
        folder.gather(digests(1))


@pytest.mark.parametrize(
    "header",
    [b"[]", b"{}", b'{"vectors": 3}', b'{"vectors": {"shape": "ab", "dtype": "F32"}}',
     b'{"vectors": {"shape": [-1, 3], "dtype": "F32"}}', b"[" * 50_000,
     b'{"vectors": {"shape": [1e999, 3], "dtype": "F32"}}',
     b'{"vectors": {"shape": [], "dtype": "F32"}}'],
)  # fmt: skip
def test_a_header_of_other_types_is_one_line(tmp_path, header):
    path = tmp_path / "0-aa.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="is no shard") as caught:
        open_shard(path)
    assert "\n" not in str(caught.value)


def test_vectors_of_another_width_than_float32_are_no_shard(tmp_path):
    header = b'{"vectors": {"shape": [1, 3], "dtype": "I32", "data_offsets": [0, 12]}}'
    path = tmp_path / "0-aa.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(12 + 16))
    with pytest.raises(CheckpointError, match="no float32 vectors"):
        open_shard(path)

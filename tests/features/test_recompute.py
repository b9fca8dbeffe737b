"""Stored vectors are held against new ones; what differs is set aside and made again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from cliptune.errors import UnavailableError
from cliptune.features import FeatureStore, list_cache, recompute_cache, shards, verify_cache
from cliptune.features.places import recall_places
from cliptune.images import ImageTable
from fakes import TinyEncoder

TEXTS = ["an ant", "a bee", "half a character \ud83d"]


@pytest.fixture
def filled(settled, make_table, tmp_path):
    """A cache with two kinds of an encoder's images, and texts."""
    table = make_table(40)
    store = FeatureStore(tmp_path / "cache")
    store.features(TinyEncoder(), table, trunk=True)
    store.text_features(TinyEncoder(), TEXTS)
    return store.cache_dir, table


def spoil(cache, kind):
    """Put another picture's vector into a shard, whose checksum is right."""
    (entry,) = [e for e in list_cache(cache) if e.kind == kind]
    (path,) = entry.path.glob("*.safetensors")
    shard = shards.open_shard(path)
    vectors = shard.read(0, len(shard))
    path.unlink()
    vectors[:] = np.roll(vectors, 1, axis=0)
    row_shape = vectors.shape[1:]
    shards.write_shard(entry.path, 0, shard.contents, parts=[vectors], row_shape=row_shape)


def test_what_is_right_is_counted_and_stays(filled):
    cache, _ = filled
    found = recompute_cache(cache, 30, lambda _: TinyEncoder())
    assert 28 <= found.checked.n <= 32
    assert found.checked.largest_difference < 1e-5
    assert found.damaged == found.left_out == ()
    assert recompute_cache(cache, 1, lambda _: TinyEncoder()).checked.n == 3  # one of each entry
    everything = recompute_cache(cache, 10_000, lambda _: TinyEncoder())
    assert everything.checked.n == 40 + 40 + len(TEXTS)


@pytest.mark.parametrize("kind", ["pooled", "trunk", "texts"])
def test_a_shard_with_wrong_vectors_is_set_aside_and_made_again(filled, kind):
    cache, table = filled
    right = FeatureStore(cache).features(TinyEncoder(), table, trunk=True)
    texts = FeatureStore(cache).text_features(TinyEncoder(), TEXTS)
    right_rows = [right.vectors.copy(), right.trunk.copy(), texts.copy()]
    spoil(cache, kind)
    assert verify_cache(cache).damaged == ()  # its bytes are those that were written
    found = recompute_cache(cache, 60, lambda _: TinyEncoder())
    (damaged,) = found.damaged
    assert damaged.path.parent.name == "quarantine"
    assert "differs by" in damaged.problem
    again = FeatureStore(cache).features(TinyEncoder(), table, trunk=True)
    rows = [again.vectors, again.trunk, FeatureStore(cache).text_features(TinyEncoder(), TEXTS)]
    for ours, expected in zip(rows, right_rows, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_what_cannot_be_looked_at_is_said(filled):
    cache, table = filled

    def gone(_):
        raise UnavailableError("no weights\nhere")

    found = recompute_cache(cache, 10, gone)
    assert found.checked.n == 0
    assert {out.reason for out in found.left_out} == {"no weights here"}
    other = recompute_cache(cache, 10, lambda _: TinyEncoder(seed=1))
    assert {out.reason for out in other.left_out} == {"tiny of today is not what made it"}
    shutil.rmtree(table.sources[0].path.rsplit("/", 2)[0])
    without = recompute_cache(cache, 10, lambda _: TinyEncoder())
    assert {out.entry.kind for out in without.left_out} == {"pooled", "trunk"}
    assert {out.reason for out in without.left_out} == {
        "what it was made from is gone or not recorded"
    }
    assert without.checked.n == 1  # a text


def test_a_picture_that_was_replaced_is_not_taken_for_the_old_one(filled):
    cache, table = filled
    first, second = (source.path for source in table.sources[:2])
    shutil.copy(second, first)
    found = recompute_cache(cache, 10_000, lambda _: TinyEncoder())
    assert found.damaged == ()
    assert found.checked.n == 39 + 39 + len(TEXTS)


def test_pictures_in_archives_and_tables_are_found_again(settled, make_table, tmp_path):
    import io
    import tarfile

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = make_table(4)
    data = [source.read() for source in table.sources]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i in (0, 1):
            for name, content in ((f"{i}.png", data[i]), (f"{i}.cls", b"0")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    columns = {"image": data[2:], "label": ["ant", "bee"]}
    pq.write_table(pa.table(columns), tmp_path / "b.parquet")
    store = FeatureStore(tmp_path / "cache")
    for place in ("a.tar", "b.parquet"):
        store.features(TinyEncoder(), ImageTable.open(tmp_path / place))
    found = recompute_cache(store.cache_dir, 100, lambda _: TinyEncoder())
    assert found.checked.n == 4
    assert found.left_out == ()


def test_digests_that_end_in_zeros_are_found(tmp_path):
    from cliptune.features.places import record_texts

    digest = np.array([b"x" * 14 + b"\0\0"], "S16")
    record_texts(tmp_path / "memo.sqlite", digest, ["a bee"])
    assert list(recall_places(tmp_path / "memo.sqlite", digest)) == [b"x" * 14 + b"\0\0"]

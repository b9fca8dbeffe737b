from __future__ import annotations

import errno
import logging
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError, DataError, InputError, UnavailableError
from cliptune.features import FeatureStore, Progress, list_cache, shards
from cliptune.features.extract import extract
from cliptune.images import ImageTable
from fakes import TinyEncoder


class BatchMinded(TinyEncoder):
    """Its last bits depend on the size of the batch and the place in it, as BLAS's may."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = super().encode_images(pixels)
        noise = np.arange(len(pixels), dtype=np.float32)[:, None] + len(pixels)
        return vectors + np.float32(1e-6) * noise


class Stopping(BatchMinded):
    """Is interrupted before its ``limit``-th batch."""

    limit = 2

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(self.batch_sizes) == self.limit:
            raise KeyboardInterrupt
        return super().encode_images(pixels)


def shard_names(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.glob("features/pooled-*/*.safetensors"))


def test_gives_what_extraction_gives_and_embeds_each_image_once(make_table, tmp_path):
    table, encoder = make_table(150), TinyEncoder()
    features = FeatureStore(tmp_path / "cache").features(encoder, table)
    expected = np.concatenate([b.vectors for b in extract(TinyEncoder(), table)])
    np.testing.assert_array_equal(features.vectors, expected)
    assert features.row_ids == table.ids
    assert features.vectors.dtype == np.float32
    assert features.tokens is None
    assert len(features) == encoder.n_images == 150
    again = FeatureStore(tmp_path / "cache").features(encoder, table)
    np.testing.assert_array_equal(again.vectors, expected)
    assert encoder.n_images == 150
    assert again.key == features.key


def test_adding_ten_images_embeds_ten(make_table, tmp_path):
    encoder, store = TinyEncoder(), FeatureStore(tmp_path / "cache")
    assert not store.holds(encoder, make_table(100))
    first = store.features(encoder, make_table(100))
    assert store.holds(encoder, make_table(100))
    table = make_table(110)
    assert not store.holds(encoder, table)
    second = store.features(encoder, table)
    assert encoder.n_images == 110
    assert second.key != first.key
    found = dict(zip(second.row_ids, second.vectors, strict=True))
    for name, vector in zip(first.row_ids, first.vectors, strict=True):
        np.testing.assert_array_equal(found[name], vector)


def test_renaming_folder_and_files_embeds_none(make_table, tmp_path):
    encoder, store = TinyEncoder(), FeatureStore(tmp_path / "cache")
    first = store.features(encoder, make_table(20))
    (tmp_path / "images" / "ant").rename(tmp_path / "images" / "wasp")
    (tmp_path / "images").rename(tmp_path / "photos")
    second = store.features(encoder, ImageTable.open(tmp_path / "photos"))
    assert encoder.n_images == 20
    np.testing.assert_array_equal(np.sort(second.vectors, axis=0), np.sort(first.vectors, axis=0))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"preprocess": Preprocess(size=(32, 32), interpolation="bilinear")},
    ],
)
def test_other_weights_precision_or_preprocessing_embed_all(make_table, tmp_path, change):
    table, store = make_table(20), FeatureStore(tmp_path / "cache")
    first = store.features(TinyEncoder(), table)
    other = TinyEncoder(**change)
    second = store.features(other, table)
    assert other.n_images == 20
    assert second.key != first.key


def test_another_engine_embeds_all_but_another_name_embeds_none(make_table, tmp_path):
    table, store = make_table(20), FeatureStore(tmp_path / "cache")
    store.features(TinyEncoder(), table)
    renamed, faster = TinyEncoder(name="mine"), TinyEncoder()
    faster.computed_by = lambda kind: ("openvino", "fp32")
    store.features(renamed, table)
    store.features(faster, table)
    assert (renamed.n_images, faster.n_images) == (0, 20)


def test_equal_files_are_embedded_once(make_table, tmp_path):
    table = make_table(20)
    for i in range(0, 20, 2):
        (tmp_path / "images" / "bee" / f"copy{i}.png").write_bytes(table.sources[i].read())
    doubled, encoder, reports = ImageTable.open(tmp_path / "images"), TinyEncoder(), []
    features = FeatureStore(tmp_path / "cache").features(encoder, doubled, progress=reports.append)
    assert encoder.n_images == 20
    assert len(features) == reports[-1].done == 30
    direct = np.concatenate([b.vectors for b in extract(TinyEncoder(), doubled)])
    np.testing.assert_allclose(features.vectors, direct, atol=1e-6)


def test_a_changed_file_alone_is_embedded_again(make_table, tmp_path, settled):
    table, encoder, store = make_table(20), TinyEncoder(), FeatureStore(tmp_path / "cache")
    first = store.features(encoder, table)
    Image.new("RGB", (8, 8), "red").save(table.sources[7].location)
    second = store.features(encoder, ImageTable.open(tmp_path / "images"))
    assert encoder.n_images == 21
    assert np.flatnonzero((first.vectors != second.vectors).any(axis=1)).tolist() == [7]


def test_a_file_that_changes_while_it_is_embedded_is_named(make_table, tmp_path, monkeypatch):
    table = make_table(6)
    readings = Counter()
    original = type(table.sources[0]).read

    def read(source):
        readings[source.id] += 1
        data = original(source)
        second = readings[source.id] == 2 and source.id == table.ids[4]
        return table.sources[0].read() if second else data

    monkeypatch.setattr(type(table.sources[0]), "read", read)
    with pytest.raises(DataError, match="changed while") as caught:
        FeatureStore(tmp_path / "cache").features(TinyEncoder(), table)
    assert table.sources[4].location in str(caught.value)


def test_an_interrupted_run_ends_with_the_bits_of_an_undisturbed_one(make_table, tmp_path):
    table = make_table(77)
    whole = BatchMinded()
    undisturbed = FeatureStore(tmp_path / "one", batch_size=16).features(whole, table)
    store, sizes = FeatureStore(tmp_path / "two", batch_size=16), []
    for _ in range(2):
        part = Stopping()
        with pytest.raises(KeyboardInterrupt):
            store.features(part, table)
        sizes += part.batch_sizes
    last = BatchMinded()
    resumed = store.features(last, table)
    assert sizes + last.batch_sizes == whole.batch_sizes == [16, 16, 16, 16, 13]
    np.testing.assert_array_equal(resumed.vectors, undisturbed.vectors)
    assert resumed.key == undisturbed.key


def test_an_embedding_that_is_not_finite_keeps_the_batches_before(make_table, tmp_path):
    class Failing(TinyEncoder):
        def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            vectors = super().encode_images(pixels)
            if len(self.batch_sizes) == 3:
                vectors[1, 0] = np.inf
            return vectors

    table, store = make_table(40), FeatureStore(tmp_path / "cache", batch_size=8)
    with pytest.raises(DataError, match="not finite") as caught:
        store.features(Failing(), table)
    assert table.ids[17] in str(caught.value)
    encoder = TinyEncoder()
    store.features(encoder, table)
    assert encoder.n_images == 24


def test_a_bad_image_is_named_and_keeps_the_batches_before(make_table, tmp_path):
    table, store = make_table(40), FeatureStore(tmp_path / "cache", batch_size=8)
    path = Path(table.sources[20].location)
    whole = path.read_bytes()
    path.write_bytes(whole[:70])
    with pytest.raises(BadImageError, match=path.name):
        store.features(TinyEncoder(), table)
    path.write_bytes(whole)
    encoder = TinyEncoder()
    store.features(encoder, table)
    assert encoder.n_images == 24


def test_tokens_come_with_pooled_features_that_are_not_made_twice(make_table, tmp_path):
    table, encoder, store = make_table(40), TinyEncoder(), FeatureStore(tmp_path / "cache")
    pooled = store.features(encoder, table)
    both = store.features(encoder, table, tokens=True)
    assert encoder.n_images == 40
    np.testing.assert_array_equal(both.vectors, pooled.vectors)
    direct = np.concatenate([b.tokens for b in extract(encoder, table, tokens=True)])
    assert both.tokens is not None
    np.testing.assert_array_equal(both.tokens, direct)
    again = FeatureStore(tmp_path / "cache").features(TinyEncoder(), table, tokens=True)
    np.testing.assert_array_equal(again.tokens, direct)


def test_trunk_rows_and_embeddings_come_from_one_pass(make_table, tmp_path):
    table, encoder, store = make_table(40), TinyEncoder(), FeatureStore(tmp_path / "cache")
    both = store.features(encoder, table, trunk=True)
    assert encoder.n_images == 0  # encode_images has seen none
    direct = np.concatenate([b.trunk for b in extract(TinyEncoder(), table, trunk=True)])
    np.testing.assert_array_equal(both.trunk, direct)
    np.testing.assert_array_equal(both.vectors, direct[:, :16])
    assert both.tokens is None
    pooled = store.features(encoder, table)
    assert encoder.n_images == 0
    assert pooled.trunk is None
    assert pooled.key == both.key
    kinds = {p.name.split("-")[0] for p in (tmp_path / "cache" / "features").iterdir()}
    assert kinds == {"pooled", "trunk"}
    assert {entry.kind for entry in list_cache(tmp_path / "cache")} == kinds


def test_trunk_rows_leave_embeddings_that_are_there_as_they_are(make_table, tmp_path):
    encoder, store = BatchMinded(), FeatureStore(tmp_path / "cache", batch_size=16)
    pooled = store.features(encoder, make_table(20))
    table = make_table(40)
    both = store.features(encoder, table, trunk=True)
    found = dict(zip(both.row_ids, both.vectors, strict=True))
    for name, vector in zip(pooled.row_ids, pooled.vectors, strict=True):
        np.testing.assert_array_equal(found[name], vector)
    np.testing.assert_allclose(both.trunk[:, :16], both.vectors, atol=1e-4)


def test_embeddings_of_another_maker_than_the_trunks_are_made_apart(make_table, tmp_path):
    class Quantised(TinyEncoder):
        def computed_by(self, kind):
            return "openvino", "int8" if kind == "pooled" else "fp32"

    encoder = Quantised()
    FeatureStore(tmp_path / "cache").features(encoder, make_table(20), trunk=True)
    assert encoder.n_images == 20


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_an_interrupted_run_over_trunk_rows_ends_with_the_same_bits(make_table, tmp_path, limit):
    class Minded(TinyEncoder):
        n_passes = 0
        limit = -1

        def encode_trunk(self, pixels):
            if self.n_passes == self.limit:
                raise KeyboardInterrupt
            self.n_passes += 1
            noise = np.arange(len(pixels), dtype=np.float32)[:, None] + len(pixels)
            return super().encode_trunk(pixels) + np.float32(1e-6) * noise

    table = make_table(40)
    whole = FeatureStore(tmp_path / "whole", batch_size=16).features(Minded(), table, trunk=True)
    stopping = Minded()
    stopping.limit = limit
    store = FeatureStore(tmp_path / "cut", batch_size=16)
    with pytest.raises(KeyboardInterrupt):
        store.features(stopping, table, trunk=True)
    again = store.features(Minded(), table, trunk=True)
    np.testing.assert_array_equal(again.trunk, whole.trunk)
    np.testing.assert_array_equal(again.vectors, whole.vectors)


def test_reports_progress_and_time(make_table, tmp_path):
    reports: list[Progress] = []
    store = FeatureStore(tmp_path / "cache", batch_size=16)
    store.features(TinyEncoder(), make_table(40), progress=reports.append)
    store.features(TinyEncoder(), make_table(50), progress=reports.append)
    store.features(TinyEncoder(), make_table(50), progress=reports.append)
    assert [(r.done, r.embedded) for r in reports[:4]] == [(0, 0), (16, 16), (32, 32), (40, 40)]
    assert [(r.done, r.embedded) for r in reports[4:6]] == [(40, 0), (50, 10)]
    assert [(r.done, r.total, r.embedded) for r in reports[6:]] == [(50, 50, 0)]
    assert reports[3].input_seconds > 0
    assert reports[3].model_seconds > 0


def test_writing_to_the_vectors_changes_no_file_and_torch_takes_them_as_they_are(
    make_table, tmp_path
):
    table, store = make_table(20), FeatureStore(tmp_path / "cache")
    features = store.features(TinyEncoder(), table)
    kept = features.vectors.copy()
    torch.from_numpy(features.vectors).mul_(2)
    np.testing.assert_array_equal(features.vectors, 2 * kept)
    np.testing.assert_array_equal(store.features(TinyEncoder(), table).vectors, kept)


def test_a_shard_that_was_cut_is_put_aside_and_computed_again(make_table, tmp_path, caplog):
    table, cache = make_table(40), tmp_path / "cache"
    first = FeatureStore(cache).features(TinyEncoder(), table)
    kept = first.vectors.copy()
    (file,) = cache.glob("features/pooled-*/*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    encoder = TinyEncoder()
    with caplog.at_level(logging.WARNING):
        again = FeatureStore(cache).features(encoder, table)
    assert "cut short" in caplog.text
    assert encoder.n_images == 40
    np.testing.assert_array_equal(again.vectors, kept)
    assert [p.name for p in cache.glob("features/*/quarantine/*")] == [file.name]


def test_a_full_disk_is_one_line_and_keeps_earlier_shards(make_table, tmp_path, monkeypatch):
    table, store = make_table(64), FeatureStore(tmp_path / "cache", batch_size=8)
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 6:  # file and folder of three shards
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(shards.os, "fsync", full)
        with pytest.raises(UnavailableError, match="No space left") as caught:
            store.features(TinyEncoder(), table)
    assert "\n" not in str(caught.value)
    assert len(shard_names(store.cache_dir)) == 3
    assert not list(store.cache_dir.glob("features/*/.unfinished-*"))
    encoder = TinyEncoder()
    store.features(encoder, table)
    assert encoder.n_images == 64 - 24


def test_an_unusable_place_is_one_line(make_table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="--cache-dir") as caught:
        FeatureStore(tmp_path / "file").features(TinyEncoder(), make_table(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"workers": 0}])
def test_rejects_nonsense(tmp_path, option):
    with pytest.raises(InputError, match="at least 1"):
        FeatureStore(tmp_path, **option)


def test_rejects_an_empty_table(make_table, tmp_path):
    with pytest.raises(DataError, match="no images"):
        FeatureStore(tmp_path).features(TinyEncoder(), make_table(2).select(np.arange(0)))


def test_texts_are_embedded_once(tmp_path):
    encoder, store = TinyEncoder(), FeatureStore(tmp_path)
    rows = store.text_features(encoder, ["a bee", "an ant", "a bee"])
    np.testing.assert_array_equal(rows[[0, 1]], TinyEncoder().encode_texts(["a bee", "an ant"]))
    np.testing.assert_array_equal(rows[0], rows[2])
    more = FeatureStore(tmp_path).text_features(encoder, ["a fly", "an ant"])
    assert encoder.texts == ["a bee", "an ant", "a fly"]
    np.testing.assert_array_equal(more[1], rows[1])
    assert store.text_features(encoder, []).shape == (0, 16)
    other = TinyEncoder(seed=1)
    store.text_features(other, ["a bee"])
    assert other.texts == ["a bee"]


def test_a_text_that_was_cut_before_is_refused_when_cutting_is_not_allowed(tmp_path):
    encoder, store = TinyEncoder(), FeatureStore(tmp_path)
    store.text_features(encoder, ["x" * 100], truncate=True)
    with pytest.raises(InputError, match="100 letters"):
        store.text_features(encoder, ["x" * 100])


def test_ten_thousand_cached_images_are_there_in_under_three_seconds(data_root, tmp_path):
    table = ImageTable.open(data_root / "cifar10", split="test")
    encoder, store = TinyEncoder(), FeatureStore(tmp_path, batch_size=500)
    first = store.features(encoder, table)
    start = time.perf_counter()
    again = FeatureStore(tmp_path).features(
        encoder, ImageTable.open(data_root / "cifar10", split="test")
    )
    assert time.perf_counter() - start < 3
    assert encoder.n_images == len(np.unique(first.vectors, axis=0)) <= len(table) == 10_000
    np.testing.assert_array_equal(again.vectors, first.vectors)


def test_real_photographs_are_embedded_once(data_root, tmp_path):
    table, encoder = ImageTable.open(data_root / "hymenoptera_data", split="val"), TinyEncoder()
    features = FeatureStore(tmp_path).features(encoder, table)
    direct = np.concatenate([b.vectors for b in extract(TinyEncoder(), table)])
    np.testing.assert_array_equal(features.vectors, direct)
    FeatureStore(tmp_path).features(encoder, table)
    assert encoder.n_images == len(table) == 153


def test_progress_of_texts_moves_within_a_file_of_them(tmp_path):
    seen = []
    texts = [f"thing {n}" for n in range(1100)]
    FeatureStore(tmp_path).text_features(
        TinyEncoder(), texts, progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == [0, 256, 512, 768, 1024, 1100]
    assert {total for _, total in seen} == {1100}

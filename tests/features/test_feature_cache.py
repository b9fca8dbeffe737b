from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from cliptune.errors import InputError
from cliptune.features import FeatureStore, list_cache, prune_cache, verify_cache
from cliptune.features.folder import ShardFolder
from fakes import TinyEncoder

DAY = 86_400


@pytest.fixture
def cache(settled, make_table, tmp_path: Path) -> Path:
    """Three entries: pooled of two encoders, the second unused for ten days, and texts."""
    store = FeatureStore(tmp_path / "cache")
    store.features(TinyEncoder(name="old", seed=1, dim=32), make_table(30))
    old = list_cache(store.cache_dir)[0].path / "meta.json"
    long_ago = time.time() - 10 * DAY
    os.utime(old, (long_ago, long_ago))
    store.features(TinyEncoder(), make_table(30))
    store.text_features(TinyEncoder(), ["a bee"])
    return store.cache_dir


def shard(cache: Path, encoder: str) -> Path:
    entry = next(e for e in list_cache(cache) if (e.encoder, e.kind) == (encoder, "pooled"))
    return next(entry.path.glob("*.safetensors"))


def test_lists_what_there_is(cache):
    entries = list_cache(cache)
    assert {(e.encoder, e.kind, e.n_vectors) for e in entries} == {
        ("tiny", "texts", 1),
        ("tiny", "pooled", 30),
        ("old", "pooled", 30),
    }
    assert entries[-1].encoder == "old"
    newest = next(e for e in entries if (e.encoder, e.kind) == ("tiny", "pooled"))
    assert newest.fingerprint == TinyEncoder().fingerprint
    assert (newest.precision, newest.engine) == ("fp32", "torch")
    on_disk = sum(f.stat().st_size for f in newest.path.rglob("*") if f.is_file())
    assert newest.n_bytes == on_disk > 30 * 16 * 4
    assert abs((newest.last_used - newest.created).total_seconds()) < 60
    assert (newest.last_used - entries[-1].last_used).days in (9, 10)


def test_use_renews_the_time_of_last_use(cache, make_table):
    FeatureStore(cache).features(TinyEncoder(name="old", seed=1, dim=32), make_table(30))
    assert list_cache(cache)[0].encoder == "old"


def test_no_cache_is_an_empty_one(tmp_path):
    assert list_cache(tmp_path / "none") == []
    assert verify_cache(tmp_path / "none").n_shards == 0
    assert prune_cache(tmp_path / "none", max_bytes=0).removed == ()
    assert not (tmp_path / "none").exists()


def test_a_whole_cache_verifies(cache):
    check = verify_cache(cache)
    assert (check.n_shards, check.n_vectors, check.damaged) == (3, 61, ())
    assert check.n_bytes == sum(f.stat().st_size for f in cache.rglob("*.safetensors"))


@pytest.mark.parametrize(("damage", "problem"), [("cut", "cut short"), ("flip", "was altered")])
def test_a_damaged_shard_is_put_aside_and_computed_again(cache, make_table, damage, problem):
    file = shard(cache, "tiny")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "flip" else content[:-3])
    check = verify_cache(cache)
    assert check.n_shards == 2
    (damaged,) = check.damaged
    assert problem in damaged.problem
    assert damaged.path.is_file()
    assert not file.exists()
    assert verify_cache(cache).damaged == ()
    encoder = TinyEncoder()
    features = FeatureStore(cache).features(encoder, make_table(30))
    assert encoder.n_images == 30
    np.testing.assert_allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-6)


def test_prunes_by_age(cache):
    pruned = prune_cache(cache, max_age_days=5)
    assert [e.encoder for e in pruned.removed] == ["old"]
    assert {e.encoder for e in list_cache(cache)} == {"tiny"}
    assert prune_cache(cache, max_age_days=5).removed == ()


def test_prunes_to_a_size_keeping_what_was_used_last(cache):
    total = sum(e.n_bytes for e in list_cache(cache))
    assert [e.encoder for e in prune_cache(cache, max_bytes=total - 1).removed] == ["old"]
    assert (cache / "contents.sqlite").exists()
    assert len(prune_cache(cache, max_bytes=0).removed) == 2
    assert list_cache(cache) == []
    assert [p.name for p in cache.iterdir()] == ["features"]


def test_prunes_one_encoder_by_name_or_fingerprint(cache):
    assert {e.kind for e in prune_cache(cache, encoder="tiny").removed} == {"pooled", "texts"}
    fingerprint = TinyEncoder(seed=1, dim=32).fingerprint
    assert len(prune_cache(cache, encoder=fingerprint[:12]).removed) == 1
    assert list_cache(cache) == []


def test_prunes_nothing_that_a_process_adds_to(cache):
    entry = next(e for e in list_cache(cache) if e.encoder == "old")
    with ShardFolder(entry.path).claim("table"):
        pruned = prune_cache(cache, encoder="old")
    assert (pruned.removed, [e.path for e in pruned.busy]) == ((), [entry.path])
    assert len(prune_cache(cache, encoder="old").removed) == 1


def test_finishes_a_pruning_that_was_killed(cache):
    entry = list_cache(cache)[0]
    trash = entry.path.with_name(f".pruned-{entry.path.name}")
    entry.path.rename(trash)
    assert len(list_cache(cache)) == 2
    assert not trash.exists()


@pytest.mark.parametrize("limits", [{}, {"max_bytes": -1}, {"max_age_days": -0.5}])
def test_refuses_to_prune_without_sense(cache, limits):
    with pytest.raises(InputError):
        prune_cache(cache, **limits)
    assert len(list_cache(cache)) == 3


def test_a_folder_without_its_description_is_listed_and_can_go(cache):
    entry = next(e for e in list_cache(cache) if e.encoder == "old")
    (entry.path / "meta.json").write_text("{")
    assert "unknown" in {e.encoder for e in list_cache(cache)}
    assert len(prune_cache(cache, max_bytes=0).removed) == 3


@pytest.mark.parametrize("text", ["[]", '"x"', "{", "[" * 50_000, '{"encoder": {"a": []}}', "\xff"])
def test_an_entry_whose_facts_are_none_is_listed_and_can_be_pruned(cache, text):
    (shard(cache, "old").parent / "meta.json").write_bytes(text.encode("latin-1"))
    assert len(list_cache(cache)) == 3
    assert verify_cache(cache).n_shards == 3
    assert len(prune_cache(cache, max_bytes=0).removed) == 3

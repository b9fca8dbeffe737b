"""Graphs, sweeps and sections of studies are listed and pruned with the vectors."""

from __future__ import annotations

import json
import os
import time

import pytest
from filelock import FileLock

from cliptune.features import FeatureStore, list_cache, prune_cache
from fakes import TinyEncoder

DAY = 86_400


def write(path, n_bytes=10, *, days_ago=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * n_bytes)
    when = time.time() - days_ago * DAY
    os.utime(path, (when, when))
    return path


@pytest.fixture
def cache(make_table, tmp_path):
    """Vectors and graphs of one encoder, a sweep, a section, an unfinished one, and plans."""
    place = tmp_path / "cache"
    FeatureStore(place).features(TinyEncoder(), make_table(4))
    graphs = place / "engines" / TinyEncoder().fingerprint[:32]
    write(graphs / "openvino" / "image.bin", 5000, days_ago=3)
    (graphs / "facts.json").write_text(json.dumps({"fingerprint": TinyEncoder().fingerprint}))
    write(place / "engines" / "names" / "a.json")
    sweep = write(place / "sweeps" / "linear-bees-0123.sqlite3", 300, days_ago=20)
    write(place / "sweeps" / f"{sweep.name}.locks" / "exclusive", 0)
    write(place / "studies" / "sections" / "0123" / "heads.json", 200, days_ago=20)
    write(place / "studies" / "unfinished" / "0123-heads" / "state", 100, days_ago=2)
    write(place / "studies" / "plans" / "a.json", 50)
    return place


def kinds(entries):
    return {entry.kind for entry in entries}


def test_everything_is_listed_with_its_size(cache):
    found = {entry.kind: entry for entry in list_cache(cache)}
    expected = {"pooled", "graphs", "sweep", "section", "unfinished", "plans"}
    assert found.keys() == expected
    assert found["graphs"].encoder == "tiny"
    assert found["graphs"].engine == "openvino"
    assert found["graphs"].n_bytes > 5000
    assert (found["sweep"].name, found["sweep"].n_bytes) == ("linear-bees-0123", 300)
    assert (found["section"].name, found["unfinished"].name) == ("heads", "0123-heads")
    assert all(entry.n_vectors == 0 for kind, entry in found.items() if kind != "pooled")


def test_what_was_not_used_for_long_is_removed_whatever_it_is(cache):
    removed = prune_cache(cache, max_age_days=10).removed
    assert kinds(removed) == {"sweep", "section"}
    assert not list((cache / "sweeps").iterdir())  # its locks went with it
    assert kinds(list_cache(cache)) == {"pooled", "graphs", "unfinished", "plans"}


def test_an_encoder_takes_its_graphs_along(cache):
    assert kinds(prune_cache(cache, encoder="tiny").removed) == {"pooled", "graphs"}
    assert (cache / "engines" / "names" / "a.json").exists()


def test_a_size_of_nothing_removes_all(cache):
    prune_cache(cache, max_bytes=0)
    assert list_cache(cache) == []


@pytest.mark.parametrize("kind", ["graphs", "sweep", "unfinished"])
def test_what_a_process_works_on_stays(cache, kind):
    (entry,) = [entry for entry in list_cache(cache) if entry.kind == kind]
    places = {"graphs": entry.path / "making.lock", "sweep": f"{entry.path}.locks/exclusive"}
    if kind == "unfinished":
        write(entry.path / "newer")
        pruned = prune_cache(cache, max_bytes=0)
    else:
        with FileLock(places[kind]):
            pruned = prune_cache(cache, max_bytes=0)
    assert [busy.path for busy in pruned.busy] == [entry.path]
    assert entry.path.exists()


def test_what_was_left_half_written_goes_after_a_day(cache):
    graphs = next(path for path in (cache / "engines").iterdir() if path.name != "names")
    for days, name in ((2, "old"), (0, "young")):
        (graphs / f".making-{name}").mkdir()
        when = time.time() - days * DAY
        os.utime(graphs / f".making-{name}", (when, when))
        write(graphs / f".tmp-{name}.json", days_ago=days)
    (cache / "studies" / "sections" / ".pruned-0123").mkdir()
    list_cache(cache)
    assert sorted(path.name for path in graphs.glob(".*")) == [".making-young", ".tmp-young.json"]
    assert not (cache / "studies" / "sections" / ".pruned-0123").exists()

"""A large tree is listed once; afterwards only folders that changed are read."""

import os
import time

import pytest

from cliptune.images import ImageTable, tree, tree_cache


@pytest.fixture
def large(make_tree, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tree_cache, "_LARGE", 4)
    folder = make_tree(*(f"{c}/{n}.jpg" for c in ("ant", "bee", "wasp") for n in range(3)))
    (folder / "wasp/link.jpg").symlink_to("0.jpg")
    for place in (folder, *folder.iterdir()):
        os.utime(place, (time.time() - 60,) * 2)
    return folder


@pytest.fixture
def read(monkeypatch):
    """The folders that are read from the disk."""
    seen = []
    original = tree._scan_level

    def watched(listed, real_root, folder):
        seen.append(folder.path)
        return original(listed, real_root, folder)

    monkeypatch.setattr(tree, "_scan_level", watched)
    return seen


def test_folders_whose_time_has_not_changed_are_not_read_again(large, read):
    first = ImageTable.open(large)
    assert sorted(read) == ["", "ant", "bee", "wasp"]
    read.clear()
    again = ImageTable.open(large)
    assert read == ["wasp"]  # links may lead elsewhere by now
    assert (again.ids, again.labels.tolist()) == (first.ids, first.labels.tolist())


def test_a_file_more_or_less_is_seen(large, read, make_picture):
    ImageTable.open(large)
    (large / "ant/1.jpg").unlink()
    make_picture(3).save(large / "bee/new.png")
    read.clear()
    table = ImageTable.open(large)
    assert sorted(read) == ["ant", "bee", "wasp"]
    assert "ant/1.jpg" not in table.ids
    assert "bee/new.png" in table.ids


def test_what_changed_just_now_is_read_again(large, read):
    os.utime(large / "ant")
    ImageTable.open(large)
    read.clear()
    ImageTable.open(large)
    assert sorted(read) == ["ant", "wasp"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 9}'])
def test_a_damaged_cache_is_none(content, large, tmp_path, read):
    ids = ImageTable.open(large).ids
    (kept,) = (tmp_path / "cache/trees").iterdir()
    kept.write_text(content)
    assert ImageTable.open(large).ids == ids


def test_small_trees_are_not_kept(make_tree, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    ImageTable.open(make_tree("ant/1.jpg", "bee/1.jpg"))
    assert not (tmp_path / "cache").exists()

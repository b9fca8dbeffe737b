"""Where data and caches are looked for."""

from pathlib import Path

import pytest

from cliptune.system.paths import cache_dir, data_dir


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in ("CLIPTUNE_CACHE", "XDG_CACHE_HOME", "CLIPTUNE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_most_particular_setting_wins(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / ".cache/cliptune"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg/cliptune"
    monkeypatch.setenv("CLIPTUNE_CACHE", "~/own")
    assert cache_dir() == tmp_path / "own"


def test_the_users_data_folder_is_only_there_when_set(monkeypatch):
    assert data_dir() is None
    monkeypatch.setenv("CLIPTUNE_DATA", "")
    assert data_dir() is None
    monkeypatch.setenv("CLIPTUNE_DATA", "/some/where")
    assert data_dir() == Path("/some/where")


def test_looking_makes_nothing(tmp_path):
    cache_dir()
    assert list(tmp_path.iterdir()) == []

"""Versions of installed packages, beside those that importlib.metadata reads."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from cliptune.system.versions import installed_version


def test_gives_what_the_packages_describe_themselves_as() -> None:
    names = {one.metadata["Name"] for one in importlib.metadata.distributions()}
    described = {name: importlib.metadata.version(name) for name in names}
    assert len(described) > 50
    assert {name: installed_version(name) for name in described} == described


def test_what_is_not_installed_has_no_version() -> None:
    assert installed_version("cliptune-no-such-package") == ""


def test_the_first_folder_of_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, version in (("one", "1.5"), ("two", "2.0rc1")):
        (tmp_path / place / f"Some.Package-{version}.dist-info").mkdir(parents=True)
    (tmp_path / "packed.zip").write_bytes(b"")
    places = [str(tmp_path / name) for name in ("packed.zip", "missing", "one", "two")]
    monkeypatch.setattr(sys, "path", places)
    assert installed_version("some_package") == "1.5"
    monkeypatch.setattr(sys, "path", places[::-1])
    assert installed_version("Some-Package") == "2.0rc1"

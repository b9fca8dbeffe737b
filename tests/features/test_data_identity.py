"""Which images a run rests on: told apart by name, content, label and use, and said in words."""

import dataclasses
import shutil

import numpy as np
import pytest

from cliptune.errors import RunError
from cliptune.features import DataIdentity, FeatureStore, load_identity
from cliptune.images import ImageTable

BASE = DataIdentity(
    ids=("a", "b", "c"),
    contents=("01", "02", "03"),
    labels=("ant", "bee", "bee"),
    roles=("train", "val", "test"),
)


def changed(**parts):
    return dataclasses.replace(BASE, **parts)


def test_it_survives_a_file(tmp_path):
    odd = changed(ids=("a", "b\n", "\udcff c"), labels=("", "Biene 🐝", "x"))
    for one in (BASE, odd):
        one.save(tmp_path)
        assert load_identity(tmp_path).digest == one.digest
    (tmp_path / "images.parquet").write_bytes(b"PAR1 this is none")
    assert load_identity(tmp_path) is None
    assert load_identity(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (changed(ids=("a", "b", "d")), "1 removed ('c'), 1 added ('d')"),
        (changed(contents=("01", "02", "09")), "1 changed ('c')"),
        (changed(labels=("bee", "ant", "bee")), "2 labelled otherwise ('a', 'b')"),
        (
            changed(roles=("train", "val", "train")),
            "1 used otherwise ('c' (test then, train now))",
        ),
        (changed(ids=("b", "a", "c"), contents=("02", "01", "03"), labels=("bee", "ant", "bee"),
                 roles=("val", "train", "test")), "the images come in another order"),
    ],
)  # fmt: skip
def test_a_difference_names_the_images(other, expected):
    assert BASE.difference(BASE) is None
    assert other.difference(BASE) == expected
    assert other.digest != BASE.digest
    with pytest.raises(RunError) as caught:
        other.require_same(BASE, "the run in 'x'")
    assert expected in str(caught.value)
    assert "--out" in str(caught.value)


def test_of_many_the_first_few_are_named():
    many = DataIdentity(tuple(f"{k:02d}" for k in range(9)), ("0",) * 9, ("",) * 9, ("train",) * 9)
    assert BASE.difference(many).startswith("9 removed ('00', '01', '02' and 6 more)")


def test_a_table_is_told_by_the_bytes_of_its_files(data_root, tmp_path):
    source = data_root / "hymenoptera_data" / "val"
    for name in ("ants", "bees"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for path in sorted((source / name).iterdir())[:2]:
            shutil.copy(path, tmp_path / "data" / name)
    store = FeatureStore(tmp_path / "cache")

    def identify(roles=("train", "val", "train", "test")):
        return store.identify(ImageTable.open(tmp_path / "data"), np.array(roles))

    before = identify()
    assert identify().digest == before.digest
    assert identify(("train", "val", "test", "train")).digest != before.digest
    first = sorted((tmp_path / "data" / "ants").iterdir())[0]
    first.write_bytes(first.read_bytes() + b"\0")
    assert identify().difference(before) == f"1 changed ('ants/{first.name}')"

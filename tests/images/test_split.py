"""The validation split: stratified, seeded, groups on one side."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable, split_validation
from cliptune.images.sources import FileSource


def make_table(labels, splits=None):
    labels = np.asarray(labels, dtype=np.int64)
    return ImageTable(
        sources=[FileSource(str(i), str(i)) for i in range(len(labels))],
        labels=labels,
        splits=np.asarray(splits or ["train"] * len(labels)),
        class_names=tuple(f"class {c}" for c in range(labels.max() + 1)),
        root="data",
    )


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_every_class_gives_its_share(counts, fraction, seed):
    table = make_table(np.repeat(np.arange(len(counts)), counts))
    split = split_validation(table, fraction, seed=seed)
    for label, n in enumerate(counts):
        n_val = int(((split.splits == "val") & (split.labels == label)).sum())
        assert n_val == min(max(1, round(fraction * n)), n - 1)
    assert set(split.splits.tolist()) == {"train", "val"}
    assert split.ids == table.ids


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=120, max_size=120), st.integers(0, 2**32))
def test_groups_stay_on_one_side(groups, seed):
    table = make_table(np.repeat([0, 1], 60))
    try:
        split = split_validation(table, 0.25, seed=seed, groups=groups)
    except DataError:
        sizes = Counter(zip(groups, table.labels.tolist(), strict=True))
        assert max(sizes.values()) > 1, "single images always fit"
        return
    sides = {}
    for group, side in zip(groups, split.splits.tolist(), strict=True):
        assert sides.setdefault(group, side) == side
    for label in (0, 1):
        assert 1 <= ((split.splits == "val") & (split.labels == label)).sum() <= 15


def test_groups_may_be_words_and_may_span_classes():
    table = make_table([0, 0, 0, 1, 1, 1])
    groups = ["x", "a", "b", "x", "c", "d"]
    for seed in range(20):
        splits = split_validation(table, 0.3, seed=seed, groups=groups).splits
        assert splits[0] == splits[3]


def test_the_seed_decides_alone():
    table = make_table(np.repeat([0, 1, 2], 30))
    splits = [split_validation(table, 0.2, seed=s).splits.tolist() for s in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]


def test_every_image_is_chosen_as_often_as_any_other():
    table = make_table(np.repeat([0, 1], [10, 20]))
    chosen = sum((split_validation(table, 0.5, seed=s).splits == "val") for s in range(400))
    assert np.abs(chosen / 400 - 0.5).max() < 0.1


def test_test_images_and_unlabelled_ones_stay_where_they_are():
    table = make_table([0, 0, 1, 1, 0, 1, -1], ["train"] * 4 + ["test"] * 2 + ["train"])
    split = split_validation(table, 0.5, seed=0)
    assert split.splits[4:].tolist() == ["test", "test", "train"]
    assert Counter(split.splits[:4].tolist()) == {"train": 2, "val": 2}


def test_a_data_set_without_splits_gets_two():
    split = split_validation(make_table([0] * 5 + [1] * 5, [""] * 10), 0.2, seed=0)
    assert Counter(split.splits.tolist()) == {"train": 8, "val": 2}


def test_a_class_that_would_be_empty_is_refused_by_name():
    with pytest.raises(DataError, match="class 'class 1' has 1 training image"):
        split_validation(make_table([0, 0, 1]), 0.5, seed=0)
    with pytest.raises(DataError, match="class 'class 1' would have no validation image"):
        split_validation(make_table([0, 0, 1, 1]), 0.5, seed=0, groups=[0, 1, 2, 2])


def test_wrong_arguments_are_refused():
    table = make_table([0, 0, 1, 1])
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="out of range"):
            split_validation(table, fraction, seed=0)
    with pytest.raises(InputError, match="expected one each"):
        split_validation(table, 0.5, seed=0, groups=[1, 2])
    with pytest.raises(DataError, match="has a validation split already"):
        split_validation(make_table([0, 0], ["train", "val"]), 0.5, seed=0)
    with pytest.raises(DataError, match="no labelled training images"):
        split_validation(make_table([-1, -1, 0], ["train", "train", "test"]), 0.5, seed=0)


def test_real_training_images_are_divided(data_root):
    table = ImageTable.open(data_root / "hymenoptera_data", split="train")
    split = split_validation(table, 0.2, seed=0)
    assert Counter(split.split("val").labels.tolist()) == {0: 25, 1: 24}

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable
from cliptune.splits.partition import LockedRows, draw_shots, partition_table


def make_table(tmp_path, splits, n=20):
    """Two classes of n images each in every split; the images themselves are never read."""
    for split in splits or [""]:
        for name in ("ant", "bee"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (2, 2)).save(folder / f"{i:02}.png")
    return ImageTable.open(tmp_path)


def directions(n, seed=0):
    rows = np.random.default_rng(seed).normal(size=(n, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows_of(partition):
    return partition.train, partition.val, partition.test.open()


def test_a_test_split_is_locked_and_validation_is_cut_from_train(tmp_path):
    table = make_table(tmp_path, ["train", "test"])
    partition = partition_table(table, directions(80), val_fraction=0.2, seed=0)
    train, val, test = rows_of(partition)
    assert set(table.splits[test]) == {"test"}
    assert set(table.splits[np.concatenate([train, val])]) == {"train"}
    assert len(val) == 8
    assert np.bincount(table.labels[val]).tolist() == [4, 4]
    assert sorted(np.concatenate([train, val, test]).tolist()) == list(range(80))


def test_val_without_a_test_is_the_locked_test_and_the_notes_say_so(tmp_path):
    table = make_table(tmp_path, ["train", "val"])
    partition = partition_table(table, directions(80), val_fraction=0.2, seed=0)
    assert any("val (40 images) is the locked test" in note for note in partition.notes)
    assert set(table.splits[partition.val]) == {"train"}
    assert set(table.splits[partition.test.open()]) == {"val"}


def test_three_splits_are_taken_as_they_are(tmp_path):
    table = make_table(tmp_path, ["train", "val", "test"])
    partition = partition_table(table, directions(120), val_fraction=0.2, seed=0)
    for rows, name in zip(rows_of(partition), ("train", "val", "test"), strict=True):
        assert set(table.splits[rows]) == {name}
        assert len(rows) == 40


def test_data_without_splits_give_up_a_test_first(tmp_path):
    table = make_table(tmp_path, [])
    partition = partition_table(table, directions(40), val_fraction=0.25, seed=0)
    train, val, test = rows_of(partition)
    assert (len(train), len(val), len(test)) == (24, 8, 8)
    assert any("without a test" in note for note in partition.notes)


def test_near_duplicates_stay_on_one_side(tmp_path):
    table = make_table(tmp_path, [])
    vectors = directions(40)
    vectors[10:20] = vectors[0:10]
    vectors[30:40] = vectors[20:30]
    for seed in range(5):
        partition = partition_table(table, vectors, val_fraction=0.25, seed=seed)
        part = np.empty(40, dtype=object)
        for rows, name in zip(rows_of(partition), ("train", "val", "test"), strict=True):
            part[rows] = name
        assert (part[10:20] == part[0:10]).all()
        assert (part[30:40] == part[20:30]).all()
        assert len(partition.duplicates) == 0


def test_duplicates_across_given_splits_are_reported(tmp_path):
    table = make_table(tmp_path, ["train", "test"])
    vectors = directions(80)
    test_row = int(np.flatnonzero(table.splits == "test")[3])
    train_row = int(np.flatnonzero(table.splits == "train")[5])
    vectors[test_row] = vectors[train_row]
    partition = partition_table(table, vectors, val_fraction=0.2, seed=0)
    assert partition.duplicates.first.tolist() == [train_row]
    assert partition.duplicates.second.tolist() == [test_row]
    assert any("1 test images have a near-duplicate" in note for note in partition.notes)


def test_the_seed_decides_the_cut(tmp_path):
    table, vectors = make_table(tmp_path, ["train", "test"]), directions(80)
    first, again, other = (
        partition_table(table, vectors, val_fraction=0.2, seed=seed).val.tolist()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_the_locked_test_opens_once():
    locked = LockedRows(np.arange(3))
    assert locked.n == 3
    assert locked.open().tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="opened before"):
        locked.open()


def test_shots_are_drawn_per_class_from_training_and_validation(tmp_path):
    table = make_table(tmp_path, ["train", "test"], n=40)
    partition = partition_table(table, directions(160), val_fraction=0.2, seed=0)
    names = table.class_names
    drawn = draw_shots(table.labels, partition, shots=8, class_names=names, seed=0)
    assert np.bincount(table.labels[drawn]).tolist() == [8, 8]
    assert set(drawn) <= set(partition.train) | set(partition.val)
    other = draw_shots(table.labels, partition, shots=8, class_names=names, seed=1)
    assert other.tolist() != drawn.tolist()


def test_more_shots_than_images_names_the_class(tmp_path):
    table = make_table(tmp_path, ["train", "test"])
    partition = partition_table(table, directions(80), val_fraction=0.2, seed=0)
    with pytest.raises(DataError, match="class 'ant' has 20 images"):
        draw_shots(table.labels, partition, shots=21, class_names=table.class_names, seed=0)
    with pytest.raises(InputError, match="--shots 0"):
        draw_shots(table.labels, partition, shots=0, class_names=table.class_names, seed=0)


def test_without_validation_all_outside_the_test_is_learned_from(tmp_path):
    table = make_table(tmp_path, ["train", "val", "test"])
    partition = partition_table(table, directions(len(table)), val_fraction=None, seed=0)
    assert len(partition.val) == 0
    assert sorted(partition.train.tolist()) == np.flatnonzero(table.splits != "test").tolist()
    assert any("val" in note and "learned from" in note for note in partition.notes)


def in_groups(table, names):
    return replace(table, groups=np.asarray(names, dtype=np.str_))


def test_images_of_one_group_stay_on_one_side(tmp_path):
    plain = make_table(tmp_path, [])
    patients = [f"patient {i // 4}" for i in range(20)] * 2
    table = in_groups(plain, patients)
    for seed in range(5):
        partition = partition_table(table, directions(40), val_fraction=0.25, seed=seed)
        sides = [set(table.groups[rows]) for rows in rows_of(partition)]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
    assert any("near-duplicates and groups on one side" in note for note in partition.notes)


def test_groups_that_the_splits_tear_apart_are_named(tmp_path):
    plain = make_table(tmp_path, ["train", "test"])
    table = in_groups(plain, ["clinic 7" if i in (0, 70) else "" for i in range(80)])
    partition = partition_table(table, directions(80), val_fraction=None, seed=0)
    assert any("1 group on both sides of the test" in note for note in partition.notes)
    assert any("clinic 7" in note for note in partition.notes)


def test_a_group_that_holds_a_whole_class_is_refused_with_the_class(tmp_path):
    plain = make_table(tmp_path, [])
    table = in_groups(plain, ["farm"] * 20 + [""] * 20)
    with pytest.raises(DataError, match="ant"):
        partition_table(table, directions(40), val_fraction=None, seed=0)

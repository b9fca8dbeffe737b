"""Folders as people lay them out: words for splits, unpacked archives, and what is refused."""

import pytest

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable


def rows(table):
    """What each image is read as."""
    return {
        i: (str(split), table.class_names[c] if c >= 0 else None)
        for i, split, c in zip(table.ids, table.splits, table.labels, strict=True)
    }


@pytest.mark.parametrize(
    ("learned", "measured", "split"),
    [
        ("train", "eval", "val"),
        ("training", "dev", "val"),
        ("tr", "te", "test"),
        ("seg_train", "seg_test", "test"),
        ("train_images", "test_images", "test"),
        ("trainSet", "validationSet", "val"),
        ("my-train", "hold-out", "test"),
        ("train2017", "val2017", "val"),
        ("TRAIN", "Test_1", "test"),
        ("training_set", "test_set", "test"),
    ],
)
def test_words_for_splits_are_never_classes(learned, measured, split, make_tree):
    paths = [
        f"{s}/{c}/{n}.jpg" for s in (learned, measured) for c in ("ant", "bee") for n in (1, 2)
    ]
    table = ImageTable.open(make_tree(*paths))
    assert table.class_names == ("ant", "bee")
    assert {i: s for i, (s, _) in rows(table).items()} == {
        path: "train" if path.startswith(f"{learned}/") else split for path in paths
    }


def test_eval_beside_val_is_the_test(make_tree):
    paths = [f"{s}/{c}/1.jpg" for s in ("train", "val", "eval") for c in ("ant", "bee")]
    table = ImageTable.open(make_tree(*paths))
    assert rows(table)["eval/ant/1.jpg"] == ("test", "ant")
    assert any("'eval' beside a validation split" in note for note in table.reading.notes)


@pytest.mark.parametrize("above", ["", "archive/", "download/data/set/"])
@pytest.mark.parametrize("doubled", ["{0}", "seg_{0}/seg_{0}", "{0}/images", "{0}/data/{0}"])
def test_archives_may_be_unpacked_at_any_depth(above, doubled, make_tree):
    paths = [
        f"{above}{doubled.format(s)}/{c}/1.jpg" for s in ("train", "test") for c in ("ant", "bee")
    ]
    table = ImageTable.open(make_tree(*paths))
    assert table.class_names == ("ant", "bee")
    assert sorted(set(rows(table).values())) == [
        ("test", "ant"), ("test", "bee"), ("train", "ant"), ("train", "bee"),
    ]  # fmt: skip
    assert set(table.ids) == set(paths)


def test_class_folders_may_lie_deep(make_tree):
    table = ImageTable.open(make_tree("a/b/ant/1.jpg", "a/b/bee/x/1.jpg"))
    assert rows(table) == {"a/b/ant/1.jpg": ("", "ant"), "a/b/bee/x/1.jpg": ("", "bee")}


@pytest.mark.parametrize("word", ["test", "holdout", "val", "eval", "test1", "pred"])
def test_images_set_apart_beside_classes_are_no_class(word, make_tree):
    table = ImageTable.open(make_tree("ant/1.jpg", "bee/1.jpg", f"{word}/1.jpg", f"{word}/2.jpg"))
    assert table.class_names == ("ant", "bee")
    assert table.labels.tolist().count(-1) == 2
    assert any(f"--folder {word}=class" in note for note in table.reading.notes)
    asked = ImageTable.open(table.root, folders={word: "class"})
    assert word in asked.class_names


def test_classes_beside_a_labelled_test_are_the_training_split(make_tree):
    table = ImageTable.open(make_tree("ant/1.jpg", "bee/1.jpg", "test/ant/2.jpg", "test/bee/2.jpg"))
    assert rows(table) == {
        "ant/1.jpg": ("train", "ant"),
        "bee/1.jpg": ("train", "bee"),
        "test/ant/2.jpg": ("test", "ant"),
        "test/bee/2.jpg": ("test", "bee"),
    }


def test_kinds_of_trains_and_tubes_are_classes(make_tree):
    table = ImageTable.open(make_tree("bullet_train/1.jpg", "steam_train/1.jpg"))
    assert table.class_names == ("bullet train", "steam train")
    table = ImageTable.open(make_tree("train_station/1.jpg", "test_tube/1.jpg", root="two"))
    assert table.class_names == ("test tube", "train station")
    table = ImageTable.open(make_tree("test_tube/1.jpg", "bottle/1.jpg", root="three"))
    assert table.class_names == ("bottle", "test tube")


def test_flat_folders_of_splits_have_no_labels(make_tree):
    for root, names in (("one", ("train", "test")), ("two", ("x_train", "x_test"))):
        table = ImageTable.open(make_tree(*(f"{n}/1.jpg" for n in names), root=root))
        assert table.class_names == ()
        assert table.splits.tolist() == ["train", "test"]


def test_unlabelled_predictions_are_a_split_of_their_own(make_tree):
    paths = [f"seg_{s}/seg_{s}/{c}/1.jpg" for s in ("train", "test") for c in ("ant", "bee")]
    table = ImageTable.open(make_tree(*paths, "seg_pred/seg_pred/9.jpg"))
    assert rows(table)["seg_pred/seg_pred/9.jpg"] == ("unlabelled", None)


def test_splits_may_lie_within_classes(make_tree):
    paths = [f"{c}/{s}/1.jpg" for s in ("train", "test") for c in ("ant", "bee")]
    table = ImageTable.open(make_tree(*paths))
    assert rows(table)["bee/test/1.jpg"] == ("test", "bee")
    assert table.class_names == ("ant", "bee")


def test_two_levels_that_could_both_be_classes_are_asked_for(make_tree):
    folder = make_tree(*(f"{d}/{c}/1.jpg" for d in ("photo", "sketch") for c in ("dog", "horse")))
    with pytest.raises(
        DataError, match=r"same folders \(dog, horse\) in each.*--class-level 1 or 2"
    ):
        ImageTable.open(folder)
    assert ImageTable.open(folder, class_level=1).class_names == ("photo", "sketch")
    assert ImageTable.open(folder, class_level=2).class_names == ("dog", "horse")
    split = ImageTable.open(folder, folders={"photo": "train", "sketch": "test"})
    assert rows(split)["sketch/dog/1.jpg"] == ("test", "dog")
    with pytest.raises(InputError, match="no such deep folders"):
        ImageTable.open(folder, class_level=5)


def test_an_unknown_folder_beside_splits_is_asked_for(make_tree):
    paths = [f"{s}/{c}/1.jpg" for s in ("train", "test", "2021") for c in ("ant", "bee")]
    folder = make_tree(*paths)
    with pytest.raises(DataError, match=r"'2021' beside its splits.*--folder 2021="):
        ImageTable.open(folder)
    table = ImageTable.open(folder, folders={"2021": "val"})
    assert rows(table)["2021/ant/1.jpg"] == ("val", "ant")
    left = ImageTable.open(folder, folders={"2021": "ignore"})
    assert len(left) == 4
    assert [(i.n, i.why) for i in left.reading.ignored] == [(2, "as --folder says")]
    with pytest.raises(InputError, match="no such folder but: 2021, test, train"):
        ImageTable.open(folder, folders={"2020": "val"})
    with pytest.raises(InputError, match="is no role; expected one of train, val"):
        ImageTable.open(folder, folders={"2021": "extra"})


def test_folders_of_files_are_not_classes(make_tree):
    folder = make_tree("images/1.jpg", "padded_images/1.jpg")
    with pytest.raises(DataError, match="look like places of files and not like classes"):
        ImageTable.open(folder)
    assert ImageTable.open(make_tree("images/1.jpg", root="one")).labels.tolist() == [-1]


def test_images_beside_class_folders_can_be_said_to_be_unlabelled(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg", "stray.jpg")
    assert ImageTable.open(folder, folders={".": "unlabelled"}).labels.tolist() == [-1, 0, 1]
    left = ImageTable.open(folder, folders={".": "ignore"})
    assert len(left) == 2
    assert left.reading.ignored[0].example == "stray.jpg"


@pytest.mark.parametrize("form", ["{}", "{:02d}", "class_{}", "class {:03d}", "c{}", "Class-{}"])
def test_numbered_folders_stand_in_the_order_of_their_numbers(form, make_tree):
    folder = make_tree(*(f"{form.format(n)}/1.jpg" for n in range(1, 12)))
    names = [f"kind {chr(96 + n)}" for n in range(1, 12)]
    table = ImageTable.open(folder, class_names=names)
    assert {i: table.class_names[c] for i, c in zip(table.ids, table.labels, strict=True)} == {
        f"{form.format(n)}/1.jpg": names[n - 1] for n in range(1, 12)
    }
    by_key = ImageTable.open(folder, class_names={str(n): names[n - 1] for n in range(1, 12)})
    assert rows(by_key) == rows(table)
    plain = ImageTable.open(folder)
    assert [int("".join(filter(str.isdigit, c))) for c in plain.class_names] == list(range(1, 12))


def test_numbers_count_from_zero_where_there_is_a_zero_and_are_asked_for_where_both_fit(make_tree):
    folder = make_tree("0/1.jpg", "2/1.jpg")
    assert rows(ImageTable.open(folder, class_names=["a", "b", "c"]))["2/1.jpg"] == ("", "c")
    both = make_tree("1/1.jpg", "2/1.jpg", root="both")
    with pytest.raises(InputError, match="1 is 'b' counted from 0 and 'a' from 1"):
        ImageTable.open(both, class_names=["a", "b", "c"])
    assert rows(ImageTable.open(both, class_names=["a", "b"]))["1/1.jpg"] == ("", "a")
    far = make_tree("10/1.jpg", "9/1.jpg", root="far")
    assert rows(ImageTable.open(far, class_names=["a", "b"]))["9/1.jpg"] == ("", "a")
    with pytest.raises(InputError, match="'01' and '1' are both the number 1"):
        ImageTable.open(make_tree("01/1.jpg", "1/1.jpg", root="twice"), class_names=["a", "b"])


@pytest.mark.parametrize(
    "paths",
    [
        ("trainA/1.jpg", "trainB/2.jpg", "testA/3.jpg", "testB/4.jpg"),
        ("train_A/1.jpg", "train_B/2.jpg", "test_A/3.jpg", "test_B/4.jpg"),
        ("A_train/1.jpg", "B-train/2.jpg", "A_test/3.jpg", "B.test/4.jpg"),
        ("train/A_train/1.jpg", "train/B_train/2.jpg", "test/A_test/3.jpg", "test/B_test/4.jpg"),
    ],
)
def test_a_split_and_a_class_in_one_name(paths, make_tree):
    table = ImageTable.open(make_tree(*paths))
    said = [("train", "A"), ("train", "B"), ("test", "A"), ("test", "B")]
    assert rows(table) == dict(zip(paths, said, strict=True))
    assert any("split" in note for note in table.reading.notes)
    assert not any("no class" in note for note in table.reading.notes)


def test_kinds_of_trains_are_classes(make_tree):
    table = ImageTable.open(make_tree("train_station/1.jpg", "test_tube/2.jpg", "train_car/3.jpg"))
    assert table.class_names == ("test tube", "train car", "train station")


@pytest.mark.parametrize("between", ["", "images/", "{0}/"])
def test_levels_are_found_through_wrappers_and_counted_from_the_data(between, make_tree):
    paths = [
        f"set/{s}/{between.format(s)}{c}/1.jpg" for s in ("photo", "sketch") for c in ("cat", "dog")
    ]
    folder, deep = make_tree(*paths), 4 if between else 3
    with pytest.raises(DataError, match=f"--class-level 2 or {deep} which"):
        ImageTable.open(folder)
    assert ImageTable.open(folder, class_level=2).class_names == ("photo", "sketch")
    assert ImageTable.open(folder, class_level=deep).class_names == ("cat", "dog")


def test_what_is_said_of_one_folder_settles_nothing_about_the_others(make_tree):
    splits = ("entrenamiento", "prueba", "validacion")
    folder = make_tree(*(f"{s}/{c}/1.jpg" for s in splits for c in ("gato", "perro")))
    with pytest.raises(DataError, match="in each of 'prueba', 'validacion'"):
        ImageTable.open(folder, folders={"entrenamiento": "train"})
    with pytest.raises(DataError, match="in each of 'entrenamiento', 'prueba'"):
        ImageTable.open(folder, folders={"validacion": "ignore"})
    said = dict(zip(splits, ("train", "test", "val"), strict=True))
    table = ImageTable.open(folder, folders=said)
    assert table.class_names == ("gato", "perro")
    assert set(table.splits) == {"train", "test", "val"}


def test_folders_are_left_out_at_any_depth(make_tree):
    kinds = ("images", "masks")
    paths = [f"set/{c}/{kind}/1.png" for c in ("covid", "normal") for kind in kinds]
    folder = make_tree(*paths)
    with pytest.raises(DataError, match="--folder masks=ignore"):
        ImageTable.open(folder)
    table = ImageTable.open(folder, folders={"masks": "ignore"})
    assert rows(table) == {f"set/{c}/images/1.png": ("", c) for c in ("covid", "normal")}
    assert sum(one.n for one in table.reading.ignored) == 2
    table = ImageTable.open(folder, folders={"covid/masks": "ignore", "set/normal/masks": "ignore"})
    assert len(table) == 2
    with pytest.raises(InputError, match="no such folder"):
        ImageTable.open(folder, folders={"mask": "ignore"})


def test_what_systems_put_beside_files_is_no_data(make_tree):
    folder = make_tree("ant/1.jpg", "bee/2.jpg", "ant/@eaDir/1.jpg/thumb.jpg", "lost+found/x.jpg")
    table = ImageTable.open(folder)
    assert rows(table) == {"ant/1.jpg": ("", "ant"), "bee/2.jpg": ("", "bee")}
    assert [one.n for one in table.reading.ignored] == [2]


def test_what_a_folder_without_images_holds_instead_is_said(make_tree, tmp_path):
    folder = make_tree("ds/train/1.jpg")
    (folder / "ds/train/1.jpg").rename(folder / "ds/data-00000-of-00001.arrow")
    (folder / "ds/dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(DataError, match=r"saved data set: name the folder '.*ds'"):
        ImageTable.open(folder)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "all.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"the archive 'all\.zip'"):
        ImageTable.open(tmp_path / "packed")


def test_splits_without_a_common_class_are_said(make_tree):
    table = ImageTable.open(make_tree("train/ants/1.jpg", "train/bees/2.jpg", "val/ant/3.jpg"))
    assert "no class of the split val is in the split train" in table.reading.notes
    table = ImageTable.open(make_tree("train/ant/1.jpg", "val/ant/3.jpg", root="other"))
    assert not any("no class" in note for note in table.reading.notes)


def test_tables_of_other_kinds_are_named(make_tree):
    folder = make_tree("images/1.jpg")
    (folder / "labels.xlsx").write_bytes(b"PK")
    (ignored,) = ImageTable.open(folder).reading.ignored
    assert "tables are read as CSV" in ignored.why

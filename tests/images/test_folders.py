"""Class folders, with and without splits, and everything that lies about in them."""

import os

import pytest

from cliptune.errors import DataError, InputError, UnavailableError
from cliptune.images import ImageTable, learnable_part, require_classes, require_labels


def labels_of(table):
    return [table.class_names[c] if c >= 0 else None for c in table.labels]


def test_class_folders_give_labels_in_sorted_order(make_tree):
    table = ImageTable.open(make_tree("bee/2.jpg", "bee/1.png", "ant/deep/down/x.JPG"))
    assert table.ids == ("ant/deep/down/x.JPG", "bee/1.png", "bee/2.jpg")
    assert labels_of(table) == ["ant", "bee", "bee"]
    assert table.splits.tolist() == ["", "", ""]
    assert table.load_image(1).size == (48, 32)
    require_labels(table)
    require_classes(table)


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "validation", "TEST")],
)
def test_folders_named_after_splits_are_splits(train, val, test, make_tree):
    folder = make_tree(f"{train}/a/1.jpg", f"{train}/b/1.jpg", f"{val}/a/2.jpg", f"{test}/b/3.jpg")
    table = ImageTable.open(folder)
    assert table.splits.tolist() == ["train", "train", "val", "test"]
    assert table.class_names == ("a", "b")
    assert ImageTable.open(folder, split="test").ids == (f"{test}/b/3.jpg",)
    assert ImageTable.open(folder, split=val).ids == (f"{val}/a/2.jpg",)


def test_an_unknown_split_lists_those_there_are(make_tree):
    folder = make_tree("train/a/1.jpg", "val/a/2.jpg")
    with pytest.raises(InputError, match="no split 'test'; its splits are: train, val"):
        ImageTable.open(folder, split="test")
    with pytest.raises(InputError, match="it has no splits"):
        ImageTable.open(make_tree("a/1.jpg", root="flat"), split="test")


def test_a_class_may_be_called_train(make_tree):
    table = ImageTable.open(make_tree("train/1.jpg", "bus/1.jpg", "car/1.jpg"))
    assert table.class_names == ("bus", "car", "train")
    assert set(table.splits.tolist()) == {""}


def test_a_split_may_stand_alone(make_tree):
    table = ImageTable.open(make_tree("train/ant/1.jpg", "train/bee/1.jpg"))
    assert table.splits.tolist() == ["train", "train"]


def test_images_beside_splits_and_two_names_of_one_split_are_refused(make_tree):
    with pytest.raises(DataError, match=r"'extra' beside its splits"):
        ImageTable.open(make_tree("train/a/1.jpg", "test/a/1.jpg", "extra/1.jpg"))
    with pytest.raises(DataError, match=r"'stray\.jpg' beside its splits"):
        ImageTable.open(make_tree("train/a/1.jpg", "test/a/1.jpg", "stray.jpg", root="two"))
    with pytest.raises(DataError, match="'val' and 'valid', which mean the split val"):
        ImageTable.open(make_tree("val/a/1.jpg", "valid/a/1.jpg", root="three"))


def test_a_split_without_class_folders_is_unlabelled(make_tree):
    table = ImageTable.open(make_tree("train/a/1.jpg", "train/b/1.jpg", "test/x.jpg"))
    assert labels_of(table) == ["a", "b", None]


def test_a_flat_folder_is_unlabelled_and_complains_only_when_labels_are_needed(make_tree):
    table = ImageTable.open(make_tree("1.jpg", "2.jpg"))
    assert table.labels.tolist() == [-1, -1]
    with pytest.raises(DataError, match=r"2 of the 2 images .* have no label, such as '1\.jpg'"):
        require_labels(table)


def test_one_class_opens_and_complains_only_when_two_are_needed(make_tree):
    table = ImageTable.open(make_tree("ant/1.jpg"))
    with pytest.raises(DataError, match=r"has 1 class \('ant'\); expected at least 2"):
        require_classes(table, at_least=2)


def test_what_is_no_image_is_passed_over(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    for name in ("ant/.hidden.jpg", "ant/Thumbs.db", "ant/notes.txt", "ant/._1.jpg", "README.md"):
        (folder / name).write_bytes(b"x")
    for name in (".cache/1.jpg", "__MACOSX/1.jpg", ".git/ant/1.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"x")
    assert ImageTable.open(folder).ids == ("ant/1.jpg", "bee/1.jpg")


def test_what_is_meant_as_an_image_is_kept_for_the_scan(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    (folder / "ant/empty.jpg").touch()
    (folder / "bee/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert ImageTable.open(folder).ids == (
        "ant/1.jpg",
        "ant/empty.jpg",
        "bee/1.jpg",
        "bee/phone.HEIC",
    )


def test_empty_folders_are_classes_without_images_and_folders_of_notes_are_not(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    (folder / "wasp").mkdir()
    (folder / "fly").mkdir()
    (folder / "fly/notes.txt").touch()
    table = ImageTable.open(folder)
    assert table.class_names == ("ant", "bee", "wasp")
    assert [i.example for i in table.reading.ignored if i.what == "folders without images"] == [
        "fly"
    ]
    part, notes = learnable_part(table)
    assert part.class_names == ("ant", "bee")
    assert "no image of 'wasp'" in notes[0]
    splits = make_tree("train/ant/1.jpg", "train/bee/1.jpg", "val/ant/2.jpg", root="splits")
    (splits / "val/bee").mkdir()
    assert ImageTable.open(splits).class_names == ("ant", "bee")


def test_images_beside_class_folders_are_refused(make_tree):
    with pytest.raises(DataError, match=r"1 images such as 'stray\.jpg' lie beside the class"):
        ImageTable.open(make_tree("ant/1.jpg", "stray.jpg"))


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no images; expected class folders"):
        ImageTable.open(tmp_path)
    (tmp_path / "ant").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        ImageTable.open(tmp_path)


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no file or folder .*absent"):
        ImageTable.open(tmp_path / "absent")
    with pytest.raises(InputError, match="is no data set; expected a folder, a manifest"):
        (tmp_path / "x.doc").touch()
        ImageTable.open(tmp_path / "x.doc")


def test_a_filter_needs_a_manifest(make_tree):
    with pytest.raises(InputError, match="no columns to filter by"):
        ImageTable.open(make_tree("a/1.jpg"), where={"domain": ["photo"]})


def test_links_within_the_tree_are_followed_and_cycles_end(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg", "bee/more/2.jpg")
    (folder / "bee/link.jpg").symlink_to(folder / "ant/1.jpg")
    (folder / "wasp").symlink_to(folder / "bee/more", target_is_directory=True)
    (folder / "bee/more/up").symlink_to(folder / "bee", target_is_directory=True)
    (folder / "ant/self").symlink_to(".", target_is_directory=True)
    table = ImageTable.open(folder)
    assert {"bee/link.jpg", "wasp/2.jpg", "ant/1.jpg", "bee/more/2.jpg"} <= set(table.ids)
    assert len(table) == len(set(table.ids)) < 12
    assert table.class_names == ("ant", "bee", "wasp")
    assert table.load_image(table.ids.index("bee/link.jpg")).size == (48, 32)


def test_links_out_of_the_tree_are_not_followed_and_said(make_tree, caplog):
    outside = make_tree("secret/1.jpg", root="outside")
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    (folder / "ant/out.jpg").symlink_to(outside / "secret/1.jpg")
    (folder / "wasp").symlink_to(outside / "secret", target_is_directory=True)
    table = ImageTable.open(folder)
    assert table.ids == ("ant/1.jpg", "bee/1.jpg")
    assert "2 links" in caplog.text
    only = make_tree(root="only")
    (only / "x.jpg").symlink_to(outside / "secret/1.jpg")
    with pytest.raises(DataError, match="only links that lead out of it"):
        ImageTable.open(only)


def test_a_link_to_nothing_is_kept_for_the_scan_and_a_pipe_is_not(make_tree):
    folder = make_tree("ant/1.jpg")
    (folder / "ant/gone.jpg").symlink_to("never.jpg")
    os.mkfifo(folder / "ant/pipe.jpg")
    assert ImageTable.open(folder).ids == ("ant/1.jpg", "ant/gone.jpg")


def test_a_linked_root_is_a_root_like_any_other(make_tree, tmp_path):
    (tmp_path / "link").symlink_to(make_tree("a/1.jpg"), target_is_directory=True)
    assert ImageTable.open(tmp_path / "link").ids == ("a/1.jpg",)


def test_any_name_that_a_file_system_allows_is_fine(make_tree):
    names = ["große Ameise/bild 1.jpg", "蜜蜂/写真.jpg", "two\nlines/a b\n.jpg", "e\u0301/1.jpg"]
    table = ImageTable.open(make_tree(*names))
    assert set(table.ids) == set(names)
    assert set(table.class_names) == {"große Ameise", "蜜蜂", "two lines", "é"}
    assert len(table.digest()) == 64


def test_names_that_are_no_utf8_become_readable_ids(make_tree):
    folder = make_tree("ant/1.jpg")
    odd = os.fsencode(folder) + b"/ant/\xff.jpg"
    with open(odd, "wb") as file:
        file.write((folder / "ant/1.jpg").read_bytes())
    table = ImageTable.open(folder)
    assert table.ids == ("ant/1.jpg", "ant/\\xff.jpg")
    assert table.load_image(1).size == (48, 32)
    assert all(i.encode("utf-8") for i in table.ids)


def test_a_folder_that_may_not_be_read_is_one_line(make_tree):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    folder = make_tree("ant/1.jpg")
    (folder / "ant").chmod(0)
    with pytest.raises(UnavailableError, match="cannot read"):
        ImageTable.open(folder)


def test_a_path_that_is_too_long_is_one_line():
    with pytest.raises(UnavailableError, match="cannot read"):
        ImageTable.open("x" * 5000)


def test_class_names_can_be_given(make_tree, tmp_path):
    folder = make_tree("n1/1.jpg", "n2/1.jpg")
    file = tmp_path / "names.txt"
    file.write_text("red ant\nhoney bee\n")
    assert ImageTable.open(folder, class_names=file).class_names == ("red ant", "honey bee")
    with pytest.raises(InputError, match="1 class names were given for the 2 classes"):
        ImageTable.open(folder, class_names=["ant"])
    with pytest.raises(DataError, match="are both 'golden retriever'"):
        ImageTable.open(make_tree("golden_retriever/1.jpg", "golden-retriever/1.jpg", root="dogs"))


def test_hymenoptera_has_names_for_prompts(data_root):
    table = ImageTable.open(data_root / "hymenoptera_data")
    assert table.class_names == ("ant", "bee")
    counts = [
        int(((table.splits == s) & (table.labels == c)).sum())
        for s in ("train", "val")
        for c in (0, 1)
    ]
    assert counts == [123, 121, 70, 83]
    assert table.split("validation").ids[0].startswith("val/ants/")


def test_a_link_to_the_whole_is_no_class(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    (folder / "all").symlink_to(".", target_is_directory=True)
    table = ImageTable.open(folder)
    assert table.class_names == ("ant", "bee")
    assert [i.what for i in table.reading.ignored] == ["links to folders above them"]

"""Tables beside folders of images: which of them say the labels, and what is asked for."""

import json

import pytest

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable


def named(table):
    return {
        i: table.class_names[c] if c >= 0 else None
        for i, c in zip(table.ids, table.labels, strict=True)
    }


LABELS = {"1": "ant", "2": "bee", "3": "ant"}


@pytest.mark.parametrize("name", ["labels.csv", "annotations.tsv", "anything.jsonl", "gt.json"])
@pytest.mark.parametrize("cell", ["images/{}.jpg", "{}.jpg", "{}", "/content/old/images/{}.jpg"])
def test_a_table_of_any_name_labels_a_folder_of_files(name, cell, make_tree):
    folder = make_tree(*(f"images/{n}.jpg" for n in LABELS), "padded/p.jpg")
    found = [(cell.format(n), label) for n, label in LABELS.items()]
    text = {
        "labels.csv": "file,species\n" + "".join(f"{i},{c}\n" for i, c in found),
        "annotations.tsv": "image\tlabel\n" + "".join(f"{i}\t{c}\n" for i, c in found),
        "anything.jsonl": "".join(json.dumps({"id": i, "label": c}) + "\n" for i, c in found),
        "gt.json": json.dumps(dict(found)),
    }[name]
    (folder / name).write_text(text)
    table = ImageTable.open(folder)
    assert named(table) == {f"images/{n}.jpg": label for n, label in LABELS.items()}
    assert [(i.n, i.example) for i in table.reading.ignored if i.what == "images"] == [
        (1, "padded/p.jpg")
    ]
    assert name in table.reading.layout


def test_a_table_that_agrees_with_the_folders_changes_nothing(make_tree):
    folder = make_tree("ants/1.jpg", "ants/2.jpg", "bees/3.jpg")
    (folder / "labels.csv").write_text("id,label\n1,ants\n2,ants\n3,bees\n")
    table = ImageTable.open(folder)
    assert table.class_names == ("ant", "bee")
    assert any("says the same as the folders" in note for note in table.reading.notes)


def test_a_table_gives_words_to_numbered_folders(make_tree):
    folder = make_tree("1/a.jpg", "2/b.jpg")
    (folder / "names.csv").write_text("image,label\n1/a.jpg,ant\n2/b.jpg,bee\n")
    assert named(ImageTable.open(folder)) == {"1/a.jpg": "ant", "2/b.jpg": "bee"}


def test_a_table_that_contradicts_the_folders_is_asked_about(make_tree):
    folder = make_tree("ant/1.jpg", "ant/2.jpg", "bee/3.jpg", "bee/4.jpg")
    (folder / "labels.csv").write_text("image,label\n1.jpg,ant\n2.jpg,bee\n3.jpg,bee\n4.jpg,ant\n")
    with pytest.raises(DataError, match=r"'ant/2\.jpg': 'ant' and 'bee'.*--labels-from folders"):
        ImageTable.open(folder)
    assert named(ImageTable.open(folder, labels_from="table"))["ant/2.jpg"] == "bee"
    assert named(ImageTable.open(folder, labels_from="labels.csv"))["ant/2.jpg"] == "bee"
    assert named(ImageTable.open(folder, labels_from="folders"))["ant/2.jpg"] == "ant"
    with pytest.raises(InputError, match=r"--labels-from other\.csv .* no such table"):
        ImageTable.open(folder, labels_from="other.csv")


def test_two_tables_that_contradict_each_other_are_asked_about(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg")
    (folder / "a.csv").write_text("image,label\n1.jpg,ant\n2.jpg,bee\n")
    (folder / "b.csv").write_text("image,label\n1.jpg,ant\n2.jpg,wasp\n")
    with pytest.raises(DataError, match=r"a\.csv and b\.csv .* 'bee' and 'wasp'.*--labels-from"):
        ImageTable.open(folder)
    assert named(ImageTable.open(folder, labels_from="b.csv"))["images/2.jpg"] == "wasp"


def test_a_name_in_two_folders_is_asked_about(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg", "padded/1.jpg", "padded/2.jpg")
    (folder / "labels.csv").write_text("image,label\n1.jpg,ant\n2.jpg,bee\n")
    with pytest.raises(
        DataError, match=r"both 'images/1\.jpg' and 'padded/1\.jpg'.*--folder padded"
    ):
        ImageTable.open(folder)
    table = ImageTable.open(folder, folders={"padded": "ignore"})
    assert named(table) == {"images/1.jpg": "ant", "images/2.jpg": "bee"}


def test_facts_and_captions_leave_labels_to_the_folders(make_tree):
    folder = make_tree("ant/1.jpg", "bee/2.jpg", "bee/3.jpg")
    (folder / "metadata.csv").write_text(
        "file_name,width,text\nant/1.jpg,48,an insect\nbee/2.jpg,48,a bee\n"
    )
    table = ImageTable.open(folder)
    assert named(table) == {"ant/1.jpg": "ant", "bee/2.jpg": "bee", "bee/3.jpg": "bee"}
    assert table.captions == (("an insect",), ("a bee",), ())


def test_forms_to_fill_in_are_no_labels(make_tree):
    folder = make_tree("train/1.jpg", "train/2.jpg", "test/9.jpg")
    (folder / "train.csv").write_text("id,breed\n1,pug\n2,corgi\n")
    (folder / "sample_submission.csv").write_text("id,breed\n9,pug\n")
    table = ImageTable.open(folder, label_column="breed")
    assert named(table) == {"train/1.jpg": "pug", "train/2.jpg": "corgi", "test/9.jpg": None}
    assert table.splits.tolist() == ["train", "train", "test"]


def test_a_table_may_label_a_flat_test(make_tree):
    folder = make_tree("train/ant/1.jpg", "train/bee/2.jpg", "test/8.jpg", "test/9.jpg")
    (folder / "test.csv").write_text("image,label\n8.jpg,bee\n9.jpg,ant\n")
    assert named(ImageTable.open(folder, split="test")) == {
        "test/8.jpg": "bee",
        "test/9.jpg": "ant",
    }


def test_rows_without_an_image_are_counted(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg")
    (folder / "labels.csv").write_text("image,label\n1.jpg,ant\n2.jpg,bee\n7.jpg,bee\n")
    table = ImageTable.open(folder)
    assert [(i.n, i.example) for i in table.reading.ignored if i.what.startswith("rows")] == [
        (1, "7.jpg")
    ]


def test_a_column_for_each_class_is_read(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg", "images/3.jpg")
    (folder / "_classes.csv").write_text("filename, ant, bee\n1.jpg,1,0\n2.jpg,1,1\n3.jpg,0,0\n")
    table = ImageTable.open(folder)
    assert table.class_names == ("ant", "bee")
    assert table.label_sets == ((0,), (0, 1), ())
    (folder / "_classes.csv").write_text("filename, ant, bee\n1.jpg,1,0\n2.jpg,0,1\n3.jpg,0,1\n")
    assert ImageTable.open(folder).labels.tolist() == [0, 1, 1]


def test_a_column_of_words_is_found_among_facts(make_tree):
    folder = make_tree(*(f"imgs/{n}.jpg" for n in range(6)))
    rows = [f"{n},/old/imgs/{n}.jpg,{480 + n},{'ant' if n < 3 else 'bee'}" for n in range(6)]
    (folder / "annot.csv").write_text("\n".join(["idx,filepath,width,species", *rows]))
    table = ImageTable.open(folder)
    assert list(named(table).values()) == ["ant"] * 3 + ["bee"] * 3
    assert any("'species', the only one that looks like labels" in n for n in table.reading.notes)


def test_words_beside_class_folders_are_facts(make_tree):
    folder = make_tree(*(f"{'ant' if n < 3 else 'bee'}/{n}.jpg" for n in range(6)))
    rows = [f"{n}.jpg,{'canon' if n % 2 else 'nikon'}" for n in range(6)]
    (folder / "facts.csv").write_text("\n".join(["file,camera", *rows]))
    table = ImageTable.open(folder)
    assert list(named(table).values()) == ["ant"] * 3 + ["bee"] * 3
    assert any("facts.csv has columns that could be labels" in n for n in table.reading.notes)


def test_an_image_in_tables_of_two_splits_is_not_lost(make_tree):
    folder = make_tree(*(f"images/{n}.jpg" for n in "1234"))
    (folder / "train.csv").write_text("file,label\n1.jpg,ant\n2.jpg,bee\n3.jpg,ant\n")
    (folder / "test.csv").write_text("file,label\n3.jpg,ant\n4.jpg,bee\n")
    with pytest.raises(DataError, match=r"1 images of .*'images/3.jpg'.*test.csv and train.csv"):
        ImageTable.open(folder)
    table = ImageTable.open(folder, labels_from="train.csv")
    assert table.splits.tolist() == ["train"] * 3
    (folder / "test.csv").write_text("file,label\n4.jpg,bee\n")
    assert sorted(ImageTable.open(folder).splits.tolist()) == ["test", "train", "train", "train"]


FACTS = "file,patient_id,diagnosis,sex\n"


@pytest.mark.parametrize("names", [("part_1", "part_2"), ("camera A", "camera B")])
def test_folders_that_may_be_places_and_a_table_of_several_columns_are_asked_about(
    names, make_tree
):
    folder = make_tree(*(f"{names[n > 3]}/{n}.jpg" for n in range(1, 7)))
    cells = [f"{n}.jpg,p{n // 3},{'ab'[n % 2]},{'mf'[n // 3 % 2]}" for n in range(1, 7)]
    (folder / "meta.csv").write_text(FACTS + "\n".join(cells) + "\n")
    with pytest.raises(DataError, match=r"\(diagnosis, sex, patient_id\).*--label-column 'diagno"):
        ImageTable.open(folder)
    table = ImageTable.open(folder, label_column="diagnosis")
    assert table.class_names == ("a", "b")
    assert len(ImageTable.open(folder, labels_from="folders").class_names) == 2


def test_classes_with_such_a_table_are_still_classes(make_tree):
    folder = make_tree(*(f"{c}/{n}.jpg" for c in ("cat", "dog", "grade_1") for n in (1, 2)))
    cells = [
        f"{c}/{n}.jpg,p{n},{'ab'[n % 2]},{'mf'[n % 2]}" for c in ("cat", "dog") for n in (1, 2)
    ]
    (folder / "meta.csv").write_text(FACTS + "\n".join(cells) + "\n")
    table = ImageTable.open(folder)
    assert table.class_names == ("cat", "dog", "grade 1")
    assert any("(diagnosis, sex" in note for note in table.reading.notes)


def test_a_table_without_a_header_says_so(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg", "images/3.jpg")
    (folder / "labels.csv").write_text("1.jpg,ant\n2.jpg,bee\n3.jpg,ant\n")
    (ignored,) = ImageTable.open(folder).reading.ignored
    assert "no header: its first row names the image '1.jpg'" in ignored.why
    with pytest.raises(DataError, match="no header"):
        ImageTable.open(folder / "labels.csv")


def test_names_may_differ_in_capitals_alone(make_tree):
    folder = make_tree("images/1.jpg", "images/a.jpg", "images/A.JPG")
    (folder / "labels.csv").write_text("file,label\n1.JPG,ant\na.jpg,bee\nA.JPG,ant\n")
    assert named(ImageTable.open(folder)) == {
        "images/1.jpg": "ant", "images/a.jpg": "bee", "images/A.JPG": "ant",
    }  # fmt: skip


def test_a_column_of_splits_that_holds_numbers_is_passed_over(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg")
    (folder / "labels.csv").write_text("file,label,partition\n1.jpg,ant,0\n2.jpg,bee,2\n")
    table = ImageTable.open(folder)
    assert table.splits.tolist() == ["", ""]
    assert any("'partition' of labels.csv holds numbers" in note for note in table.reading.notes)


@pytest.mark.parametrize(
    ("cells", "sets"),
    [
        (("ant|flower", "bee", "ant"), [("ant", "flower"), ("bee",), ("ant",)]),
        (("ant; flower", "flower", "ant"), [("ant", "flower"), ("flower",), ("ant",)]),
        (("tea; with milk", "coffee", "tea; black"), None),
        (("left | right", "up|", "down"), None),
    ],
)
def test_joined_labels_are_several(cells, sets, make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg", "images/3.jpg")
    lines = "".join(f"{n}.jpg,{cell}\n" for n, cell in enumerate(cells, start=1))
    (folder / "labels.csv").write_text("file,labels\n" + lines)
    table = ImageTable.open(folder)
    if sets is None:
        assert set(table.class_names) == set(cells)
        return
    found = [tuple(table.class_names[c] for c in one) for one in table.label_sets]
    assert [set(one) for one in found] == [set(one) for one in sets]
    assert any("joined by" in note for note in table.reading.notes)


def test_words_that_may_mean_no_label_are_said(make_tree):
    folder = make_tree("images/1.jpg", "images/2.jpg", "images/3.jpg")
    (folder / "labels.csv").write_text("file,label\n1.jpg,ant\n2.jpg,None\n3.jpg,N/A\n")
    table = ImageTable.open(folder)
    assert table.class_names == ("N/A", "None", "ant")
    assert any("'N/A', 'None'" in note for note in table.reading.notes)


def test_classes_that_only_a_table_has_are_said(make_tree):
    folder = make_tree("train/1/1.jpg", "train/2/2.jpg", "test/3.jpg", "test/4.jpg")
    (folder / "labels.csv").write_text("file,label\n1.jpg,ant\n2.jpg,bee\n3.jpg,ant\n4.jpg,fly\n")
    table = ImageTable.open(folder)
    assert table.class_names == ("ant", "bee", "fly")
    assert "1 classes are in no folder: fly" in table.reading.notes
    assert any("'1' is 'ant'" in note for note in table.reading.notes)

"""CSV, TSV and JSONL manifests: finding columns, and refusing what does not fit."""

import json

import pytest

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable, labelled_part, require_labels


@pytest.fixture
def pictures(make_tree):
    return make_tree("img/a.jpg", "img/b 1.png", "img/ç.jpg")


def write(folder, name, text, **options):
    (folder / name).write_text(text, encoding="utf-8", newline="", **options)
    return folder / name


def named_labels(table):
    return [table.class_names[c] if c >= 0 else None for c in table.labels]


CSV = "image,label\nimg/a.jpg,ant\nimg/b 1.png,bee\nimg/ç.jpg,ant\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", CSV),
        ("m.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("m.csv", CSV.replace(",", ";")),
        ("m.csv", "," + CSV.replace("\nimg", "\n7,img")),
        ("m.tsv", CSV.replace(",", "\t")),
        ("M.CSV", CSV.replace("image,label", "File_Name,Category")),
        ("m.csv", CSV.replace("img/a", "./img/../img/a")),
        (
            "m.jsonl",
            "\n".join(
                json.dumps({"image": i, "label": c})
                for i, c in [("img/a.jpg", "ant"), ("img/b 1.png", "bee"), ("img/ç.jpg", "ant")]
            )
            + "\n\n",
        ),
    ],
)
def test_every_text_format_gives_the_same_table(name, text, pictures):
    table = ImageTable.open(write(pictures, name, text))
    assert table.ids == ("img/a.jpg", "img/b 1.png", "img/ç.jpg")
    assert named_labels(table) == ["ant", "bee", "ant"]
    assert table.class_names == ("ant", "bee")
    assert [table.load_image(row).size for row in range(3)] == [(48, 32)] * 3


def test_absolute_paths_inside_the_folder_are_fine(pictures):
    text = f"image,label\n{pictures / 'img/a.jpg'},x\nimg/b 1.png,y\n"
    assert ImageTable.open(write(pictures, "m.csv", text)).ids == ("img/a.jpg", "img/b 1.png")


def test_words_stay_words(pictures):
    text = "path,class\nimg/a.jpg,NA\nimg/b 1.png,None\nimg/ç.jpg,null\n"
    assert named_labels(ImageTable.open(write(pictures, "m.csv", text))) == ["NA", "None", "null"]


def test_names_may_hold_separators_and_line_breaks(make_tree):
    folder = make_tree("a,b.jpg", "two\nlines.jpg")
    text = 'image,label\n"a,b.jpg","x, y"\n"two\nlines.jpg",z\n'
    table = ImageTable.open(write(folder, "m.csv", text))
    assert table.ids == ("a,b.jpg", "two\nlines.jpg")
    assert table.class_names == ("x, y", "z")


def test_numbers_are_classes_in_numeric_order(pictures):
    text = "path,label\nimg/a.jpg,10\nimg/b 1.png,9\nimg/ç.jpg,-1\n"
    table = ImageTable.open(write(pictures, "m.csv", text))
    assert named_labels(table) == ["10", "9", None]
    assert table.class_names == ("9", "10")
    with pytest.raises(DataError, match="have no label"):
        require_labels(table)


def test_numbers_index_given_names(pictures):
    path = write(pictures, "m.csv", "path,label\nimg/a.jpg,2\nimg/b 1.png,0.0\nimg/ç.jpg,\n")
    table = ImageTable.open(path, class_names=["ant", "bee", "wasp"])
    assert named_labels(table) == ["wasp", "ant", None]
    with pytest.raises(InputError, match="label 2, which is not among the 2 class names"):
        ImageTable.open(path, class_names=["ant", "bee"])


def test_numbers_take_their_names_from_class_name(pictures):
    text = "path,label,class_name\nimg/a.jpg,1,ant\nimg/b 1.png,0,bee\nimg/ç.jpg,1,ant\n"
    table = ImageTable.open(write(pictures, "m.csv", text))
    assert table.class_names == ("bee", "ant")
    assert table.labels.tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="names label 1 'wasp', an earlier row 'ant'"):
        ImageTable.open(write(pictures, "m.csv", text.replace("ç.jpg,1,ant", "ç.jpg,1,wasp")))
    with pytest.raises(DataError, match="gives two labels one class_name"):
        ImageTable.open(write(pictures, "m.csv", text.replace("bee", "ant")))


def test_labels_outside_the_given_names_are_refused(pictures):
    path = write(pictures, "m.csv", CSV)
    with pytest.raises(InputError, match=r"labels 'bee' of .* are not among the class names"):
        ImageTable.open(path, class_names=["ant", "wasp"])


def test_a_missing_column_lists_those_there_are(pictures):
    text = CSV.replace("image,label", "where,kind,zone").replace(",ant", ",ant,north")
    path = write(pictures, "m.csv", text.replace(",bee", ",bee,south"))
    with pytest.raises(DataError, match=r"no image column .*: where, kind, zone; .*--image-column"):
        ImageTable.open(path)
    with pytest.raises(DataError, match=r"no label column .*: where, kind, zone; .*--label-column"):
        ImageTable.open(path, image_column="where")
    with pytest.raises(DataError, match="no column 'sort'; its columns are: where, kind, zone"):
        ImageTable.open(path, image_column="where", label_column="sort")
    table = ImageTable.open(path, image_column="where", label_column="kind")
    assert named_labels(table) == ["ant", "bee", "ant"]


def test_a_column_of_images_alone_is_unlabelled(pictures):
    table = ImageTable.open(write(pictures, "m.csv", "image\nimg/a.jpg\n"))
    assert table.labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("../outside.jpg", "row 0 .* path outside of .*'../outside.jpg'"),
        ("/etc/passwd", "path outside of"),
        ("img/../../outside.jpg", "path outside of"),
        ("link/outside.jpg", "path outside of"),
        ("img/out.jpg", "path outside of"),
        ("img/absent.jpg", "row 0 .* not there: 'img/absent.jpg'"),
        ("nowhere/a.jpg", "not there"),
        ("img", "not there"),
        ("https://example.org/a.jpg", "not there"),
        ("", "row 0 .* names no image"),
    ],
)
def test_paths_that_lead_nowhere_or_outside_are_refused(cell, message, pictures):
    outside = pictures.parent / "outside.jpg"
    outside.write_bytes((pictures / "img/a.jpg").read_bytes())
    (pictures / "link").symlink_to(pictures.parent, target_is_directory=True)
    (pictures / "img/out.jpg").symlink_to(outside)
    with pytest.raises(DataError, match=message):
        ImageTable.open(write(pictures, "m.csv", f"image,label\n{cell},ant\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"image,label\nimg/a.jpg\n", r"row 0 .*\(line 2\) has not the 2 cells"),
        ("m.csv", b"image,label\nimg/a.jpg,a,b\n", "has not the 2 cells"),
        ("m.csv", b"image,label\n", "has no rows"),
        ("m.csv", b"", "has no rows"),
        ("m.csv", b'image,label\n"img/a.jpg,x\n', "unexpected end of data"),
        ("m.csv", b"image,label\nimg/\xe7.jpg,x\n", "not UTF-8"),
        ("m.jsonl", b'{"image": "img/a.jpg"}\n{', "line 2 of .* is no JSON"),
        ("m.jsonl", b"[1, 2]\n", "line 1 of .* no JSON object"),
        ("m.parquet", b"PAR1 nonsense", "no readable Parquet file"),
    ],
)
def test_damaged_manifests_are_refused(name, content, message, pictures):
    (pictures / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        ImageTable.open(pictures / name)
    assert "\n" not in str(caught.value)


def test_a_split_column_divides_the_rows(pictures):
    text = "image,label,split\nimg/a.jpg,x,train\nimg/b 1.png,y,Validation\nimg/ç.jpg,x,\n"
    table = ImageTable.open(write(pictures, "m.csv", text))
    assert table.splits.tolist() == ["train", "val", ""]
    with pytest.raises(DataError, match=r"row 1 .* the split 'fold 3'; expected train, val or"):
        ImageTable.open(write(pictures, "m.csv", text.replace("Validation", "fold 3")))


@pytest.mark.parametrize("name", ["test.csv", "test-0001.csv", "TEST_b.csv"])
def test_a_file_named_after_a_split_is_that_split(name, pictures):
    assert set(ImageTable.open(write(pictures, name, CSV)).splits.tolist()) == {"test"}


def test_a_folder_of_split_manifests_is_one_data_set(pictures):
    write(pictures, "train.csv", "image,label\nimg/a.jpg,x\nimg/b 1.png,y\n")
    write(pictures, "val.csv", "image,label\nimg/ç.jpg,y\n")
    table = ImageTable.open(pictures)
    assert table.splits.tolist() == ["train", "train", "val"]
    assert named_labels(table) == ["x", "y", "y"]
    assert ImageTable.open(pictures, split="val").ids == ("img/ç.jpg",)


def test_splits_may_lack_classes_and_may_not_contradict_each_other(pictures):
    head = "image,label,class_name\n"
    write(pictures, "train.csv", head + "img/a.jpg,0,ant\nimg/b 1.png,1,bee\n")
    write(pictures, "val.csv", head + "img/ç.jpg,1,bee\n")
    table = ImageTable.open(pictures)
    assert table.class_names == ("ant", "bee")
    assert table.labels.tolist() == [0, 1, 1]
    write(pictures, "val.csv", head + "img/ç.jpg,1,wasp\n")
    with pytest.raises(DataError, match=r"name different classes \(ant, bee, wasp\)"):
        ImageTable.open(pictures)


def test_metadata_describes_the_folder_that_it_lies_in(pictures):
    write(pictures, "metadata.csv", "file_name,label\nimg/a.jpg,x\nimg/ç.jpg,y\n")
    assert ImageTable.open(pictures).ids == ("img/a.jpg", "img/ç.jpg")


def test_other_tables_beside_class_folders_are_no_data_set(make_tree):
    folder = make_tree("ant/1.jpg", "bee/1.jpg")
    write(folder, "results.csv", "a,b\n1,2\n")
    assert ImageTable.open(folder).ids == ("ant/1.jpg", "bee/1.jpg")


def test_captions_are_gathered_from_rows_of_one_image(pictures):
    text = "image,caption\nimg/a.jpg,An ant.\nimg/b 1.png,Bees.\nimg/a.jpg,One ant runs.\n"
    table = ImageTable.open(write(pictures, "captions.csv", text))
    assert table.ids == ("img/a.jpg", "img/b 1.png")
    assert table.captions == (("An ant.", "One ant runs."), ("Bees.",))
    assert table.class_names == ()


def test_an_image_that_is_listed_twice_is_refused(pictures):
    with pytest.raises(DataError, match=r"lists the image 'img/a\.jpg' in rows 0 and 3"):
        ImageTable.open(write(pictures, "m.csv", CSV + "img/./a.jpg,bee\n"))


def test_captions_may_be_lists(pictures):
    rows = [{"image": "img/a.jpg", "captions": ["one", "two"]}, {"image": "img/ç.jpg"}]
    text = "\n".join(json.dumps(row) for row in rows)
    table = ImageTable.open(write(pictures, "m.jsonl", text))
    assert table.captions == (("one", "two"), ())


def test_rows_can_be_chosen_by_another_column(pictures):
    text = CSV.replace("\n", ",photo\n").replace("label,photo", "label,domain")
    path = write(pictures, "m.csv", text.replace("bee,photo", "bee,sketch"))
    assert ImageTable.open(path, where={"domain": ["photo"]}).ids == ("img/a.jpg", "img/ç.jpg")
    assert len(ImageTable.open(path, where={"domain": ["photo", "sketch"]})) == 3
    both = {"domain": ["sketch"], "label": ["bee"]}
    assert ImageTable.open(path, where=both).ids == ("img/b 1.png",)
    with pytest.raises(
        InputError, match=r"no column 'style' to filter by; .* image, label, domain"
    ):
        ImageTable.open(path, where={"style": ["photo"]})
    with pytest.raises(InputError, match=r"no row .* has domain 'art'; there is: photo, sketch"):
        ImageTable.open(path, where={"domain": ["art"]})
    with pytest.raises(DataError, match="no rows left"):
        ImageTable.open(path, where={"domain": ["sketch"], "label": ["ant"]})


def test_a_filter_looks_at_all_files_together(pictures):
    write(pictures, "train.csv", "image,label,domain\nimg/a.jpg,x,photo\nimg/b 1.png,y,sketch\n")
    write(pictures, "test.csv", "image,label,domain\nimg/ç.jpg,x,photo\n")
    table = ImageTable.open(pictures, where={"domain": ["sketch"]})
    assert table.ids == ("img/b 1.png",)


def test_zero_padded_labels_are_words(pictures):
    path = write(pictures, "m.csv", "image,label\nimg/a.jpg,007\nimg/b 1.png,010\n")
    assert ImageTable.open(path).class_names == ("007", "010")


def test_numbers_stay_numbers_beside_an_unlabelled_split(pictures):
    write(pictures, "train.csv", "image,label\nimg/a.jpg,10\nimg/b 1.png,9\n")
    write(pictures, "test.csv", "image\nimg/ç.jpg\n")
    table = ImageTable.open(pictures)
    assert table.class_names == ("9", "10")
    assert dict(zip(table.ids, table.labels.tolist(), strict=True))["img/ç.jpg"] == -1


def test_tables_named_after_splits_do_not_hide_folders_named_so(make_tree):
    folder = make_tree("train/ant/1.jpg", "train/bee/1.jpg", "test/ant/2.jpg", "test/bee/2.jpg")
    write(folder, "train.csv", "id,weight\n1,2\n")
    assert ImageTable.open(folder).class_names == ("ant", "bee")


def test_metadata_may_lie_in_the_folders_of_splits(make_tree):
    folder = make_tree("train/1.jpg", "train/2.jpg", "validation/1.jpg")
    write(folder, "train/metadata.csv", "file_name,label\n1.jpg,x\n2.jpg,y\n")
    write(folder, "validation/metadata.jsonl", '{"file_name": "1.jpg", "label": "y"}\n')
    table = ImageTable.open(folder)
    assert table.ids == ("train/1.jpg", "train/2.jpg", "validation/1.jpg")
    assert table.splits.tolist() == ["train", "train", "val"]
    assert named_labels(table) == ["x", "y", "y"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([["ant", "bee"], ["ant"], []], ((0, 1), (0,), ())),
        ([["ant", "bee"], ["ant"], None], ((0, 1), (0,), None)),
        ([{"ant": True, "bee": True}, {"ant": 1, "bee": 0}, {"ant": 0}], ((0, 1), (0,), ())),
        (['["ant", "bee"]', '["ant"]', ""], ((0, 1), (0,), None)),
        (["['ant', 'bee']", "ant", "nan"], ((0, 1), (0,), None)),
        ([[{"name": "ant"}, {"name": "bee"}], [{"name": "ant"}], -1], ((0, 1), (0,), None)),
        ([["ant", "bee", "ant"], ["ant"], float("nan")], ((0, 1), (0,), None)),
    ],
)
def test_several_labels_an_image_are_a_set_each(cells, expected, pictures):
    images = ("img/a.jpg", "img/b 1.png", "img/ç.jpg")
    lines = [json.dumps({"image": i, "label": c}) for i, c in zip(images, cells, strict=True)]
    table = ImageTable.open(write(pictures, "m.jsonl", "\n".join(lines)))
    assert table.class_names == ("ant", "bee")
    assert table.label_sets == expected
    assert table.labels.tolist() == [-1, -1, -1]
    with pytest.raises(DataError, match=r"1 of the 3 images .* have several labels.*'ant', 'bee'"):
        require_labels(table)
    assert table.select([0]).label_sets == expected[:1]


@pytest.mark.parametrize(
    "cells",
    [
        [["ant"], ["bee"], ["ant"]],
        [{"name": "ant", "id": 7}, {"name": "bee", "id": 8}, {"name": "ant", "id": 7}],
        ['["ant"]', '["bee"]', '["ant"]'],
        [{"ant": True, "bee": False}, {"ant": False, "bee": True}, {"ant": True, "bee": False}],
    ],
)
def test_one_label_in_a_list_or_an_object_is_one_label(cells, pictures):
    images = ("img/a.jpg", "img/b 1.png", "img/ç.jpg")
    lines = [json.dumps({"image": i, "label": c}) for i, c in zip(images, cells, strict=True)]
    table = ImageTable.open(write(pictures, "m.jsonl", "\n".join(lines)))
    assert named_labels(table) == ["ant", "bee", "ant"]
    assert table.label_sets is None


def test_lists_of_flags_are_places_of_classes(pictures):
    lines = [
        json.dumps({"image": i, "label": c})
        for i, c in [("img/a.jpg", [1, 0, 0]), ("img/b 1.png", [0, 1, 1])]
    ]
    path = write(pictures, "m.jsonl", "\n".join(lines))
    table = ImageTable.open(path, class_names=["ant", "bee", "wasp"])
    assert table.label_sets == ((0,), (1, 2))


@pytest.mark.parametrize("nothing", ["-1", "nan", "NaN", "", " "])
def test_what_tools_write_for_nothing_among_words_is_no_label(nothing, pictures):
    text = CSV.replace("img/ç.jpg,ant", f"img/ç.jpg,{nothing}")
    table = ImageTable.open(write(pictures, "m.csv", text))
    assert named_labels(table) == ["ant", "bee", None]
    part, notes = labelled_part(table)
    assert part.ids == ("img/a.jpg", "img/b 1.png")
    assert "1 of the 3 images have no label, such as 'img/ç.jpg'" in notes[0]


def test_numbers_against_words_are_refused(pictures):
    write(pictures, "train.csv", "image,label\nimg/a.jpg,0\nimg/b 1.png,1\n")
    write(pictures, "test.csv", "image,label\nimg/ç.jpg,ant\n")
    with pytest.raises(DataError, match=r"numbers as labels \('0'\) and some words \('ant'\)"):
        ImageTable.open(pictures)


@pytest.mark.parametrize("head", ["id,label", "image,label", "sample,kind"])
def test_a_manifest_may_name_images_without_folder_or_suffix(head, pictures):
    text = f"{head}\na,ant\nb 1,bee\nç,ant\n"
    table = ImageTable.open(write(pictures, "m.csv", text))
    assert table.ids == ("img/a.jpg", "img/b 1.png", "img/ç.jpg")
    assert named_labels(table) == ["ant", "bee", "ant"]
    assert "found below it by name" in table.reading.notes[-1]
    with pytest.raises(DataError):
        ImageTable.open(write(pictures, "m.csv", text.replace("\na,", "\nz,")))

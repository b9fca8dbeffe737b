"""Every format that is written is read back the same: bytes, labels, splits."""

import gc
import json

import datasets
import pytest

from cliptune.cli import run_command_line
from cliptune.errors import BadImageError, DataError, InputError, UnknownNameError
from cliptune.images import ImageTable
from cliptune.images.writers import list_writers, write_table

FORMS = ("csv", "fiftyone", "hf", "imagefolder", "labelstudio", "parquet", "webdataset")


def content(table):
    """What is in a table, whatever its files are called."""
    found = []
    for row, source in enumerate(table.sources):
        code = int(table.labels[row])
        labels = None if code < 0 else [table.class_names[code]]
        if table.label_sets is not None:
            codes = table.label_sets[row]
            labels = None if codes is None else sorted(table.class_names[c] for c in codes)
        captions = () if table.captions is None else table.captions[row]
        found.append((source.read(), str(table.splits[row]), labels, captions))
    return sorted(found, key=repr)


def test_the_formats_are_these():
    assert tuple(list_writers()) == FORMS


@pytest.mark.parametrize("form", FORMS)
def test_hymenoptera_comes_back(form, data_root, tmp_path):
    table = ImageTable.open(data_root / "hymenoptera_data")
    table = table.select([*range(12), *range(130, 140), *range(250, 262), *range(340, 350)])
    assert write_table(table, form, tmp_path / "out") == ()
    again = ImageTable.open(tmp_path / "out")
    assert content(again) == content(table)
    assert again.class_names == ("ant", "bee")


@pytest.fixture
def several(make_tree):
    folder = make_tree(*(f"img/{n}.png" for n in range(5)))
    labels = [["ant"], ["ant", "bee wasp"], [], None, ["bee wasp"]]
    rows = [
        {"image": f"img/{n}.png", "tags": c, "split": s, "captions": [f"one {n}", "two"][: n % 3]}
        for n, (c, s) in enumerate(
            zip(labels, ["train", "train", "test", "test", "val"], strict=True)
        )
    ]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ImageTable.open(folder / "m.jsonl")


@pytest.mark.parametrize("form", [f for f in FORMS if f != "imagefolder"])
def test_several_labels_come_back(form, several, tmp_path):
    notes = write_table(several, form, tmp_path / "out")
    again, expected = content(ImageTable.open(tmp_path / "out")), content(several)
    if form in ("labelstudio", "fiftyone"):
        assert "captions" in notes[0]
        again, expected = ([row[:3] for row in rows] for rows in (again, expected))
    assert again == expected


def test_class_folders_hold_one_label_an_image(several, tmp_path):
    with pytest.raises(DataError, match="imagefolder holds one label an image"):
        write_table(several, "imagefolder", tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []


@pytest.mark.parametrize("form", FORMS)
def test_images_without_label_or_split_come_back(form, make_tree, tmp_path):
    table = ImageTable.open(make_tree("ant/1.jpg", "bee/1.png", "_unlabeled/x.jpg"))
    assert table.labels.tolist().count(-1) == 1
    write_table(table, form, tmp_path / "out")
    again = ImageTable.open(tmp_path / "out")
    assert content(again) == content(table)
    assert set(again.splits.tolist()) == {""}


@pytest.mark.parametrize("form", FORMS)
def test_captions_and_groups_come_back_or_are_said_to_be_lost(form, make_tree, tmp_path):
    folder = make_tree("train/ant/1.jpg", "train/bee/2.jpg", "test/bee/3.jpg")
    (folder / "facts.csv").write_text(
        "image,caption,who\n1.jpg,an ant,a\n2.jpg,,b\n3.jpg,a bee,a\n"
    )
    table = ImageTable.open(folder, group_column="who")
    notes = write_table(table, form, tmp_path / "out")
    if form in ("labelstudio", "fiftyone"):
        assert "captions" in notes[0]
        return
    again = ImageTable.open(tmp_path / "out", group_column="group")
    assert content(again) == content(table)
    assert sorted(again.groups.tolist()) == ["a", "a", "b"]


def test_parquet_is_what_the_datasets_library_reads(data_root, tmp_path):
    table = ImageTable.open(data_root / "hymenoptera_data", split="val").select([0, 100])
    write_table(table, "parquet", tmp_path / "out")
    loaded = datasets.load_dataset(
        "parquet", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )["validation"]
    assert loaded.features["label"].names == ["ant", "bee"]
    raw = loaded.cast_column("image", datasets.Image(decode=False))
    assert [row["image"]["bytes"] for row in raw] == [s.read() for s in table.sources]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_its_shards(data_root, tmp_path):
    import webdataset

    table = ImageTable.open(data_root / "hymenoptera_data", split="val").select([0, 100])
    write_table(table, "webdataset", tmp_path / "out")
    samples = list(webdataset.WebDataset(str(tmp_path / "out/val-000000.tar"), shardshuffle=False))
    assert [sample["jpg"] for sample in samples] == [s.read() for s in table.sources]
    assert [json.loads(sample["json"])["class_name"] for sample in samples] == ["ant", "bee"]
    gc.collect()  # or the warning comes in whichever test is next


def test_shards_of_several_kinds_say_who_reads_them(make_tree, tmp_path):
    """The kinds are told by the bytes, in which shards of one kind say nothing."""
    one = ImageTable.open(make_tree("ant/1.png", "bee/2.png"))
    assert write_table(one, "webdataset", tmp_path / "one") == ()
    table = ImageTable.open(make_tree("ant/3.png", "bee/4.png", "bee/5.jpg", root="mixed"))
    (note,) = write_table(table, "webdataset", tmp_path / "two")
    assert note.startswith("the shards hold jpg and png files")
    assert content(ImageTable.open(tmp_path / "two")) == content(table)


def test_names_that_a_format_would_change_are_refused(make_tree, tmp_path):
    folder = make_tree("1.jpg", "2.jpg")
    (folder / "m.jsonl").write_text(
        '{"image": "1.jpg", "label": "a/b"}\n{"image": "2.jpg", "label": "=1+1"}\n'
    )
    table = ImageTable.open(folder / "m.jsonl")
    with pytest.raises(DataError, match="the class 'a/b' can be no folder"):
        write_table(table, "imagefolder", tmp_path / "out")
    with pytest.raises(DataError, match="csv cannot hold this data set"):
        write_table(table, "csv", tmp_path / "out")
    write_table(table, "parquet", tmp_path / "out")
    assert content(ImageTable.open(tmp_path / "out")) == content(table)


def test_nothing_is_left_where_writing_fails(make_tree, tmp_path):
    folder = make_tree("ant/1.jpg", "bee/2.jpg")
    table = ImageTable.open(folder)
    (folder / "bee/2.jpg").unlink()
    with pytest.raises(BadImageError):
        write_table(table, "csv", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    with pytest.raises(InputError, match="holds something; name a new folder"):
        write_table(table, "csv", folder)
    with pytest.raises(UnknownNameError, match="unknown format 'imagefold'; nearest: imagefolder"):
        write_table(table, "imagefold", tmp_path / "out")


def test_the_command_writes(make_tree, tmp_path, capsys):
    folder = make_tree("train/ant/1.jpg", "train/bee/2.jpg", "dev/ant/3.jpg", "dev/bee/4.jpg")
    arguments = ["data", str(folder), "--to", "parquet", str(tmp_path / "out")]
    assert run_command_line([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(tmp_path / "out")
    assert content(ImageTable.open(tmp_path / "out")) == content(ImageTable.open(folder))
    assert run_command_line(["data", str(folder), "--to", "csv"]) == 2
    assert "--to and a folder go together" in capsys.readouterr().err

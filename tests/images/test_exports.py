"""What labelling tools export, made by their own packages (``tests/exports/make_exports.py``)."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import BadImageError, DataError, InputError
from cliptune.images import ImageTable

FILES = Path(__file__).parent.parent / "exports/files"
ONE = {"ant_1": "ant", "ant_2": "ant", "bee_1": "bee"}
SEVERAL = {"ant_1": ["ant"], "ant_2": ["ant"], "bee_1": ["bee"], "both_1": ["ant", "bee"]}


def read(table):
    """What is said of each image, by its name without its suffix."""
    if table.label_sets is None:
        said = [table.class_names[c] if c >= 0 else None for c in table.labels]
    else:
        said = [
            None if codes is None else [table.class_names[c] for c in codes]
            for codes in table.label_sets
        ]
    return {Path(i).stem: labels for i, labels in zip(table.ids, said, strict=True)}


@pytest.fixture
def label_studio(tmp_path):
    """A folder of pictures with one file of the exporter in it."""

    def place(kind, file):
        folder = tmp_path / kind / file.replace("/", "-")
        shutil.copytree(FILES / "fiftyone-words/data", folder / "upload/1")
        shutil.copy(FILES / f"label-studio-{kind}/{file}", folder)
        return folder

    return place


@pytest.mark.parametrize("file", ["export.json", "min/result.json", "csv/result.csv"])
@pytest.mark.parametrize("whole", [True, False])
def test_label_studio(file, whole, label_studio):
    folder = label_studio("single", file)
    table = ImageTable.open(folder if whole else folder / Path(file).name)
    expected = {**ONE, "both_1": "ant", "none_1": None}
    if file == "export.json":
        expected["skipped_1"] = None
    found = read(table)
    assert {name: found[name] for name in expected} == expected
    assert any("annotators of 1 images disagree" in note for note in table.reading.notes)
    assert table.reading.layout.startswith("Label Studio")
    several = read(ImageTable.open(label_studio("multiple", file)))
    assert {name: several[name] for name in SEVERAL} == SEVERAL
    assert several["none_1"] is None


def test_annotations_that_were_skipped_are_counted(label_studio):
    table = ImageTable.open(label_studio("single", "export.json"))
    assert [(i.n, i.why) for i in table.reading.ignored if "annotations" in i.what] == [
        (1, "skipped by their annotator")
    ]


def test_annotators_without_a_majority_give_no_label(label_studio):
    folder = label_studio("single", "export.json")
    tasks = json.loads((folder / "export.json").read_text())
    tasks[3]["annotations"] = tasks[3]["annotations"][:2]
    (folder / "export.json").write_text(json.dumps(tasks))
    table = ImageTable.open(folder)
    assert read(table)["both_1"] is None
    assert any("without a majority" in note for note in table.reading.notes)


@pytest.mark.parametrize("kind", ["datumaro-cvat", "datumaro-cvat-boxes", "fiftyone-cvat"])
def test_cvat(kind):
    table = ImageTable.open(FILES / kind)
    found = read(table)
    assert {name: found[name] for name in SEVERAL} == SEVERAL
    assert table.class_names == ("ant", "bee")
    if kind.startswith("datumaro"):
        assert set(table.split("train").ids) == {f"images/{name}.jpg" for name in SEVERAL}
        assert found["none_1"] is None


def test_one_tag_an_image_is_one_label(tmp_path):
    shutil.copytree(FILES / "datumaro-cvat", tmp_path / "set")
    path = tmp_path / "set/train.xml"
    text = path.read_text()
    start = text.index('<tag label="bee">', text.index("both_1"))
    path.write_text(text[:start] + text[text.index("</tag>", start) + len("</tag>") :])
    found = read(ImageTable.open(tmp_path / "set"))
    assert found == {**ONE, "both_1": "ant", "none_1": None, "skipped_1": None}


@pytest.mark.parametrize("kind", ["words", "numbers"])
def test_fiftyone_with_one_label_an_image(kind):
    table = ImageTable.open(FILES / f"fiftyone-{kind}")
    assert read(table) == {**ONE, "both_1": "ant", "none_1": None, "skipped_1": None}


def test_fiftyone_with_several_labels_an_image():
    found = read(ImageTable.open(FILES / "fiftyone-several"))
    assert found == {**SEVERAL, "none_1": None, "skipped_1": None}


def test_class_folders_of_fiftyone_and_datumaro():
    tree = ImageTable.open(FILES / "fiftyone-tree")
    assert read(tree) == {**ONE, "both_1": "ant", "none_1": None, "skipped_1": None}
    assert read(ImageTable.open(FILES / "datumaro-imagenet")) == ONE


def test_coco_and_yolo_are_sets_of_what_an_image_shows():
    for tool in ("datumaro", "fiftyone"):
        for kind in ("coco", "yolo"):
            table = ImageTable.open(FILES / f"{tool}-{kind}")
            found = read(table)
            assert {name: found[name] for name in SEVERAL} == SEVERAL, (tool, kind)
            assert table.class_names == ("ant", "bee")
    assert read(ImageTable.open(FILES / "fiftyone-coco"))["none_1"] == []
    yolo = ImageTable.open(FILES / "fiftyone-yolo")
    assert read(yolo)["none_1"] == []
    assert "2 images have no text file" in yolo.reading.notes[0]
    assert len(ImageTable.open(FILES / "datumaro-yolo", split="val")) == 2


def test_img2dataset_is_read_from_its_shards():
    table = ImageTable.open(FILES / "img2dataset")
    assert len(table) == 6
    assert sorted(texts[0] for texts in table.captions)[0] == "a picture of ant_1.jpg"
    assert [(i.n, i.why) for i in table.reading.ignored if "files" in i.what] == [
        (4, "2 .parquet, 2 .json")
    ]
    assert table.load_image(0).size == (32, 32)


@pytest.mark.parametrize("layout", ["tfds", "vertex"])
def test_tfrecord(layout, tmp_path):
    shutil.copytree(FILES / f"tfrecord-{layout}", tmp_path / "set")
    table = ImageTable.open(tmp_path / "set")
    assert table.labels.tolist() == [0, 0, 1]
    assert table.splits.tolist() == ["train"] * 3
    assert [table.load_image(row).size for row in range(3)] == [(48, 32)] * 3
    assert table.class_names == (("ant", "bee") if layout == "vertex" else ("0", "1"))
    if layout == "tfds":
        (tmp_path / "set/label.labels.txt").write_text("ant\nbee\n")
        assert ImageTable.open(tmp_path / "set").class_names == ("ant", "bee")
    file = next((tmp_path / "set").glob("*.tfrecord*"))
    assert ImageTable.open(file).labels.tolist() == [0, 0, 1]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"record 2 of .* is no tf\.train\.Example"):
        ImageTable.open(file)


@pytest.fixture
def saved(make_picture, encode_picture, tmp_path):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])}
    )
    cells = [{"bytes": encode_picture(make_picture(n)), "path": None} for n in range(4)]
    rows = datasets.Dataset.from_dict({"image": cells, "label": [1, 0, 1, -1]}, features=features)
    parts = datasets.DatasetDict({"train": rows.select([0, 1]), "test": rows.select([2, 3])})
    parts.save_to_disk(tmp_path / "parts")
    rows.save_to_disk(tmp_path / "rows")
    return tmp_path, cells


def test_a_data_set_of_the_hub_kept_on_disk(saved):
    folder, cells = saved
    table = ImageTable.open(folder / "parts")
    assert table.splits.tolist() == ["train", "train", "test", "test"]
    assert [source.read() for source in table.sources] == [cell["bytes"] for cell in cells]
    whole = ImageTable.open(folder / "rows")
    assert whole.labels.tolist() == table.labels.tolist() == [1, 0, 1, -1]
    assert whole.class_names == ("ant", "bee")


@pytest.mark.parametrize("kind", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("above", [True, False])
def test_metadata_of_the_hub_above_or_inside_splits(kind, above, make_tree):
    folder = make_tree("train/1.jpg", "train/2.jpg", "test/1.jpg")
    rows = [("train", "1.jpg", "ant"), ("train", "2.jpg", "bee"), ("test", "1.jpg", "bee")]
    for split in ("train", "test"):
        mine = [(f"{s}/{n}" if above else n, c) for s, n, c in rows if above or s == split]
        columns = {"file_name": [n for n, _ in mine], "label": [c for _, c in mine]}
        path = folder / kind if above else folder / split / kind
        if kind.endswith("parquet"):
            pq.write_table(pa.table(columns), path)
        elif kind.endswith("csv"):
            path.write_text("file_name,label\n" + "".join(f"{n},{c}\n" for n, c in mine))
        else:
            path.write_text(
                "".join(json.dumps({"file_name": n, "label": c}) + "\n" for n, c in mine)
            )
    table = ImageTable.open(folder)
    found = {i: table.class_names[c] for i, c in zip(table.ids, table.labels, strict=True)}
    assert found == {f"{split}/{name}": label for split, name, label in rows}
    assert sorted(table.splits.tolist()) == ["test", "train", "train"]


def test_parquet_with_lists_of_structs_and_dictionaries(make_picture, encode_picture, tmp_path):
    pictures = [encode_picture(make_picture(n)) for n in range(3)]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [[{"bytes": p, "path": None}] for p in pictures]
    columns = {
        "images": pa.array(cells, pa.list_(struct)),
        "label": pa.array(["ant", "bee", "ant"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    table = ImageTable.open(tmp_path / "m.parquet")
    assert [source.read() for source in table.sources] == pictures
    assert table.labels.tolist() == [0, 1, 0]
    cells[1] *= 2
    columns["images"] = pa.array(cells, pa.list_(struct))
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    with pytest.raises(BadImageError, match="the row holds 2 images"):
        ImageTable.open(tmp_path / "m.parquet").sources[1].read()


def pack(folder, path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w") as archive:
            archive.add(folder, arcname=".")
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_archives_of_class_folders_are_read_as_they_are(suffix, make_tree, tmp_path):
    folder = make_tree("set/train/ant/1.jpg", "set/train/bee/1.png", "set/eval/ant/2.jpg")
    (folder / "set/train/ant/.hidden.jpg").write_bytes(b"x")
    plain = ImageTable.open(folder)
    table = ImageTable.open(pack(folder, tmp_path / f"data{suffix}"))
    assert table.ids == plain.ids
    assert table.labels.tolist() == plain.labels.tolist()
    assert table.splits.tolist() == plain.splits.tolist()
    assert [s.read() for s in table.sources] == [s.read() for s in plain.sources]
    assert "archive of class folders" in table.reading.layout


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["labels.csv", "annotations.xml"])
def test_a_table_in_an_archive_without_class_folders_is_not_left_out(
    suffix, name, make_tree, tmp_path
):
    folder = make_tree("photos/1.jpg", "photos/2.jpg")
    (folder / name).write_text("image,label\n1.jpg,ant\n2.jpg,bee\n")
    with pytest.raises(DataError, match=rf"{name}', which may hold the labels; .*: unpack it"):
        ImageTable.open(pack(folder, tmp_path / f"data{suffix}"))
    more = make_tree("set/ant/1.jpg", "set/bee/1.png")
    (more / "set" / name).write_text("image,label\n")
    folder_and_table = ImageTable.open(pack(more / "set", tmp_path / f"more{suffix}"))
    assert folder_and_table.class_names == ("ant", "bee")
    assert [i.what for i in folder_and_table.reading.ignored] == ["other members"]


def test_a_member_that_leads_out_of_its_archive_is_refused(make_tree, tmp_path):
    image = make_tree("1.jpg") / "1.jpg"
    for name in ("../out/1.jpg", "/etc/1.jpg", "a/../../1.jpg"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.write(image, "ant/1.jpg")
            archive.writestr(zipfile.ZipInfo(name), image.read_bytes())
        with pytest.raises(DataError, match="leads out of it; refused"):
            ImageTable.open(tmp_path / "x.zip")
        with tarfile.open(tmp_path / "x.tar", "w") as archive:
            member = tarfile.TarInfo(name)
            member.size = image.stat().st_size
            with image.open("rb") as file:
                archive.addfile(member, file)
        with pytest.raises(DataError, match="leads out of it; refused"):
            ImageTable.open(tmp_path / "x.tar")


def test_a_damaged_archive_is_one_line(make_tree, tmp_path):
    path = pack(make_tree("ant/1.jpg", "bee/1.jpg"), tmp_path / "d.zip")
    data = bytearray(path.read_bytes())
    data[60:90] = b"\0" * 30
    path.write_bytes(data)
    with pytest.raises(BadImageError, match="the archive is damaged"):
        ImageTable.open(path).sources[0].read()
    path.write_bytes(data[:100])
    with pytest.raises(DataError, match="is no whole zip archive"):
        ImageTable.open(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xml", "<annotations><image", "no readable XML"),
        ("a.json", '{"images": [{}], "annotations": [], "categories": []}', "looks like COCO"),
        ("a.json", '{"classes": ["ant"], "labels": {"1": 3}}', "the label 3, but lists 1 classes"),
    ],
)
def test_damaged_exports_are_one_line(name, content, message, make_tree):
    folder = make_tree("img/1.jpg")
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=message):
        ImageTable.open(folder)


def test_an_export_without_its_images_says_so(tmp_path):
    shutil.copy(FILES / "fiftyone-words/labels.json", tmp_path)
    with pytest.raises(DataError, match=r"none of the 6 images of .* 'ant_1', lies below"):
        ImageTable.open(tmp_path / "labels.json")
    with pytest.raises(InputError, match="no columns"):
        ImageTable.open(tmp_path / "labels.json", label_column="x")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("data.yaml", b"names: [ant, [bee]]", "a name that is no text"),
        ("data.yaml", b"names: {0: ant, 1: {a: b}}", "a name that is no text"),
        ("data.yaml", b"names: " + b"[" * 5_000, "no readable YAML"),
        ("classes.txt", b"ant\n\xff\xfe\n", "cannot read the names"),
    ],
)
def test_names_of_yolo_that_are_none_are_refused(file, content, says, tmp_path):
    folder = tmp_path / "yolo"
    shutil.copytree(FILES / "fiftyone-yolo", folder)
    for names in [*folder.glob("*.yaml"), *folder.glob("*.txt")]:
        names.unlink()
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=says):
        ImageTable.open(folder)

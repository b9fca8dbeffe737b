"""Names, labels and files that are none: one line, and nothing hangs."""

import json
import os
import subprocess
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import BadImageError, CliptuneError, DataError, InputError, UnavailableError
from cliptune.images import ImageTable, open_images, scan_images

HALF = "\ud800"  # half a character
LONG = "x" * 300  # longer than a file name may be


@pytest.fixture
def picture(make_picture, encode_picture):
    return encode_picture(make_picture(1))


def write_lines(folder, rows):
    (folder / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder / "m.jsonl"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"image": 3, "label": "a"}, "names no image"),
        ({"image": "a\0.png", "label": "a"}, "names no image"),
        ({"image": f"{HALF}.png", "label": "a"}, "names no image"),
        ({"image": f"{LONG}.png", "label": "a"}, "not there"),
        ({"image": "a.png", "label": HALF}, "is no text"),
        ({"image": "a.png", "label": ["a", ["b"]]}, "a list among the labels"),
        ({"image": "a.png", "label": {"a": 0.3}}, "neither one label by its name nor 0 and 1"),
        ({"image": "a.png", "label": [HALF]}, "is no text"),
        ({"image": "a.png", "caption": HALF}, "is no text"),
    ],
)
def test_a_strange_row_of_a_manifest_is_named(row, expected, tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    with pytest.raises(DataError, match=expected):
        ImageTable.open(write_lines(tmp_path, [row]))


def test_a_number_of_thousands_of_digits_is_a_word(tmp_path, picture):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture)
    digits = "9" * 5000
    (tmp_path / "m.csv").write_text(f"image,label\na.png,{digits}\nb.png,1\n")
    assert set(ImageTable.open(tmp_path / "m.csv").class_names) == {"1", digits}
    (tmp_path / "m.jsonl").write_text(f'{{"image": "a.png", "label": {digits}}}')
    with pytest.raises(DataError, match="is no JSON"):
        ImageTable.open(tmp_path / "m.jsonl")


def test_json_nested_beyond_reason_is_one_line(tmp_path, picture):
    deep = "[" * 100_000 + "]" * 100_000
    (tmp_path / "m.jsonl").write_text(f'{{"image": "a.png", "label": {deep}}}')
    with pytest.raises(DataError, match="nested too deeply"):
        ImageTable.open(tmp_path / "m.jsonl")
    names = tmp_path / "names.json"
    names.write_text(deep)
    with pytest.raises(InputError, match="nested too deeply"):
        ImageTable.open(tmp_path / "m.jsonl", class_names=names)


@pytest.mark.parametrize("path", ["a\0.png", HALF, LONG, 7])
def test_a_strange_path_in_parquet_is_a_bad_image(path, tmp_path, picture):
    kind = pa.int64() if isinstance(path, int) else pa.string()
    cells = pa.struct([("bytes", pa.binary()), ("path", kind)])
    rows = [{"bytes": picture, "path": None}]
    if path == HALF:  # what Arrow cannot hold, it cannot bring
        pytest.skip("Arrow's strings are UTF-8")
    rows.append({"bytes": None, "path": path})
    table = pa.table({"image": pa.array(rows, cells), "label": ["a", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (bad,) = scan_images(ImageTable.open(tmp_path / "t.parquet")).bad
    assert bad.row == 1


@pytest.mark.parametrize(
    "features",
    [[], "x", 3, None, {"label": 3}, {"label": {"_type": "ClassLabel", "names": 5}}]
    + [{"label": {"_type": "ClassLabel", "names": names}} for names in ([1, 2], ["a", "a"], {})],
)
def test_odd_metadata_of_hugging_face_name_no_labels(features, tmp_path, picture):
    table = pa.table({"image": pa.array([picture, picture + b"\0"]), "label": [0, 1]})
    stored = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": stored}), tmp_path / "t.parquet")
    assert ImageTable.open(tmp_path / "t.parquet").class_names == ("0", "1")


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["image", "image"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns of one name"):
        ImageTable.open(tmp_path / "t.parquet")


def test_a_bad_header_of_any_kind_is_one_line(tmp_path, monkeypatch):
    """What tarfile raises of itself is many things; none of them is a traceback."""
    (tmp_path / "s.tar").write_bytes(b"")
    for error in (ValueError("invalid literal"), KeyError("path"), OverflowError("too large")):

        def refuse(*_, error=error):
            raise error

        monkeypatch.setattr(tarfile, "open", refuse)
        with pytest.raises(DataError, match="no whole tar archive"):
            ImageTable.open(tmp_path / "s.tar")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("s-{000..30000000000}.tar", "more than 100000 shards"),
        ("s-{0..99999}{0..99999}{0..99999}.tar", "more than 100000 shards"),
        ("s-{3..1}.tar", "no shards"),
        ("s-{0.." + "9" * 200 + "}.tar", "not there"),
    ],
)
def test_braces_are_counted_before_they_are_expanded(pattern, expected, tmp_path):
    with pytest.raises(InputError, match=expected):
        ImageTable.open(str(tmp_path / pattern))


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path, picture):
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "a.png").write_bytes(picture)
    for name in ("pipe", "pipe.csv"):
        with pytest.raises((InputError, UnavailableError)):
            ImageTable.open(str(tmp_path / name))
        with pytest.raises((InputError, UnavailableError)):
            open_images([str(tmp_path / name)])
    manifest = write_lines(tmp_path, [{"image": "a.png", "label": "0"}])
    with pytest.raises(InputError, match="a pipe or a device"):
        ImageTable.open(manifest, class_names=tmp_path / "pipe")
    cells = pa.array([{"bytes": None, "path": "pipe"}])
    pq.write_table(pa.table({"image": cells, "label": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises((BadImageError, DataError)):
        ImageTable.open(tmp_path / "t.parquet").load_image(0)


def test_a_tree_deeper_than_calls_nest_is_walked(tmp_path, picture):
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        here = root
        for part in ["deep", *["d"] * 1300]:  # one by one: the whole path would be too long to name
            os.mkdir(part, dir_fd=here)
            here, before = os.open(part, os.O_RDONLY, dir_fd=here), here
            if before != root:
                os.close(before)
        image = os.open("a.png", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(image, picture)
        os.close(image)
        os.close(here)
    finally:
        os.close(root)
    try:
        assert len(open_images([str(tmp_path)])) == 1
        assert len(ImageTable.open(tmp_path)) == 1
    finally:  # Python's own way to remove a tree nests as deep as the tree
        subprocess.run(["rm", "-r", tmp_path / "deep"], check=True)


@pytest.mark.parametrize("name", [LONG, f"{LONG}.png", "a\0b", "a\0b.png", f"{LONG}{{0..3}}.tar"])
def test_a_name_that_no_file_can_have_is_refused(name):
    for open_it in (ImageTable.open, lambda n: open_images([n])):
        with pytest.raises(CliptuneError):
            open_it(name)


def test_a_folder_whose_name_is_no_text_is_no_class(tmp_path, picture):
    for name in ("caf\udce9", "tea"):  # a byte that is no UTF-8, as Python writes it
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(picture)
    with pytest.raises(DataError, match="is no text"):
        ImageTable.open(tmp_path)


def test_columns_are_not_passed_over_where_there_are_none(make_tree):
    folder = make_tree("ant/a.png", "bee/b.png")
    with pytest.raises(InputError, match="--label-column"):
        ImageTable.open(folder, label_column="species")

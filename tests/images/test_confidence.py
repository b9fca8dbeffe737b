"""How sure labels are: columns of numbers and of votes, and the votes of an export."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cliptune
from cliptune.errors import DataError, InputError
from cliptune.features import DataIdentity
from cliptune.images import ImageTable, learnable_part
from cliptune.images.describe import describe_table
from cliptune.workflows.journal_labels import KEPT_FOLDER

FILES = Path(__file__).parents[1] / "exports/files"
VOTES = [{"a": 3}, {"a": 2, "b": 1}, {"c": 1, "b": 3}, None]


def open_csv(make_tree, cells, **options):
    folder = make_tree("img/1.jpg", "img/2.jpg", "img/3.jpg", "img/4.jpg")
    rows = zip(("1.jpg", "2.jpg", "3.jpg", "4.jpg"), "aabc", cells, strict=True)
    text = "".join(f'{name},{label},"{cell}"\n' for name, label, cell in rows)
    (folder / "m.csv").write_text("image,label,sure\n" + text)
    return ImageTable.open(folder, label_confidence="sure", **options)


def test_numbers_are_shares_of_the_label_and_the_rest_is_spread(make_tree):
    table = open_csv(make_tree, ["1", "0.6", "", "nan"])
    expected = [[1, 0, 0], [0.6, 0.2, 0.2], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(table.soft_labels, expected, atol=1e-6)
    assert "2 labels come with how sure they are" in describe_table(table)
    np.testing.assert_allclose(table.select([1, 2]).soft_labels, expected[1:3], atol=1e-6)


def test_votes_are_shares_by_class(make_tree):
    cells = [json.dumps(v).replace('"', '""') if v else "" for v in VOTES]
    table = open_csv(make_tree, cells)
    expected = [[1, 0, 0], [2 / 3, 1 / 3, 0], [0, 0.75, 0.25], [0, 0, 1]]
    np.testing.assert_allclose(table.soft_labels, expected, atol=1e-6)
    assert table.labels.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("kind", ["struct", "map"])
def test_votes_in_parquet_are_structs_or_maps(make_tree, kind):
    folder = make_tree("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    of_kind = pa.struct([(c, pa.int32()) for c in "abc"])
    votes = VOTES
    if kind == "map":
        of_kind = pa.map_(pa.string(), pa.int32())
        votes = [None if v is None else list(v.items()) for v in VOTES]
    names = [f"{n}.jpg" for n in (1, 2, 3, 4)]
    columns = {"image": names, "label": list("aabc"), "votes": pa.array(votes, of_kind)}
    pq.write_table(pa.table(columns), folder / "m.parquet")
    table = ImageTable.open(folder / "m.parquet", label_confidence="votes")
    expected = [[1, 0, 0], [2 / 3, 1 / 3, 0], [0, 0.75, 0.25], [0, 0, 1]]
    np.testing.assert_allclose(table.soft_labels, expected, atol=1e-6)


def test_beside_folders_a_table_says_how_sure_their_labels_are(make_tree):
    folder = make_tree("a/1.jpg", "a/2.jpg", "b/3.jpg")
    for text in ("path,label,sure\na/2.jpg,a,0.7\nb/3.jpg,b,0.9\n", "path,sure\na/2.jpg,0.7\n"):
        (folder / "m.csv").write_text(text)
        table = ImageTable.open(folder, label_confidence="sure")
        row = table.ids.index("a/2.jpg")
        np.testing.assert_allclose(table.soft_labels[row], [0.7, 0.3], atol=1e-6)
        assert table.confidence[table.ids.index("a/1.jpg")] is None


def test_it_is_another_data_set(make_tree):
    table = open_csv(make_tree, ["1", "0.6", "", "0.5"])
    plain = ImageTable.open(table.root)
    assert plain.soft_labels is None
    assert plain.digest() != table.digest()
    contents, roles = np.array([b"x"] * 4), [""] * 4
    assert DataIdentity.of(table, contents, roles).labels[1] == "0.6 of 'a'"
    assert DataIdentity.of(plain, contents, roles).labels[1] == "a"


def test_a_class_that_is_left_out_takes_its_votes_with_it(make_tree):
    cells = [json.dumps(v).replace('"', '""') if v else "" for v in VOTES]
    table = open_csv(make_tree, cells)
    part = learnable_part(table.select([0, 1, 2]))[0]
    assert part.class_names == ("a", "b")
    np.testing.assert_allclose(part.soft_labels, [[1, 0], [2 / 3, 1 / 3], [0.25, 0.75]], atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1.5", "has sure '1.5'; expected a number from 0 to 1"),
        ("-0.1", "has sure '-0.1'"),
        ("sure", "has sure 'sure'"),
        ("true", "has sure 'true'"),
        ("[1]", "has sure"),
        ('{""a"": -1}', "or votes by class such as"),
        ('{""a"": 0}', "or votes by class such as"),
        ("{}", "or votes by class such as"),
        ('{""wasp"": 2}', "has votes for 'wasp', which is no class; there is: a, b, c"),
    ],
)
def test_what_is_neither_is_refused_by_row(make_tree, cell, says):
    with pytest.raises(DataError, match=r"row 1 of|has votes for") as caught:
        open_csv(make_tree, ["1", cell, "1", "1"])
    assert says in str(caught.value)


def test_a_column_that_is_not_there_is_refused(make_tree):
    folder = make_tree("img/1.jpg", "img/2.jpg")
    (folder / "m.csv").write_text("image,label\n1.jpg,a\n2.jpg,b\n")
    for data in (folder, folder / "m.csv"):
        with pytest.raises(InputError, match="--label-confidence sure came, but no table of"):
            ImageTable.open(data, label_confidence="sure")
    with pytest.raises(InputError, match="--label-confidence sure came"):
        ImageTable.open(make_tree("x/a/1.jpg", "x/b/2.jpg") / "x", label_confidence="sure")


@pytest.mark.parametrize("file", ["export.json", "min/result.json", "csv/result.csv"])
def test_annotators_of_an_export_vote(tmp_path, file):
    folder = tmp_path / "set"
    shutil.copytree(FILES / "fiftyone-words/data", folder / "upload/1")
    shutil.copy(FILES / f"label-studio-single/{file}", folder)
    for data in (folder, folder / Path(file).name):
        table = ImageTable.open(data, label_confidence="votes")
        row = next(r for r, name in enumerate(table.ids) if "both_1" in name)
        ant = table.class_names.index("ant")
        assert table.labels[row] == ant
        np.testing.assert_allclose(table.soft_labels[row][ant], 2 / 3, atol=1e-6)
        assert ImageTable.open(data).confidence is None
        with pytest.raises(InputError, match="--label-confidence other came"):
            ImageTable.open(data, label_confidence="other")


def test_what_people_say_in_a_journal_is_certain(make_tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    table = open_csv(make_tree, ["0.9", "0.6", "0.9", "0.9"])
    folder = Path(table.root)
    for n in range(1, 5):  # pictures that differ, by which a journal knows them
        Image.new("RGB", (40, 40), (60 * n, 9, 9)).save(folder / f"img/{n}.jpg")
    (tmp_path / "answers.csv").write_text("path,label\nimg/1.jpg,d\n")
    data = folder / "m.csv"
    cliptune.relabel(data, tmp_path / "answers.csv")
    (journal,) = tmp_path.glob("runs/*/journal.jsonl")
    (journal.parent / KEPT_FOLDER).mkdir()
    Image.new("RGB", (40, 40)).save(journal.parent / KEPT_FOLDER / "kept.png")
    options = cliptune.DataOptions(label_confidence="sure", journal=journal)
    found = cliptune.open_images(data, dataset=options)
    assert found.class_names == ("a", "b", "c", "d")
    assert found.confidence == (None, {0: 0.6}, {1: 0.9}, {2: 0.9}, None)
    np.testing.assert_allclose(found.select([0]).soft_labels, [[0, 0, 0, 1]])

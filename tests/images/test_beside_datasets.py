"""Where the ``datasets`` library guesses wrong on image folders, and what is read here.

Each test shows both: what ``datasets`` makes of a layout, so that a release which mends it is seen,
and that nothing is lost or swapped here.
"""

import gc
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import DataError
from cliptune.images import ImageTable

# The library leaves files of metadata open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def theirs(tmp_path):
    datasets.disable_progress_bars()

    def load(folder, **options):
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(
            "imagefolder", data_dir=str(folder), cache_dir=cache, **options
        )

    yield load
    gc.collect()  # or the warning comes in whichever test is next


def named(table):
    return {
        i: table.class_names[c] if c >= 0 else None
        for i, c in zip(table.ids, table.labels, strict=True)
    }


def test_a_split_of_one_class_keeps_its_labels(make_tree, theirs):
    folder = make_tree("train/ant/1.jpg", "train/ant/2.jpg", "test/ant/3.jpg")
    assert "label" not in theirs(folder)["train"].features
    assert set(named(ImageTable.open(folder)).values()) == {"ant"}


def test_a_file_name_with_a_word_of_a_split_hides_nothing(make_tree, theirs):
    folder = make_tree("ant/1.jpg", "ant/2.jpg", "bee/3.jpg", "bee/test.jpg")
    found = theirs(folder)
    assert sum(len(part) for part in found.values()) < 4
    table = ImageTable.open(folder)
    assert len(table) == 4
    assert set(table.splits.tolist()) == {""}


def test_labels_are_the_outer_folders(make_tree, theirs):
    folder = make_tree("ant/north/1.jpg", "ant/south/2.jpg", "bee/north/3.jpg")
    assert set(theirs(folder)["train"].features["label"].names) == {"north", "south"}
    assert named(ImageTable.open(folder)) == {
        "ant/north/1.jpg": "ant", "ant/south/2.jpg": "ant",
        "bee/north/3.jpg": "bee",
    }  # fmt: skip


def test_a_class_with_a_double_underscore_is_a_class(make_tree):
    folder = make_tree("fire__ant/1.jpg", "honey_bee/2.jpg", "__wasp__/3.jpg")
    assert ImageTable.open(folder).class_names == ("wasp", "fire ant", "honey bee")


def test_metadata_above_the_splits_is_read(make_tree):
    folder = make_tree("train/1.jpg", "test/2.jpg")
    rows = [("train/1.jpg", "ant"), ("test/2.jpg", "bee")]
    text = "".join(json.dumps({"file_name": n, "label": c}) + "\n" for n, c in rows)
    (folder / "metadata.jsonl").write_text(text)
    assert named(ImageTable.open(folder)) == {"test/2.jpg": "bee", "train/1.jpg": "ant"}


def test_folders_label_images_beside_metadata(make_tree, theirs):
    folder = make_tree("ant/1.jpg", "bee/2.jpg")
    (folder / "metadata.csv").write_text("file_name,width\nant/1.jpg,48\nbee/2.jpg,48\n")
    assert "label" not in theirs(folder, drop_labels=False)["train"].features
    assert named(ImageTable.open(folder)) == {"ant/1.jpg": "ant", "bee/2.jpg": "bee"}


def test_a_parquet_file_of_paths_is_refused_where_they_lead_out(make_tree, theirs, tmp_path):
    folder = make_tree("ant/1.jpg", "bee/2.jpg")
    (tmp_path / "out").mkdir()
    theirs(folder)["train"].to_parquet(tmp_path / "out/train.parquet")
    cell = pq.read_table(tmp_path / "out/train.parquet")["image"][0].as_py()
    if cell["bytes"] is None:
        table = ImageTable.open(tmp_path / "out")
        with pytest.raises(DataError, match="leads out of"):
            table.sources[0].read()
    else:
        assert ImageTable.open(tmp_path / "out").sources[0].read() == cell["bytes"]


def test_other_orders_of_classes_swap_no_label(make_picture, encode_picture, tmp_path):
    for split, names, label in (("train", ["ant", "bee"], 0), ("test", ["bee", "ant"], 1)):
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        columns = {"image": [encode_picture(make_picture(1))], "label": [label]}
        described = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table(columns).replace_schema_metadata(described)
        pq.write_table(table, tmp_path / f"{split}.parquet")
    table = ImageTable.open(tmp_path)
    assert set(named(table).values()) == {"ant"}
    assert table.class_names == ("ant", "bee") or table.class_names == ("bee", "ant")


def test_the_order_of_classes_is_said(make_tree):
    words = ImageTable.open(make_tree("b/1.jpg", "B10/1.jpg", "B9/1.jpg"))
    assert (words.class_names, words.reading.order) == (("B10", "B9", "b"), "sorted by name")
    numbers = ImageTable.open(make_tree("class10/1.jpg", "class9/1.jpg", root="numbers"))
    assert numbers.class_names == ("class9", "class10")
    assert numbers.reading.order == "sorted by number"

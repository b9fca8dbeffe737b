"""What a table promises to whoever holds it."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from cliptune.errors import BadImageError
from cliptune.images import ImageTable


@pytest.fixture
def table(make_tree):
    return ImageTable.open(make_tree("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"))


def test_rows_are_selected_by_number_and_by_mask(table):
    assert table.select(np.array([2, 0])).ids == ("test/a/3.jpg", "train/a/1.jpg")
    chosen = table.select(table.labels == 1)
    assert chosen.ids == ("train/b/2.jpg",)
    assert chosen.class_names == ("a", "b")
    assert chosen.splits.tolist() == ["train"]
    assert len(table.select(np.array([], dtype=np.int64))) == 0


def test_the_digest_follows_ids_labels_splits_and_names(table):
    assert table.digest() == replace(table, root="elsewhere").digest()
    others = [
        table.select(np.array([1, 0, 2])),
        replace(table, labels=np.array([0, 0, 0])),
        replace(table, splits=np.array(["train", "val", "test"])),
        replace(table, class_names=("a", "c")),
        table.select(np.array([0, 1])),
    ]
    assert len({table.digest(), *(other.digest() for other in others)}) == 6


def test_images_load_and_their_errors_name_the_file(table):
    assert table.load_image(0).mode == "RGB"
    with pytest.raises(BadImageError, match="more than the limit of 100"):
        table.load_image(0, max_pixels=100)
    with open(table.sources[1].location, "wb"):
        pass
    with pytest.raises(BadImageError, match=r"train/b/2\.jpg.*empty"):
        table.load_image(1)


def test_a_table_can_be_sent_to_another_process(table, data_root):
    assert pickle.loads(pickle.dumps(table)).load_image(0).size == (48, 32)
    rows = ImageTable.open(data_root / "pacs", split="test")
    before = np.asarray(rows.load_image(5))
    assert (np.asarray(pickle.loads(pickle.dumps(rows)).load_image(5)) == before).all()

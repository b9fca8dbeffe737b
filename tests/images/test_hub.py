"""Data sets of the hub: what the datasets library gives, and no network at all."""

from pathlib import Path

import datasets
import pytest

from cliptune.errors import BadImageError, DataError, InputError, UnavailableError
from cliptune.images import ImageTable
from cliptune.images.hub import dataset_records
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns


@pytest.fixture
def rows(make_picture, encode_picture):
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "fine_label": datasets.ClassLabel(names=["aquarium_fish", "bee"]),
            "coarse_label": datasets.ClassLabel(names=["fish", "insect"]),
            "text": datasets.Value("string"),
        }
    )
    pictures = [encode_picture(make_picture(number)) for number in range(3)]
    return datasets.Dataset.from_dict(
        {
            "img": [{"bytes": p, "path": None} for p in pictures],
            "fine_label": [1, 0, -1],
            "coarse_label": [1, 0, 0],
            "text": ["a", "b", "c"],
        },
        features=features,
    )


def test_rows_keep_their_bytes_labels_and_captions(rows, make_picture, encode_picture):
    images = label_images(dataset_records(rows, "train", "hf:x/y"), Columns(), split="train")
    assert [s.id for s in images.sources] == ["train#0", "train#1", "train#2"]
    assert images.sources[1].read() == encode_picture(make_picture(1))
    assert images.labels == ["bee", "aquarium_fish", None]
    assert images.classes == ("aquarium_fish", "bee")
    assert images.captions == [("a",), ("b",), ("c",)]


def test_another_label_column_can_be_named(rows):
    records = dataset_records(rows, "train", "hf:x/y")
    images = label_images(records, Columns(label="coarse_label"))
    assert images.labels == ["insect", "fish", "fish"]
    with pytest.raises(DataError, match="img, fine_label, coarse_label, text"):
        label_images(records, Columns(label="label"))
    with pytest.raises(InputError, match="column 'text' of 'hf:x/y' holds no images"):
        label_images(records, Columns(image="text"))


def test_the_only_class_label_is_found_whatever_its_name(rows):
    named = rows.remove_columns(["coarse_label", "text"]).rename_column("fine_label", "kind")
    images = label_images(dataset_records(named, "train", "hf:x/y"), Columns())
    assert images.labels[0] == "bee"


def test_an_empty_row_is_a_bad_image(rows):
    empty = datasets.Dataset.from_dict(
        {"img": [None]}, features=datasets.Features({"img": datasets.Image()})
    )
    images = label_images(dataset_records(empty, "test", "hf:x/y"), Columns())
    with pytest.raises(BadImageError, match=r"test#0.*no image"):
        images.sources[0].read()


@pytest.fixture
def offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # A port on which nothing listens: refused at once, as on a machine without a network.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def test_without_a_network_one_line_says_what_to_do(offline, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(UnavailableError, match=r"'hf:no/where'.*cannot be reached") as caught:
        ImageTable.open("hf:no/where")
    assert "\n" not in str(caught.value)
    assert "local folder" in str(caught.value)


def test_what_was_loaded_once_is_there_without_a_network(offline, data_root, monkeypatch, tmp_path):
    from datasets.packaged_modules.parquet.parquet import Parquet

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    builder = Parquet(
        cache_dir=str(tmp_path / "made"),
        dataset_name="pacs",
        config_name="default",
        hash="0" * 16,
        data_files={"test": [str(data_root / "pacs/test.parquet")]},
    )
    builder.download_and_prepare()
    # The place in which the library keeps what it has loaded from the hub.
    kept = tmp_path / "someone___pacs/default/0.0.0" / ("0" * 16)
    kept.parent.mkdir(parents=True)
    Path(builder.cache_dir).rename(kept)
    table = ImageTable.open("hf:someone/pacs", where={"domain": ["photo"]})
    assert len(table) == 98
    assert table.class_names[0] == "dog"
    assert table.load_image(0).size == (227, 227)


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:../../etc", "hf:a b/c", "hf:a/b@"])
def test_other_forms_are_no_names(name):
    with pytest.raises(InputError, match="expected hf:OWNER/NAME"):
        ImageTable.open(name)

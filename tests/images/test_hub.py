"""Data sets of the hub: what the datasets library gives, and no network at all."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import datasets
import pytest
from PIL import Image

import cliptune as ct
from cliptune.errors import BadImageError, DataError, InputError, UnavailableError
from cliptune.features.digests import content_digests
from cliptune.images import ImageTable
from cliptune.images.hub import dataset_records
from cliptune.images.hub_rows import HubSource
from cliptune.images.labelling import label_images
from cliptune.images.records import Columns
from cliptune.system import file_state


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


def test_json_members_of_shards_are_columns_as_of_shards_that_lie_here(tmp_path, encode_picture):
    """The library reads a shard's JSON members as one column of objects."""
    place = tmp_path / "train-000.tar"
    with tarfile.open(place, "w") as archive:
        for number, name in enumerate(("bee", "ant", "bee")):
            said = json.dumps({"class_name": name, "label": "ab".index(name[0])}).encode()
            picture = encode_picture(Image.new("RGB", (8, 8), (40 * number, 90, 120)), "JPEG")
            for kind, data in (("jpg", picture), ("json", said)):
                member = tarfile.TarInfo(f"{number}.{kind}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    asked = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    rows = datasets.load_dataset("webdataset", data_files=str(place), **asked)
    images = label_images(dataset_records(rows, "train", "hf:x/y"), Columns())
    here = ImageTable.open(place)
    assert images.labels == ["bee", "ant", "bee"]
    assert images.labels == [here.class_names[label] for label in here.labels]


def test_an_object_of_the_library_is_no_list_of_paths(rows):
    with pytest.raises(InputError, match="Dataset of dict came; expected paths"):
        ct.open_images(rows)


def test_an_empty_row_is_a_bad_image(rows):
    empty = datasets.Dataset.from_dict(
        {"img": [None]}, features=datasets.Features({"img": datasets.Image()})
    )
    images = label_images(dataset_records(empty, "test", "hf:x/y"), Columns())
    with pytest.raises(BadImageError, match=r"test#0.*no image"):
        images.sources[0].read()


@pytest.fixture
def folder_of_images(data_root, tmp_path, monkeypatch):
    """What the library's builder of image folders keeps: the paths of files in its caches."""
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    files = []
    for name in ("ants", "bees"):
        (tmp_path / "hub/train" / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/val" / name).iterdir())[:2]:
            files.append(str(shutil.copy(image, tmp_path / "hub/train" / name)))
    builder = ImageFolder(
        cache_dir=str(tmp_path / "made"), dataset_name="x", data_files={"train": files}
    )
    builder.download_and_prepare()
    return builder.as_dataset()["train"]


def test_a_data_set_laid_out_as_a_folder_is_read_from_its_files(folder_of_images):
    images = label_images(dataset_records(folder_of_images, "train", "hf:x/y"), Columns())
    assert sorted(images.labels) == ["ants", "ants", "bees", "bees"]
    for source, label in zip(images.sources, images.labels, strict=True):
        assert source.location.split("/")[-2] == label
        assert source.read() == Path(source.location).read_bytes()


def test_a_file_outside_the_caches_is_not_read(folder_of_images, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another"))
    images = label_images(dataset_records(folder_of_images, "train", "hf:x/y"), Columns())
    with pytest.raises(BadImageError, match="in no cache of the hub's libraries"):
        images.sources[0].read()


@pytest.mark.parametrize("kind", ["files", "rows"])
def test_images_of_the_hub_are_digested_once(kind, folder_of_images, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(file_state, "_SETTLED_NS", -(10**18))  # files of a moment ago count too
    if kind == "rows":
        rows.save_to_disk(tmp_path / "saved", num_shards=2)
    dataset = datasets.load_from_disk(tmp_path / "saved") if kind == "rows" else folder_of_images
    read = []
    whole = HubSource.read
    monkeypatch.setattr(HubSource, "read", lambda self: read.append(self.id) or whole(self))
    for _ in range(2):
        sources = dataset_records(dataset, "train", "hf:x/y").read_sources(
            "img" if kind == "rows" else "image"
        )
        digests = content_digests(sources, tmp_path / "memo", workers=2)
    assert len(read) == len(set(read)) == len(sources)
    own = [hashlib.blake2b(whole(s), digest_size=16).digest() for s in sources]
    assert digests.tobytes() == b"".join(own)


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

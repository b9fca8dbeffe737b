"""WebDataset shards, written by hand and by the webdataset library."""

import io
import json
import tarfile

import pytest

from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable
from cliptune.images.shards import expand_braces


@pytest.fixture
def picture(make_picture, encode_picture):
    return lambda seed: encode_picture(make_picture(seed), "JPEG")


def write_tar(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            data = data.encode() if isinstance(data, str) else data
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def named_labels(table):
    return [table.class_names[c] if c >= 0 else None for c in table.labels]


def test_shards_of_the_webdataset_library_are_read_back(picture, tmp_path):
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "set-000.tar")) as sink:
        for number in range(3):
            name = ["ant", "bee", "ant"][number]
            sink.write({"__key__": f"{number:04d}", "jpg": picture(number), "cls": name})
    table = ImageTable.open(tmp_path / "set-000.tar")
    assert table.ids == ("set-000.tar/0000.jpg", "set-000.tar/0001.jpg", "set-000.tar/0002.jpg")
    assert named_labels(table) == ["ant", "bee", "ant"]
    assert [source.read() for source in table.sources] == [picture(n) for n in range(3)]
    assert str(tmp_path / "set-000.tar/0001.jpg") in table.sources[1].location


def test_labels_may_be_numbers_words_or_json(picture, tmp_path):
    write_tar(
        tmp_path / "n.tar",
        [("a.jpg", picture(0)), ("a.cls", "1\n"), ("b.cls", "0"), ("b.png", picture(1))],
    )
    assert ImageTable.open(tmp_path / "n.tar", class_names=["x", "y"]).labels.tolist() == [1, 0]
    members = []
    for key, name in [("a", "bee"), ("b", "ant")]:
        cells = {"label": int(name == "bee"), "class_name": name, "captions": [f"one {name}", "x"]}
        members += [(f"{key}.jpg", picture(0)), (f"{key}.json", json.dumps(cells))]
    table = ImageTable.open(write_tar(tmp_path / "j.tar", members))
    assert table.class_names == ("ant", "bee")
    assert table.labels.tolist() == [1, 0]
    assert table.captions == (("one bee", "x"), ("one ant", "x"))


def test_texts_are_captions_or_labels_when_named_so(picture, tmp_path):
    path = write_tar(tmp_path / "t.tar", [("a.jpg", picture(0)), ("a.txt", " a red ant \n")])
    assert ImageTable.open(path).captions == (("a red ant",),)
    assert ImageTable.open(path, label_column="txt").class_names == ("a red ant",)


def test_json_keys_can_filter(picture, tmp_path):
    members = []
    for key, style in [("a", "photo"), ("b", "sketch")]:
        members += [(f"{key}.jpg", picture(0)), (f"{key}.json", json.dumps({"domain": style}))]
        members += [(f"{key}.cls", "x")]
    path = write_tar(tmp_path / "t.tar", members)
    assert ImageTable.open(path, where={"domain": ["sketch"]}).ids == ("t.tar/b.jpg",)


def test_samples_of_one_name_in_two_folders_are_two_samples(picture, tmp_path):
    members = [
        ("./x/1.jpg", picture(0)), ("./x/1.cls", "ant"),
        ("./y/1.jpg", picture(1)), ("./y/1.cls", "bee"),
        ("./y/._1.jpg", b"resource fork"),
    ]  # fmt: skip
    table = ImageTable.open(write_tar(tmp_path / "t.tar", members))
    assert table.ids == ("t.tar/x/1.jpg", "t.tar/y/1.jpg")
    assert named_labels(table) == ["ant", "bee"]


def test_patterns_and_folders_of_shards(picture, tmp_path):
    for number in range(3):
        members = [("k.jpg", picture(number)), ("k.cls", "ab"[number % 2])]
        write_tar(tmp_path / f"train/s-{number:03d}.tar", members)
    write_tar(tmp_path / "val/s-000.tar", [("k.jpg", picture(9)), ("k.cls", "a")])
    table = ImageTable.open(tmp_path)
    assert table.splits.tolist() == ["train"] * 3 + ["val"]
    assert table.ids[1] == "train/s-001.tar/k.jpg"
    assert table.split("val").sources[0].read() == picture(9)
    some = ImageTable.open(str(tmp_path / "train/s-{001..002}.tar"))
    assert some.ids == ("s-001.tar/k.jpg", "s-002.tar/k.jpg")
    both = ImageTable.open(str(tmp_path / "{train,val}/s-000.tar"))
    assert both.ids == ("train/s-000.tar/k.jpg", "val/s-000.tar/k.jpg")
    assert both.splits.tolist() == ["train", "val"]


def test_shards_named_after_splits(picture, tmp_path):
    for name in ("train-000", "test-000"):
        write_tar(tmp_path / f"{name}.tar", [("k.jpg", picture(0)), ("k.cls", "a")])
    assert ImageTable.open(tmp_path).splits.tolist() == ["test", "train"]


def test_braces_expand_in_order_and_missing_shards_are_named(tmp_path):
    for name in ("a-08", "a-09", "a-10", "b-08"):
        (tmp_path / f"{name}.tar").touch()
    expanded = expand_braces(str(tmp_path / "a-{08..10}.tar"))
    assert [p.name for p in expanded] == ["a-08.tar", "a-09.tar", "a-10.tar"]
    with pytest.raises(InputError, match=r"stands for 6 shards, but .*b-09\.tar' is not there"):
        expand_braces(str(tmp_path / "{a,b}-{08..10}.tar"))


def test_damaged_compressed_and_empty_shards_are_refused(picture, tmp_path):
    whole = write_tar(tmp_path / "t.tar", [("a.jpg", picture(0) * 20), ("a.cls", "x")])
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cut\.tar' is no whole tar archive"):
        ImageTable.open(tmp_path / "cut.tar")
    (tmp_path / "text.tar").write_bytes(b"hello " * 200)
    with pytest.raises(DataError, match=r"text\.tar' is no whole tar archive"):
        ImageTable.open(tmp_path / "text.tar")
    write_tar(tmp_path / "z.tar.gz", [("a.jpg", picture(0))], "w:gz")
    with pytest.raises(DataError, match=r"is compressed.*decompress it"):
        ImageTable.open(tmp_path / "z.tar.gz")
    with pytest.raises(DataError, match="holds no images"):
        ImageTable.open(write_tar(tmp_path / "e.tar", [("a.cls", "x")]))


def test_contradicting_members_are_refused(picture, tmp_path):
    two = [("a.jpg", picture(0)), ("a.png", picture(1))]
    with pytest.raises(DataError, match="two images of the name 'a'"):
        ImageTable.open(write_tar(tmp_path / "two.tar", two))
    broken = [("a.jpg", picture(0)), ("a.json", "{")]
    with pytest.raises(DataError, match=r"broken\.tar/a\.json' cannot be read"):
        ImageTable.open(write_tar(tmp_path / "broken.tar", broken))
    unlabelled = ImageTable.open(write_tar(tmp_path / "u.tar", [("a.jpg", picture(0))]))
    assert unlabelled.labels.tolist() == [-1]
    with pytest.raises(DataError, match=r"no image of .* is named ...\.cls"):
        path = write_tar(tmp_path / "c.tar", [("a.jpg", picture(0)), ("a.cls", "x")])
        ImageTable.open(path, image_column="cls")


def test_keys_with_dots_keep_their_labels(picture, tmp_path):
    members = []
    for key in ("v1.0", "v1.1", "plain", "x/2020.01.02"):
        members += [(f"{key}.jpg", picture(0)), (f"{key}.cls", key[-1])]
    table = ImageTable.open(write_tar(tmp_path / "t.tar", members))
    assert named_labels(table) == ["0", "1", "n", "2"]
    assert table.groups is None


@pytest.mark.parametrize("label", ["k{}.cls", "k{}.output.cls", "k{}.input.cls", "k{}.label.json"])
def test_parts_of_a_sample_may_have_names(label, picture, tmp_path):
    members = []
    for n in range(3):
        text = "ab"[n % 2] if label.endswith("cls") else json.dumps({"label": "ab"[n % 2]})
        members += [(f"k{n}.input.jpg", picture(n)), (label.format(n), text)]
    table = ImageTable.open(write_tar(tmp_path / "t.tar", members))
    assert named_labels(table) == ["a", "b", "a"]
    assert table.ids[0] == "t.tar/k0.input.jpg"


def test_views_of_a_sample_share_its_label_and_are_one_group(picture, tmp_path):
    members = []
    for n in range(2):
        members += [(f"{n}.aug{v}.jpg", picture(v)) for v in (1, 2)] + [(f"{n}.cls", "ab"[n])]
    table = ImageTable.open(write_tar(tmp_path / "t.tar", members))
    assert named_labels(table) == ["a", "a", "b", "b"]
    assert table.groups.tolist() == ["0", "0", "1", "1"]
    assert "4 images are views of 2 samples" in table.reading.notes[0]


def test_an_image_and_its_mask_are_asked_about(picture, tmp_path):
    members = [("k.image.jpg", picture(0)), ("k.mask.png", picture(1)), ("k.cls", "a")]
    path = write_tar(tmp_path / "t.tar", members)
    with pytest.raises(DataError, match=r"2 images under 'k'.*--image-column image\.jpg"):
        ImageTable.open(path)
    table = ImageTable.open(path, image_column="image.jpg")
    assert table.ids == ("t.tar/k.image.jpg",)
    assert [(i.n, i.example) for i in table.reading.ignored] == [(1, "k.mask.png")]


def test_labels_without_an_image_are_counted(picture, tmp_path):
    members = [("a.jpg", picture(0)), ("a.cls", "x"), ("b.cls", "y"), ("c.pth", b"1")]
    table = ImageTable.open(write_tar(tmp_path / "t.tar", members))
    assert [(i.n, i.example) for i in table.reading.ignored] == [(1, "b"), (1, "c.pth")]


def test_a_label_may_stand_anywhere_in_the_shard(picture, tmp_path):
    members = [("a.jpg", picture(0)), ("b.jpg", picture(1)), ("a.cls", "x"), ("b.cls", "y")]
    assert named_labels(ImageTable.open(write_tar(tmp_path / "t.tar", members))) == ["x", "y"]


def test_shards_may_have_one_class_each(picture, tmp_path):
    for shard, (number, name) in enumerate([(2, "wasp"), (0, "ant")]):
        cells = json.dumps({"label": number, "class_name": name})
        write_tar(tmp_path / f"s-{shard}.tar", [("a.jpg", picture(0)), ("a.json", cells)])
    table = ImageTable.open(tmp_path)
    assert table.class_names == ("ant", "wasp")
    assert named_labels(table) == ["wasp", "ant"]

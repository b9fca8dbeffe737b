"""Parquet manifests: images in a column, read lazily and in bounded memory."""

import json
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.errors import BadImageError, DataError
from cliptune.images import ImageTable
from cliptune.images.parquet_rows import BatchCache, ImageColumn

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path, columns, class_names=None, **options):
    table = pa.table(columns)
    if class_names is not None:
        features = {"label": {"_type": "ClassLabel", "names": class_names}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path, **options)
    return path


@pytest.fixture
def payloads(make_picture, encode_picture):
    return [encode_picture(make_picture(i)) for i in range(6)]


@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary", "path", "struct of paths"])
def test_images_may_be_bytes_paths_or_both(kind, payloads, tmp_path):
    for number, payload in enumerate(payloads):
        (tmp_path / f"{number}.png").write_bytes(payload)
    paths = [f"{number}.png" for number in range(6)]
    images = {
        "struct": pa.array([{"bytes": p, "path": "elsewhere.png"} for p in payloads], STRUCT),
        "binary": pa.array(payloads, pa.binary()),
        "large_binary": pa.array(payloads, pa.large_binary()),
        "path": pa.array(paths, pa.string()),
        "struct of paths": pa.array([{"bytes": None, "path": p} for p in paths], STRUCT),
    }[kind]
    path = write(tmp_path / "m.parquet", {"image": images, "label": [0, 1] * 3}, ["cat", "dog"])
    table = ImageTable.open(path)
    assert table.class_names == ("cat", "dog")
    assert table.labels.tolist() == [0, 1] * 3
    assert [source.read() for source in table.sources] == payloads
    expected = paths[4] if kind == "path" else "m.parquet#4"
    assert table.ids[4] == expected


def test_labels_without_a_name_are_refused(payloads, tmp_path):
    path = write(tmp_path / "m.parquet", {"image": payloads, "label": [0, 1] * 3}, ["cat"])
    with pytest.raises(DataError, match="label 1 in 'label', but names only for 0 to 0"):
        ImageTable.open(path)


def test_integers_that_became_floats_are_integers(payloads, tmp_path):
    labels = pa.array([0.0, 1.0, float("nan"), None, 1.0, 0.0])
    table = ImageTable.open(write(tmp_path / "m.parquet", {"img": payloads, "label": labels}))
    assert table.class_names == ("0", "1")
    assert table.labels.tolist() == [0, 1, -1, -1, 1, 0]


def test_a_column_that_holds_no_images_is_refused(tmp_path):
    path = write(tmp_path / "m.parquet", {"image": [[1, 2], [3]], "label": [0, 1]})
    with pytest.raises(DataError, match=r"column 'image' .* holds list<.*--image-column"):
        ImageTable.open(path)


def test_an_empty_file_is_refused(tmp_path):
    path = write(tmp_path / "m.parquet", {"image": pa.array([], pa.binary()), "label": []})
    with pytest.raises(DataError, match="has no rows"):
        ImageTable.open(path)


def test_rows_without_an_image_say_so_when_read(payloads, tmp_path):
    cells = [
        {"bytes": payloads[0], "path": None},
        None,
        {"bytes": None, "path": None},
        {"bytes": None, "path": "absent.png"},
        {"bytes": None, "path": "../../etc/passwd"},
    ]
    path = write(tmp_path / "m.parquet", {"image": pa.array(cells, STRUCT), "label": [0] * 5})
    table = ImageTable.open(path)
    assert table.load_image(0).size == (48, 32)
    for row, reason in enumerate(["no image", "no image", "absent.png", "leads out of"], start=1):
        with pytest.raises(BadImageError, match=rf"m\.parquet#{row}.*{reason}"):
            table.load_image(row)


def test_a_damaged_page_is_a_bad_image_and_not_a_crash(payloads, tmp_path):
    path = write(tmp_path / "m.parquet", {"image": payloads, "label": [0, 1] * 3})
    data = bytearray(path.read_bytes())
    offset = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(BadImageError, match=r"m\.parquet#0.*the Parquet file is damaged"):
        ImageTable.open(path).load_image(0)


def test_any_order_of_rows_gives_the_right_image(tmp_path):
    cells = [bytes([i % 256, i // 256]) * 50 for i in range(700)]
    path = write(tmp_path / "m.parquet", {"image": cells}, row_group_size=300)
    for cache in (BatchCache(), BatchCache(max_bytes=1)):
        column = ImageColumn(path, "image", cache)
        rows = np.random.default_rng(0).permutation(700)[:200].tolist()
        assert [column.read(row) for row in rows] == [cells[row] for row in rows]


def test_one_huge_row_group_is_read_in_bounded_memory(tmp_path, caplog):
    payload = np.random.default_rng(0).bytes(30_000)
    cells = [row.to_bytes(4, "big") + payload for row in range(6000)]
    path = write(tmp_path / "m.parquet", {"image": cells})
    column = ImageColumn(path, "image", BatchCache(max_bytes=20 << 20))
    before, peak = pa.total_allocated_bytes(), 0
    for row, cell in enumerate(cells):
        assert column.read(row) == cell
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 6000 * 30_000 / 2, "reading in order must not hold the whole column"
    assert "row group of 171 MB: reading it in random order is slow" in caplog.text


def test_threads_may_share_a_table(payloads, tmp_path):
    path = write(tmp_path / "m.parquet", {"image": payloads * 50}, row_group_size=30)
    table = ImageTable.open(path)
    wrong = []

    def read(start):
        wrong.extend(r for r in range(start, 300, 4) if table.sources[r].read() != payloads[r % 6])

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_shards_of_a_split_and_the_layout_of_hubs(payloads, tmp_path):
    (tmp_path / "data").mkdir()
    for name, part in [
        ("train-00000-of-00002", payloads[:2]),
        ("train-00001-of-00002", payloads[2:4]),
        ("validation-00000-of-00001", payloads[4:]),
    ]:
        path = tmp_path / f"data/{name}.parquet"
        write(path, {"image": part, "label": [0, 1]}, ["cat", "dog"])
    table = ImageTable.open(tmp_path)
    assert table.splits.tolist() == ["train"] * 4 + ["val"] * 2
    assert table.ids[3] == "data/train-00001-of-00002.parquet#1"
    assert [source.read() for source in table.sources] == payloads


def test_files_may_have_their_classes_in_another_order(payloads, tmp_path):
    write(tmp_path / "train.parquet", {"image": payloads[:2], "label": [0, 1]}, ["cat", "dog"])
    write(tmp_path / "test.parquet", {"image": payloads[:2], "label": [0, 1]}, ["dog", "cat"])
    table = ImageTable.open(tmp_path)
    named = [table.class_names[code] for code in table.labels]
    assert dict(zip(table.ids, named, strict=True)) == {
        "test.parquet#0": "dog",
        "test.parquet#1": "cat",
        "train.parquet#0": "cat",
        "train.parquet#1": "dog",
    }


def test_cifar10_splits_names_and_pixels(data_root):
    table = ImageTable.open(data_root / "cifar10")
    assert len(table) == 60_000
    assert table.class_names[:3] == ("airplane", "automobile", "bird")
    test = table.split("test")
    assert (np.bincount(test.labels) == 1000).all()
    assert test.load_image(9_999).size == (32, 32)
    alone = ImageTable.open(data_root / "cifar10/test.parquet")
    assert alone.ids == test.ids
    assert alone.labels.tolist() == test.labels.tolist()


def test_cifar100_names_have_spaces(data_root):
    table = ImageTable.open(data_root / "cifar100", split="test")
    assert len(table.class_names) == 100
    assert "aquarium fish" in table.class_names


def test_flickr8k_has_five_captions_an_image(data_root):
    table = ImageTable.open(data_root / "flickr8k", split="test")
    assert {len(c) for c in table.captions} == {5}
    assert table.captions[0][0].startswith("A woman and a boy")
    assert table.load_image(0).mode == "RGB"


def test_pacs_can_be_filtered_by_style(data_root):
    tables = {
        style: ImageTable.open(data_root / "pacs", split="test", where={"domain": [style]})
        for style in ("photo", "sketch")
    }
    assert [len(t) for t in tables.values()] == [98, 98]
    assert not set(tables["photo"].ids) & set(tables["sketch"].ids)
    assert np.asarray(tables["sketch"].load_image(0)).mean() > 200

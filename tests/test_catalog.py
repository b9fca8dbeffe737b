"""Named data sets: where they are looked for, how they are fetched, what their classes mean."""

import hashlib
import http.server
import io
import json
import logging
import socket
import tarfile
import threading
import time
import zipfile
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cliptune.catalog import find_dataset, known_class_names, list_datasets
from cliptune.catalog.cifar import CIFAR10, CIFAR100, CifarLayout, write_cifar
from cliptune.catalog.fetch import Download, fetch_dataset, require_reachable, unpack_zip
from cliptune.errors import DataError, MissingExtraError, UnavailableError, UnknownNameError
from cliptune.images import ImageTable, scan_images


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLIPTUNE_DATA", raising=False)
    # Nothing in these tests may leave the machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path):
    """Serve a folder on this machine; gives the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{s.server_port}"
        s.shutdown()


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def download_of(data, url):
    return Download(url=url, sha256=hashlib.sha256(data).hexdigest(), n_bytes=len(data))


def unpack(archive, folder):
    unpack_zip(archive, folder, top="top", suffixes=(".jpg",))


# Names and what they stand for


def test_the_list_says_what_each_is(own_cache):
    infos = {info.name: info for info in list_datasets()}
    assert list(infos) == ["hymenoptera", "cifar10", "cifar100", "textile", "samples"]
    assert infos["hymenoptera"].class_names == ("ant", "bee")
    assert [len(infos[n].class_names) for n in ("cifar10", "cifar100", "textile")] == [10, 100, 3]
    json.dumps([vars(info) for info in infos.values()])
    assert not own_cache.exists()


def test_class_names_are_known_by_the_whole_set_of_labels():
    assert known_class_names(["bees", "ants"]) == {"ants": "ant", "bees": "bee"}
    assert known_class_names(["ants", "bees", "wasps"]) is None
    assert known_class_names(["ants"]) is None
    assert known_class_names([label.replace(" ", "_") for label in CIFAR100.labels]) is not None


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownNameError, match="'hymenopter'; nearest: hymenoptera"):
        ImageTable.open("hymenopter")
    with pytest.raises(UnknownNameError, match="or give the path of a folder or a manifest"):
        ImageTable.open("cifar11")


def test_samples_are_labelled_photographs():
    table = ImageTable.open("samples")
    assert len(table) == len(table.class_names) == 15
    by_id = dict(zip(table.ids, (table.class_names[c] for c in table.labels), strict=True))
    assert by_id["chelsea.png"] == "cat"
    assert by_id["coffee.png"] == "cup of coffee"
    assert scan_images(table).bad == ()


def test_textile_has_its_three_classes_with_words_for_prompts():
    table = ImageTable.open("textile")
    counts = dict(zip(table.class_names, np.bincount(table.labels).tolist(), strict=True))
    assert counts == {
        "woven textile with an irregular weave": 500,
        "woven textile with a small flaw": 500,
        "regular woven textile": 1000,
    }
    assert table.load_image(0).size == (250, 250)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"cliptune\[samples\]"):
        find_dataset("textile")


def test_the_users_own_folder_comes_first(data_root, monkeypatch):
    monkeypatch.setenv("CLIPTUNE_DATA", str(data_root))
    assert find_dataset("hymenoptera").path == data_root / "hymenoptera_data"
    assert find_dataset("cifar10").path == data_root / "cifar10"
    table = ImageTable.open("hymenoptera", split="val")
    assert len(table) == 153
    assert table.class_names == ("ant", "bee")


def test_a_folder_of_the_same_name_here_is_what_the_user_means(make_tree, monkeypatch):
    monkeypatch.chdir(make_tree("samples/x/1.jpg", "samples/y/1.jpg"))
    assert ImageTable.open("samples").class_names == ("x", "y")


def test_without_a_network_one_line_says_where_to_put_it(own_cache, monkeypatch, tmp_path):
    start = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        ImageTable.open("hymenoptera")
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert "https://download.pytorch.org/tutorial/hymenoptera_data.zip" in message
    assert str(own_cache / "datasets") in message
    assert "\n" not in message
    assert list((own_cache / "datasets").iterdir()) == []
    monkeypatch.setenv("CLIPTUNE_DATA", str(tmp_path / "mine"))
    with pytest.raises(UnavailableError, match="mine"):
        ImageTable.open("cifar10")


def test_another_file_under_the_right_name_is_refused(own_cache):
    put = own_cache / "datasets/cifar-10-binary.tar.gz"
    put.parent.mkdir(parents=True)
    put.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match=r"cifar-10-binary\.tar\.gz' is not the file that"):
        ImageTable.open("cifar10")
    assert [p.name for p in put.parent.iterdir()] == ["cifar-10-binary.tar.gz"]


# Fetching


def test_an_archive_is_fetched_checked_unpacked_and_kept(server, own_cache):
    folder, address = server
    data = zip_of([("top/a/1.jpg", b"1" * 300_000), ("top/b/2.JPG", b"2"), ("top/a/x.gif", b"x")])
    (folder / "set.zip").write_bytes(data)
    download = download_of(data, f"{address}/set.zip")
    seen = []
    target = own_cache / "datasets/set"
    fetch = partial(fetch_dataset, download, target, unpack=unpack, places=[own_cache])
    assert fetch(progress=lambda done, total: seen.append((done, total))) == target
    assert (target / "a/1.jpg").read_bytes() == b"1" * 300_000
    assert sorted(p.name for p in target.rglob("*.*")) == ["1.jpg", "2.JPG"]
    assert seen[0] == (0, len(data))
    assert seen[-1] == (len(data), len(data))
    assert [p.name for p in target.parent.iterdir()] == ["set"]
    (folder / "set.zip").unlink()
    assert fetch() == target, "what is there is not fetched again"


def test_an_archive_put_by_hand_is_used(own_cache, tmp_path):
    data = zip_of([("top/a.jpg", b"1")])
    (tmp_path / "set.zip").write_bytes(data)
    download = download_of(data, "http://127.0.0.1:9/set.zip")
    target = own_cache / "set"
    fetch_dataset(download, target, unpack=unpack, places=[own_cache, tmp_path])
    assert (target / "a.jpg").read_bytes() == b"1"
    assert (tmp_path / "set.zip").exists()


@pytest.mark.parametrize("change", ["other", "shorter", "longer"])
def test_another_file_than_expected_leaves_nothing(change, server, own_cache):
    folder, address = server
    data = zip_of([("top/a.jpg", b"1" * 1000)])
    served = {"other": b"x" + data[1:], "shorter": data[:-9], "longer": data + bytes(10**6)}
    (folder / "set.zip").write_bytes(served[change])
    download = download_of(data, f"{address}/set.zip")
    with pytest.raises(UnavailableError, match="gave another file than expected"):
        fetch_dataset(download, own_cache / "set", unpack=unpack, places=[own_cache])
    assert list(own_cache.iterdir()) == []


def test_a_missing_page_is_one_line(server, own_cache):
    download = download_of(b"x", f"{server[1]}/absent.zip")
    with pytest.raises(UnavailableError, match=r"cannot fetch .*absent\.zip \(HTTP 404 .*put it"):
        fetch_dataset(download, own_cache / "set", unpack=unpack, places=[own_cache])


def test_an_interrupted_fetch_leaves_nothing(server, own_cache):
    folder, address = server
    data = zip_of([("top/a.jpg", np.random.default_rng(0).bytes(2_000_000))])
    (folder / "set.zip").write_bytes(data)

    def interrupt(done, total):
        if done > 500_000:
            raise KeyboardInterrupt

    download = download_of(data, f"{address}/set.zip")
    with pytest.raises(KeyboardInterrupt):
        fetch_dataset(
            download, own_cache / "set", unpack=unpack, places=[own_cache], progress=interrupt
        )
    assert list(own_cache.iterdir()) == []


def test_a_silent_server_is_left_within_seconds(own_cache, monkeypatch):
    monkeypatch.setattr("cliptune.catalog.fetch._ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(UnavailableError, match=r"timed out|no answer"):
            require_reachable(address)
        with pytest.raises(UnavailableError, match=r"timed out|no answer"):
            download = download_of(b"x", f"{address}/set.zip")
            fetch_dataset(download, own_cache / "set", unpack=unpack, places=[own_cache])
        assert time.monotonic() - start < 5


def test_a_name_that_is_never_resolved_is_left_within_seconds(monkeypatch):
    left = threading.Event()
    monkeypatch.setattr("cliptune.catalog.fetch._ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: left.wait(30) and [])
    start = time.monotonic()
    try:
        with pytest.raises(UnavailableError, match="no answer within"):
            require_reachable("http://slow.invalid")
        assert time.monotonic() - start < 5
    finally:
        left.set()


def test_any_answer_counts_as_reachable(server):
    require_reachable(f"{server[1]}/absent")


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/abs/evil.jpg", "top/../../evil.jpg", "top\\..\\evil.jpg", "C:/e.jpg"]
)
def test_paths_that_lead_out_of_an_archive_are_refused(name, tmp_path):
    archive, folder = tmp_path / "set.zip", tmp_path / "inside/folder"
    archive.write_bytes(zip_of([("top/fine.jpg", b"1"), (name, b"evil")]))
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="unsafe path"):
        unpack(archive, folder)
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith("evil.jpg")]


def test_a_failed_unpacking_leaves_nothing(own_cache, tmp_path):
    data = zip_of([("../evil.jpg", b"evil")])
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(DataError, match="unsafe path"):
        fetch_dataset(
            download_of(data, "http://127.0.0.1:9/set.zip"),
            own_cache / "set",
            unpack=unpack,
            places=[tmp_path],
        )
    assert list(own_cache.iterdir()) == []
    (tmp_path / "bad.zip").write_bytes(b"no zip at all")
    with pytest.raises(DataError, match="no whole zip archive"):
        unpack(tmp_path / "bad.zip", tmp_path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    data = zip_of([("top/a.jpg", b"1")])
    (tmp_path / "set.zip").write_bytes(data)
    with pytest.raises(UnavailableError, match="cannot write"):
        fetch_dataset(
            download_of(data, "http://127.0.0.1:9/set.zip"),
            tmp_path / "file/set",
            unpack=unpack,
            places=[tmp_path],
        )


# CIFAR


def cifar_archive(path, layout, n, folder_images):
    """A small archive of CIFAR's binary layout around real pixels."""
    with tarfile.open(path, "w:gz") as archive:
        for members in layout.splits.values():
            for member in members:
                records = b"".join(
                    bytes([7] * (layout.label_bytes - 1) + [label])
                    + image.transpose(2, 0, 1).tobytes()
                    for image, label in folder_images[:n]
                )
                entry = tarfile.TarInfo(member)
                entry.size = len(records)
                archive.addfile(entry, io.BytesIO(records))
    return path


@pytest.fixture(scope="module")
def cifar_images(data_root):
    table = ImageTable.open(data_root / "cifar10/test.parquet")
    return [(np.asarray(table.load_image(row)), int(table.labels[row])) for row in range(20)]


@pytest.mark.parametrize(("layout", "n_train"), [(CIFAR10, 100), (CIFAR100, 20)])
def test_cifar_becomes_parquet_with_every_pixel(layout, n_train, cifar_images, tmp_path):
    archive = cifar_archive(tmp_path / "c.tar.gz", layout, 20, cifar_images)
    write_cifar(archive, tmp_path, layout=layout)
    table = ImageTable.open(tmp_path)
    assert table.class_names == layout.labels
    assert len(table.split("train")) == n_train
    test = table.split("test")
    assert test.labels.tolist() == [label for _, label in cifar_images]
    for row, (image, _) in enumerate(cifar_images):
        assert (np.asarray(test.load_image(row)) == image).all()


def test_the_written_files_follow_the_datasets_library(cifar_images, tmp_path):
    import datasets

    write_cifar(
        cifar_archive(tmp_path / "c.tar.gz", CIFAR10, 20, cifar_images), tmp_path, layout=CIFAR10
    )
    features = datasets.Features.from_arrow_schema(pq.read_schema(tmp_path / "test.parquet"))
    assert features == datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CIFAR10.labels))}
    )
    first = pq.read_table(tmp_path / "test.parquet").to_pylist()[0]
    assert Image.open(io.BytesIO(first["image"]["bytes"])).format == "PNG"


def test_damaged_archives_of_cifar_are_refused(cifar_images, tmp_path):
    whole = cifar_archive(tmp_path / "c.tar.gz", CIFAR10, 20, cifar_images).read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.tar\.gz' is no whole archive"):
        write_cifar(cut, tmp_path, layout=CIFAR10)
    with pytest.raises(DataError, match="is no whole archive of CIFAR"):
        write_cifar(tmp_path / "c.tar.gz", tmp_path, layout=CIFAR100)
    narrow = CifarLayout({"test": CIFAR10.splits["test"]}, 1, ("airplane",))
    with pytest.raises(DataError, match="has the label"):
        write_cifar(tmp_path / "c.tar.gz", tmp_path, layout=narrow)
    wide = CifarLayout({"test": CIFAR10.splits["test"]}, 2, CIFAR10.labels)
    with pytest.raises(DataError, match="does not hold whole records"):
        write_cifar(tmp_path / "c.tar.gz", tmp_path, layout=wide)


def test_the_labels_of_the_real_files_are_ours(data_root, caplog):
    caplog.set_level(logging.INFO)
    assert ImageTable.open(data_root / "cifar10/test.parquet").class_names == CIFAR10.labels
    assert ImageTable.open(data_root / "cifar100/test.parquet").class_names == CIFAR100.labels

"""Data on an object store: a local S3 server that the test starts, copied, resumed, refreshed."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cliptune.errors import InputError, UnavailableError
from cliptune.images import ImageTable, open_images
from cliptune.images.remote import copy_remote, is_remote
from object_store import running_store

BUCKET = "insects"


@pytest.fixture(scope="module")
def store():
    """An S3 server and a client of it."""
    with running_store(BUCKET) as client:
        yield client


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def upload(store):
    def put(folder, prefix):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            store.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())

    return put


def test_addresses_are_told_from_paths():
    assert is_remote("s3://bucket/folder")
    assert is_remote("https://example.org/a.zip")
    assert not any(map(is_remote, ("s3/bucket", "hf:owner/name", "C://x", "./a")))


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_a_bucket_is_a_data_set(make_tree, upload, store, cache):
    folder = make_tree("train/ant/1.jpg", "train/bee/2.jpg", "eval/ant/3.jpg")
    upload(folder, "one")
    store.put_object(Bucket=BUCKET, Key="one/train/ants/1.jpg", Body=b"under its former name")
    assert ImageTable.open(f"s3://{BUCKET}/one").class_names == ("ant", "ants", "bee")
    store.delete_object(Bucket=BUCKET, Key="one/train/ants/1.jpg")
    table, plain = ImageTable.open(f"s3://{BUCKET}/one"), ImageTable.open(folder)
    assert table.ids == plain.ids
    assert table.class_names == plain.class_names  # no folder is left that would be a class
    assert (table.reading.ignored, plain.reading.ignored) == ((), ())
    assert table.root == f"s3://{BUCKET}/one"
    assert [s.read() for s in table.sources] == [s.read() for s in plain.sources]
    assert table.splits.tolist() == plain.splits.tolist()
    assert open_images([f"s3://{BUCKET}/one/eval"]).ids == (f"s3://{BUCKET}/one/eval/ant/3.jpg",)
    store.delete_object(Bucket=BUCKET, Key="one/eval/ant/3.jpg")
    changed = (folder / "train/bee/2.jpg").read_bytes()
    store.put_object(Bucket=BUCKET, Key="one/train/ant/1.jpg", Body=changed)
    again = ImageTable.open(f"s3://{BUCKET}/one")
    assert again.ids == ("train/ant/1.jpg", "train/bee/2.jpg")
    assert again.sources[0].read() == changed


@pytest.mark.filterwarnings("ignore")
def test_what_is_there_is_not_fetched_again(make_tree, upload, cache):
    upload(make_tree("ant/1.jpg", "bee/2.jpg"), "two")
    place = copy_remote(f"s3://{BUCKET}/two")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file()}
    assert copy_remote(f"s3://{BUCKET}/two") == place
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(place.with_name(f"{place.name}.jsonl").read_text().splitlines()) == 2


@pytest.mark.filterwarnings("ignore")
def test_a_copy_that_was_killed_goes_on(make_tree, upload, cache):
    folder = make_tree(*(f"{'ant' if n % 2 else 'bee'}/{n}.jpg" for n in range(60)))
    upload(folder, "three")
    script = (
        "import sys, threading\n"
        "from cliptune.images import remote\n"
        "remote._WORKERS = 1\n"
        "from cliptune.images.remote import copy_remote\n"
        "copy_remote(sys.argv[1])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, f"s3://{BUCKET}/three"])
    marks = None
    for _ in range(2400):
        found = list(Path(cache).glob("remote/*.jsonl"))
        marks = found[0].read_text().count("\n") if found else 0
        if marks >= 5 or process.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert marks
    place = next(path for path in Path(cache).glob("remote/*") if path.is_dir())
    before = {p.name: p.stat().st_mtime_ns for p in place.rglob("*.jpg") if p.name[0] != "."}
    table = ImageTable.open(f"s3://{BUCKET}/three")
    assert [s.read() for s in table.sources] == [s.read() for s in ImageTable.open(folder).sources]
    after = {p.name: p.stat().st_mtime_ns for p in place.rglob("*.jpg")}
    kept = [name for name, when in before.items() if after[name] == when]
    assert len(kept) >= len(before) - 1 > 0


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_a_web_server_is_a_data_set(make_tree, tmp_path, cache):
    pytest.importorskip("aiohttp", reason="needs the extra 'remote'")
    folder = make_tree("train/ant/1.jpg", "train/bee/2.jpg")
    shutil.make_archive(str(tmp_path / "set"), "zip", folder)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        table = ImageTable.open(f"{address}/set.zip")
        assert table.ids == ("train/ant/1.jpg", "train/bee/2.jpg")
        with pytest.raises(InputError, match="there is nothing at"):
            ImageTable.open(f"{address}/absent.zip")
        server.shutdown()
    with pytest.raises(UnavailableError, match="cannot reach"):
        ImageTable.open(f"{address}/set.zip")


@pytest.mark.filterwarnings("ignore")
def test_nothing_and_nobody_are_one_line(store, cache, monkeypatch):
    with pytest.raises(InputError, match="there is nothing at 's3://insects/absent'"):
        ImageTable.open(f"s3://{BUCKET}/absent")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="cannot reach 's3://insects/one'"):
        ImageTable.open(f"s3://{BUCKET}/one")
    assert time.monotonic() - start < 10

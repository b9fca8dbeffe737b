import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from cliptune.encoders.hub import cached_file, fetch_file, fetch_tokenizer, old_cache_file
from cliptune.errors import UnavailableError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache, and no proxy of the machine's."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return tmp_path / "hub"


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine with one repository; returns its files, to be filled."""
    files = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer()

        def do_GET(self):
            self.wfile.write(self.answer())

        def answer(self):
            repo, _, name = self.path.lstrip("/").partition("/resolve/main/")
            content = b"" if self.path == "/" else files.get(name)
            if content is None or repo not in ("", "someone/tiny"):
                self.send_response(404)
                wrong = "EntryNotFound" if repo == "someone/tiny" else "RepoNotFound"
                self.send_header("X-Error-Code", wrong)
                content = b""
            else:
                self.send_response(200)
                self.send_header("ETag", f'"{hash(content):x}"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield files
    server.shutdown()
    server.server_close()


def put_into_cache(cache, repo, name, content=b"x"):
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    file = folder / "snapshots" / COMMIT / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def assert_refused_in_time(act, match, seconds=8):
    """One line, in time, that names the ways out."""
    start = time.monotonic()
    with pytest.raises(UnavailableError, match=match) as caught:
        act()
    assert time.monotonic() - start < seconds
    message = str(caught.value)
    assert "\n" not in message
    for way_out in ("'lite'", "a local folder or checkpoint file", constants.HF_HUB_CACHE):
        assert way_out in message


def fetch():
    fetch_file("someone/tiny", ["a.safetensors", "a.bin"], purpose="the weights of 'tiny'")


def test_what_is_cached_needs_no_network(own_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    file = put_into_cache(own_cache, "someone/tiny", "a.bin")
    assert cached_file("someone/tiny", ["a.safetensors", "a.bin"]) == file
    assert fetch_file("someone/tiny", ["a.safetensors", "a.bin"], purpose="it") == file
    assert cached_file("someone/else", ["a.bin"]) is None


def test_a_cached_tokenizer_needs_no_network(own_cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    file = put_into_cache(own_cache, "someone/tiny", "tokenizer.json")
    assert fetch_tokenizer("someone/tiny", purpose="it") == file.parent


def test_without_a_name_server(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "https://no-such-host.invalid")
    assert_refused_in_time(fetch, "weights of 'tiny': https://no-such-host.invalid cannot be rea")


def test_behind_a_proxy_that_hangs(monkeypatch, silent_port):
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent_port}")
    assert_refused_in_time(fetch, r"https://huggingface\.co .*(timed out|did not answer)")


def test_a_host_that_hangs(monkeypatch, silent_port):
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent_port}")
    assert_refused_in_time(lambda: fetch_tokenizer("a/b", purpose="it"), "cannot get it: http")


def test_a_host_that_answers_drop_by_drop(monkeypatch):
    def drip(server):
        connection, _ = server.accept()
        with connection:
            for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200:
                try:
                    connection.send(bytes([letter]))
                except OSError:
                    return
                time.sleep(0.5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert_refused_in_time(fetch, "did not answer within 4.0 s")


def test_a_closed_port_and_a_broken_address(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert_refused_in_time(fetch, "refused")
    monkeypatch.setattr(constants, "ENDPOINT", "huggingface")
    assert_refused_in_time(fetch, "unknown url type")


def test_offline_mode_is_named(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_refused_in_time(fetch, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")


def test_fetches_the_first_file_that_is_there_and_keeps_it(hub, own_cache, monkeypatch):
    hub["a.bin"] = b"weights"
    found = fetch_file("someone/tiny", ["a.safetensors", "a.bin"], purpose="it")
    assert found.read_bytes() == b"weights"
    assert own_cache in found.parents
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_file("someone/tiny", ["a.safetensors", "a.bin"], purpose="it") == found


def test_a_repository_without_the_files_or_without_existence(hub):
    assert_refused_in_time(fetch, "someone/tiny on the hub has none of a.safetensors, a.bin")
    assert_refused_in_time(
        lambda: fetch_file("no/body", ["a"], purpose="it"), "no repository no/body"
    )


def test_what_the_original_packages_fetched_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert old_cache_file("https://example.org/abc/RN50.pt") is None
    assert old_cache_file("") is None
    file = tmp_path / ".cache" / "clip" / "RN50.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    assert old_cache_file("https://example.org/abc/RN50.pt") == file


def test_a_model_that_is_not_here_is_refused_within_ten_seconds(tmp_path, silent_port):
    """As a user meets it: a new process, imports included, and a proxy that swallows all."""
    code = "from cliptune.encoders import load_encoder; load_encoder('ViT-B-32/openai')"
    environment = os.environ | {
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
        "https_proxy": f"http://127.0.0.1:{silent_port}",
        "no_proxy": "",
    }
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert time.monotonic() - start < 10
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("cliptune.errors.UnavailableError: cannot get the weights of 'ViT-B-32")
    assert str(tmp_path) in last

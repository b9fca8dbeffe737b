"""A server that is treated badly: broken bodies, a killed worker, runs replaced under load."""

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest


class Load:
    """Clients that ask again and again, and what they got."""

    def __init__(self, server, data, n_clients=4):
        self.statuses, self.errors = [], []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(server, data)) for _ in range(n_clients)
        ]

    def _work(self, server, data):
        while not self._stop.is_set():
            try:
                self.statuses.append(server.predict(("x", data)).status)
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, count):
        until, aim = time.monotonic() + 60, len(self.statuses) + count
        while len(self.statuses) < aim:
            assert time.monotonic() < until
            time.sleep(0.05)


def children(pid):
    """Return the processes that a process started and that listen, oldest first."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(status.parent.name))
    return sorted(found)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_a_killed_worker_takes_only_its_own_requests(start_server, fitted, bee):
    server = start_server(fitted.run, "--workers", 2)
    until = time.monotonic() + 120
    while server.get("/ready").status != 200:
        assert time.monotonic() < until
    with Load(server, bee) as load:
        load.wait_for(10)
        workers = children(server.process.pid)
        assert len(workers) == 2, workers
        os.kill(workers[0], signal.SIGKILL)
        load.wait_for(40)
    assert set(load.statuses) == {200}
    assert len(load.errors) <= 4  # one a client: those in flight
    counted = server.get("/metrics").body.decode()
    assert 'cliptune_images_total{outcome="answered"' in counted
    assert server.stop() == 0


def wait_for_digest(server, digest):
    """Return the digest of the run that is served, once it is this one or after half a minute."""
    until = time.monotonic() + 30
    while (found := server.get("/ready").json["runs"]["run"]["digest"]) != digest:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return found


def test_no_request_fails_while_a_run_is_replaced(start_server, fitted, bee, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(fitted.run, folder)
    server = start_server(folder, "--reload", 0.1)
    digests = set()
    with Load(server, bee) as load:
        for number in range(3):
            load.wait_for(5)
            newer = tmp_path / f"newer-{number}"
            shutil.copytree(fitted.run, newer)
            manifest = json.loads((newer / "manifest.json").read_text())
            kept = list(manifest["files"])[: len(manifest["files"]) - number]
            needed = ("classifier.json", "head.safetensors", "config.json")
            manifest["files"] = {name: manifest["files"][name] for name in {*kept, *needed}}
            (newer / "manifest.json").write_text(json.dumps(manifest))
            folder.rename(tmp_path / f"older-{number}")
            newer.rename(folder)
            files = json.dumps(manifest["files"], sort_keys=True).encode()
            digests.add(wait_for_digest(server, hashlib.sha256(files).hexdigest()))
            load.wait_for(10)
    assert set(load.statuses) == {200}
    assert load.errors == []
    assert len(digests) == 3
    assert server.stop() == 0


def test_requests_in_flight_are_finished_when_it_ends(start_server, fitted, bee):
    server = start_server(fitted.run)
    server.predict(("x", bee))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(server.predict(*[("x", bee)] * 20).status))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    assert found == [200] * 3


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_a_served_run_of_lite_needs_no_torch_and_little_memory(start_server, fitted, bee):
    server = start_server(fitted.run)
    for _ in range(3):
        assert server.predict(*[("x", bee)] * 8).status == 200
    process = Path(f"/proc/{server.process.pid}")
    assert "libtorch" not in (process / "maps").read_text()
    rollup = (process / "smaps_rollup").read_text()
    resident = next(line for line in rollup.splitlines() if line.startswith("Rss"))
    assert int(resident.split()[1]) < 400_000  # kB
    assert server.stop() == 0


def mutations(data, seed):
    """Bytes that once were an image, in many ways."""
    rng = random.Random(seed)
    for _ in range(20):
        place, length = rng.randrange(len(data)), rng.randrange(1, 2000)
        yield data[:place]
        yield data[place:]
        yield data[:place] + rng.randbytes(length) + data[place + length :]
        yield data[:place] + data[place + length :]
        yield rng.randbytes(length)


def test_a_hundred_kinds_of_broken_images_leave_the_others_answered(start_server, fitted, bee):
    server = start_server(fitted.run, "--max-items", 64)
    wanted = server.predict(("x", bee)).json["predictions"][0]["labels"]
    broken = list(mutations(bee, seed=0))
    for start in range(0, len(broken), 20):
        files = [(str(n), data) for n, data in enumerate(broken[start : start + 20])]
        said = server.predict(("first", bee), *files, ("last", bee))
        assert said.status == 200
        predictions = said.json["predictions"]
        assert len(predictions) == len(files) + 2
        for one in (predictions[0], predictions[-1]):
            assert one["labels"][0]["label"] == wanted[0]["label"]
            assert one["labels"][0]["probability"] == pytest.approx(
                wanted[0]["probability"], abs=1e-4
            )
        assert all(("labels" in one) != ("error" in one) for one in predictions)
    assert server.stop() == 0

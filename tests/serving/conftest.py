"""A server in a process of its own, over a small run."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import pytest

pytest.importorskip("fastapi", reason="needs cliptune[serve]")
pytest.importorskip("uvicorn", reason="needs cliptune[serve]")
_BOUNDARY = "0f1e2d3c"


@dataclass
class Answered:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Server:
    """A started server, and how to ask it."""

    process: subprocess.Popen
    port: int
    lines: list = field(default_factory=list)

    def ask(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            lowered = {name.lower(): value for name, value in reply.getheaders()}
            return Answered(reply.status, lowered, reply.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def predict(self, *files, query="", headers=None, **fields):
        """Send files (name, bytes) as a form."""
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        body = "".join(parts).encode()
        for name, data in files:
            head = f'Content-Disposition: form-data; name="files"; filename="{name}"'
            body += f"--{_BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
        body += f"--{_BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return self.ask("POST", f"/v1/predict{query}", body, {**kind, **(headers or {})})

    def post_json(self, path, value):
        kind = {"Content-Type": "application/json"}
        return self.ask("POST", path, json.dumps(value).encode(), kind)

    def stop(self, kind=signal.SIGTERM):
        self.process.send_signal(kind)
        return self.process.wait(60)


class LocalServer(Server):
    """The same application within this process: no socket, and nothing to wait for."""

    def __init__(self, client):
        self.client = client

    def ask(self, method, path, body=None, headers=None, timeout=60):
        reply = self.client.request(method, path, content=body, headers=headers or {})
        return Answered(reply.status_code, dict(reply.headers), reply.content)


@pytest.fixture(scope="session")
def open_local(compute):
    """Open runs in this process; returns a context manager."""
    from starlette.testclient import TestClient

    from cliptune.serving.app import build_app
    from cliptune.serving.settings import ServeSettings

    @contextlib.contextmanager
    def opened(runs, **settings):
        named = {name: str(folder) for name, folder in runs.items()}
        whole = ServeSettings(runs=named, cache_dir=str(compute.cache_dir), **settings)
        with TestClient(build_app(whole), raise_server_exceptions=False) as client:
            yield LocalServer(client)

    return opened


@pytest.fixture(scope="session")
def start_server(compute):
    """Start a server on a free port and wait until it answers; all are ended in the end."""
    started = []

    def start(*words):
        arguments = [sys.executable, "-m", "cliptune", "serve", *map(str, words), "--port", "0"]
        process = subprocess.Popen(
            [*arguments, "--cache-dir", str(compute.cache_dir)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        lines, told = [], threading.Event()

        def read():
            for line in process.stderr:
                lines.append(line)
                if "serving" in line or "cliptune:" in line:
                    told.set()
            told.set()

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        assert told.wait(120), "the server says nothing"
        address = next((line for line in lines if "http://" in line), None)
        assert address is not None, "".join(lines)
        port = int(address.split("http://127.0.0.1:")[1].split()[0])
        server = Server(process, port, lines)
        started.append((server, reading))
        return server

    yield start
    for server, reading in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        reading.join(10)
        server.process.stderr.close()


@pytest.fixture(scope="session")
def bee(small_data):
    return sorted(small_data.glob("val/bees/*.jpg"))[0].read_bytes()


@pytest.fixture(scope="session")
def ant(small_data):
    return sorted(small_data.glob("val/ants/*.jpg"))[0].read_bytes()

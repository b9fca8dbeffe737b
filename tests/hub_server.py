"""A hub of data sets as the Hugging Face libraries ask for it, over HTTP: repositories of files."""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse


class Hub:
    """Repositories, each with the files of its only revision, and what was asked for.

    Attributes:
        repositories: From "owner/name" to (from path to bytes).
        asked: Paths of files whose bytes were given, in order, with the range.
        address: Of the server.
    """

    def __init__(self, repositories):
        self.repositories, self.asked, self.address = repositories, [], ""

    def commit(self, name):
        """The commit follows from what is there."""
        digest = hashlib.sha1()
        for path, data in sorted(self.repositories[name].items()):
            digest.update(path.encode() + data)
        return digest.hexdigest()

    def entry(self, name, path):
        data = self.repositories[name][path]
        return {
            "type": "file",
            "path": path,
            "size": len(data),
            "oid": hashlib.sha1(data).hexdigest(),
        }

    def tree(self, name, folder, recursive):
        """List a folder; None where there is none."""
        start, found = f"{folder}/" if folder else "", {}
        for path in self.repositories[name]:
            if not path.startswith(start):
                continue
            head, slash, _ = path.removeprefix(start).partition("/")
            if slash:
                found[start + head] = {"type": "directory", "path": start + head, "oid": "0"}
            if recursive or not slash:
                found[path] = self.entry(name, path)
        return list(found.values()) if found or not folder else None


@contextmanager
def running_hub(repositories):
    """Serve repositories; give the hub."""
    hub = Hub(repositories)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            url = urlparse(self.path)
            path, query = unquote(url.path), parse_qs(url.query)
            if path == "/":
                return self.answer(200)
            found = re.fullmatch(
                r"/(api/)?datasets/([^/]+/[^/]+)(?:/(revision|tree|resolve)/([^/]+)/?(.*))?", path
            )
            name = found and found[2]
            if name not in hub.repositories:
                return self.answer(404, wrong="RepoNotFound")
            if found[3] in (None, "revision"):
                siblings = [{"rfilename": path} for path in hub.repositories[name]]
                said = {"_id": "0", "id": name, "sha": hub.commit(name), "siblings": siblings}
                return self.answer(200, said)
            if found[3] == "tree":
                recursive = query.get("recursive", ["false"])[0].lower() == "true"
                listed = hub.tree(name, found[5].rstrip("/"), recursive)
                return self.answer(200, listed) if listed is not None else self.answer(404)
            return self.give(name, found[5])

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            name = re.match(r"/api/datasets/([^/]+/[^/]+)/paths-info/", self.path)[1]
            paths = parse_qs(body).get("paths", [])
            files = hub.repositories[name]
            self.answer(200, [hub.entry(name, path) for path in paths if path in files])

        def give(self, name, path):
            data = hub.repositories[name].get(path)
            if data is None:
                return self.answer(404)
            tag = {"ETag": f'"{hub.entry(name, path)["oid"]}"', "X-Repo-Commit": hub.commit(name)}
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if self.command == "GET":
                hub.asked.append((path, span and span[0]))
            if span is None:
                return self.answer(200, data, **tag)
            first, last = int(span[1]), int(span[2] or len(data) - 1)
            tag["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            return self.answer(206, data[first : last + 1], **tag)

        def answer(self, status, content=b"", *, wrong="EntryNotFound", **headers):
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
                headers["Content-Type"] = "application/json"
            if status == 404:
                headers["X-Error-Code"] = wrong
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, address):
            """Clients close files that they have seen enough of."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()

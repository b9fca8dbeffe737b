"""What a server is told when it starts, as plain values that its workers get too.

It knows names, limits and places, and opens nothing.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cliptune.errors import InputError, UnavailableError
from cliptune.system.atomic import os_reason
from cliptune.system.bounds import require_count, require_number
from cliptune.system.file_kinds import exists, read_regular

__all__ = ["LOOPBACK", "ServeSettings", "name_runs", "read_token"]

LOOPBACK = "127.0.0.1"
_SHORTEST_TOKEN = 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How a server serves; the limits hold for each worker.

    Attributes:
        runs: Folders of runs or exports by the name they are served under.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        workers: Processes.
        max_batch: Images that go through an encoder together.
        max_wait_ms: So long a batch waits for more images that are on their way.
        max_queue: Images that may wait or be worked on; beyond, requests get 429.
        max_items: Images in one request.
        max_bytes: Bytes of a request.
        max_pixels: Pixels of an image.
        timeout_seconds: For a request to arrive, and then to be answered.
        reload_seconds: How often folders are looked at; 0 never.
        token_file: Holds the bearer token that requests must bring.
        drift: Keep sums of what is served, to compare with what was trained on.
        engine: What runs encoders: ``auto``, ``openvino``, ``onnx`` or ``torch``.
        cache_dir: Where graphs are kept; the user's cache otherwise.
    """

    runs: dict[str, str]
    host: str = LOOPBACK
    port: int = 8000
    workers: int = 1
    max_batch: int = 16
    max_wait_ms: float = 5.0
    max_queue: int = 256
    max_items: int = 64
    max_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    timeout_seconds: float = 30.0
    reload_seconds: float = 1.0
    token_file: str | None = None
    drift: bool = False
    engine: str = "auto"
    cache_dir: str | None = None

    def require_sound(self) -> None:
        """Make sure that every number is within its range.

        Raises:
            InputError: One is not, or no run is named.
        """
        if not self.runs:
            raise InputError("no run came; name the folder of a finished run or of an export")
        require_count("--port", self.port, at_least=0, at_most=65535)
        for name in ("workers", "max_batch", "max_queue", "max_items", "max_bytes", "max_pixels"):
            require_count("--" + name.replace("_", "-"), getattr(self, name))
        require_number("--max-wait-ms", self.max_wait_ms, at_least=0)
        require_number("--timeout", self.timeout_seconds, above=0)
        require_number("--reload", self.reload_seconds, at_least=0)

    def to_json(self) -> str:
        """Return all of it as text, for the environment of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServeSettings:
        """Read what ``to_json`` gave."""
        return cls(**json.loads(text))


def name_runs(given: Sequence[str | Path]) -> dict[str, str]:
    """Give runs the names that they are served under: ``NAME=FOLDER``, or the folder's own.

    Raises:
        InputError: Two have one name, or a name is none that an address can hold.
    """
    named: dict[str, str] = {}
    for one in map(str, given):
        name, equals, folder = one.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name) or exists(one):
            name, folder = re.sub(r"[^\w.-]", "-", Path(os.path.realpath(one)).name), one
        if name in named:
            raise InputError(
                f"two runs are called {name!r} ({named[name]!r} and {folder!r}); give one another "
                "name: NAME=FOLDER"
            )
        named[name] = folder
    return named


def read_token(file: str | Path) -> str:
    """Read the bearer token, which nobody but the owner of its file may be able to read.

    Raises:
        InputError: Others can, or it is too short, or no text.
        UnavailableError: It cannot be read.
    """
    path = Path(file)
    try:
        mode = path.stat().st_mode
        token = read_regular(path).decode("utf-8").strip()
    except OSError as error:
        raise UnavailableError(
            f"cannot read the token in {str(path)!r} ({os_reason(error)})"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the token in {str(path)!r} is no text") from error
    if mode & _OTHERS:
        raise InputError(
            f"others can read the token in {str(path)!r} (mode {stat.S_IMODE(mode):o}); "
            f"run: chmod 600 {path}"
        )
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(
            f"the token in {str(path)!r} has {len(token)} characters; expected a line of "
            f"{_SHORTEST_TOKEN} or more printable ones"
        )
    return token

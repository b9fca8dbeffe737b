"""Which fingerprint a model has, remembered from the last time its weights were read.

The memo goes with the state of the files (see ``file_state``), with the code that builds models
and with the versions of the libraries below it: another release reads the weights anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.encoders.engines.storage import read_json, write_json
from cliptune.encoders.shards import shard_paths
from cliptune.encoders.wheel_files import lite_files
from cliptune.system.file_state import FileState

if TYPE_CHECKING:
    from cliptune.encoders.model_files import ModelFiles

from cliptune.system.versions import installed_version

__all__ = ["Identity", "identify"]

_LIBRARIES = ("cliptune", "open_clip_torch", "timm", "torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Identity:
    """A model by its files.

    Attributes:
        path: Where its fingerprint is remembered.
        settled: The files are old enough for their times to tell of every change.
    """

    path: Path
    settled: bool

    def fingerprint(self) -> str | None:
        """Return the remembered fingerprint, or None."""
        values = read_json(self.path) or {}
        found = values.get("fingerprint")
        return found if isinstance(found, str) else None

    def remember(self, fingerprint: str) -> None:
        """Remember the fingerprint that these files gave."""
        if self.settled:
            write_json(self.path, {"fingerprint": fingerprint})


def identify(files: ModelFiles | None, cache_dir: Path, *, crops: int = 1) -> Identity:
    """Name a model by the state of its files.

    Args:
        files: Its files, or None for ``lite``.
        cache_dir: Where fingerprints are remembered.
        crops: How many crops of a picture it averages, as its name says.
    """
    package = Path(__file__).parent.parent
    sources = sorted([*package.glob("*.py"), *package.glob("families/*.py")])
    parts: list[Any] = [[installed_version(name) for name in _LIBRARIES]]  # Any: plain JSON values
    paths = list(lite_files()) if files is None else list(_files_of(files))
    if files is not None:
        parts.append([files.config, files.preprocess])
    if crops > 1:
        parts.append(["crops", crops])
    states = [FileState.of(path) for path in paths]
    stamps = [[str(path.resolve()), *state] for path, state in zip(paths, states, strict=True)]
    code = [[str(path.resolve()), *FileState.of(path)] for path in sources]
    key = json.dumps([parts, stamps, code], sort_keys=True, default=str)
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    settled = all(state.has_settled() for state in states)
    return Identity(cache_dir / "engines" / "names" / f"{digest}.json", settled)


def _files_of(files: ModelFiles) -> Iterable[Path]:
    yield files.weights
    yield from shard_paths(files.weights)
    for folder in (files.tokenizer, files.text_model):
        if folder is not None:
            yield from (path for path in sorted(folder.iterdir()) if path.is_file())

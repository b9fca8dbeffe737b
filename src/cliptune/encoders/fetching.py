"""All files of a model, brought to this machine.

It builds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cliptune.encoders.model_files import ModelFiles, find_files
from cliptune.encoders.names import Embedded, parse_name
from cliptune.encoders.shards import shard_paths
from cliptune.encoders.wheel_files import lite_files

__all__ = ["FetchedModel", "fetch_model"]


@dataclass(frozen=True)
class FetchedModel:
    """A model that is on this machine.

    Attributes:
        name: As it was named.
        files: Path and bytes of each of its files.
    """

    name: str
    files: tuple[tuple[Path, int], ...]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return it as plain JSON values."""
        files = [{"path": str(path), "bytes": size} for path, size in self.files]
        return {"name": self.name, "files": files, "bytes": sum(size for _, size in self.files)}


def fetch_model(name: str) -> FetchedModel:
    """Find a model's files, fetching what is not here.

    Args:
        name: As ``load_encoder`` takes it.

    Raises:
        CliptuneError: There is no such model, or it cannot be fetched; see ``find_files``.
    """
    ref = parse_name(name)
    paths = list(lite_files()) if isinstance(ref, Embedded) else _files_of(find_files(ref, name))
    return FetchedModel(name, tuple((path, path.stat().st_size) for path in paths))


def _files_of(files: ModelFiles) -> list[Path]:
    folders = [folder for folder in (files.tokenizer, files.text_model) if folder is not None]
    beside = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return list(dict.fromkeys([files.weights, *shard_paths(files.weights), *beside]))

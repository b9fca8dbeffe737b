"""Weights in several files: which ones an index names.

It reads the index and opens no weights.
"""

from __future__ import annotations

from pathlib import Path

from cliptune.errors import CheckpointError
from cliptune.system.inside import file_inside
from cliptune.system.json_files import read_object

__all__ = ["SHARDS", "shard_names", "shard_paths"]

SHARDS = "model.safetensors.index.json"


def shard_names(weights: Path) -> list[str]:
    """Return the names of the parts of weights, or none where they are one file.

    Raises:
        CheckpointError: The index names no parts, or something that is no file beside it.
    """
    if weights.name != SHARDS:
        return []
    table = read_object(weights, CheckpointError).get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) and table else []
    plain = [n for n in names if isinstance(n, str) and n.endswith(".safetensors")]
    if not names or plain != names or any("/" in name or "\\" in name for name in plain):
        raise CheckpointError(
            f"{weights} names no files of weights beside it; expected a weight_map from tensors to "
            "names such as model-00001-of-00002.safetensors"
        )
    return plain


def shard_paths(weights: Path) -> list[Path]:
    """Return where the parts of weights are, all of them beside the index.

    Raises:
        CheckpointError: One is missing, or the index is broken.
    """
    paths = [file_inside(weights.parent, name) for name in shard_names(weights)]
    lacking = [path.name for path in paths if not path.is_file()]
    if lacking:
        raise CheckpointError(
            f"{weights} names {', '.join(lacking[:3])}, which is not beside it; fetch all parts"
        )
    return paths

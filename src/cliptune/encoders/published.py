"""Which architectures and published weights open_clip knows, read without importing it.

It does not fetch, build or load anything.

Importing open_clip takes 7 to 16 seconds, torch and torchvision included; a typing error in a
model's name, or a missing network, should be told sooner than that. So the JSON files of its
architectures and the table in its ``pretrained.py`` are read from where it is installed.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
import runpy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "Published",
    "architectures",
    "find_published",
    "is_architecture",
    "model_config",
    "open_clip_folder",
    "published",
]

_QUICK_GELU = "-quickgelu"


@dataclass(frozen=True)
class Published:
    """One set of weights that somebody published for an open_clip architecture.

    Attributes:
        architecture: As open_clip names it.
        tag: What the weights are called.
        repo: Hugging Face repository, ``OWNER/NAME``.
        filename: The file in it, or empty where open_clip's usual names apply.
        url: An older address; only its last part matters here, as a name in a cache.
        quick_gelu: Trained with QuickGELU, whatever the architecture's file says.
        preprocess: ``mean``, ``std``, ``interpolation`` and ``resize_mode``.
    """

    architecture: str
    tag: str
    repo: str
    filename: str
    url: str
    quick_gelu: bool
    preprocess: dict[str, Any]  # Any: numbers, tuples of numbers and strings

    @property
    def name(self) -> str:
        """``ARCHITECTURE/TAG``, as users write it."""
        return f"{self.architecture}/{self.tag}"


@cache
def architectures() -> dict[str, Path]:
    """Map the name of each architecture to the JSON file that describes it."""
    files = sorted((open_clip_folder() / "model_configs").glob("*.json"))
    return {path.stem: path for path in files}


def is_architecture(name: str) -> bool:
    """Say whether ``model_config`` knows a name."""
    return name.removesuffix(_QUICK_GELU) in architectures()


def model_config(architecture: str) -> dict[str, Any]:  # Any: nested JSON
    """Read an architecture's description: ``embed_dim``, ``vision_cfg``, ``text_cfg``, ...

    Any name may end in ``-quickgelu``, whether open_clip has a file for that or not.
    """
    known = architectures()
    base = architecture.removesuffix(_QUICK_GELU)
    path = known.get(architecture) or known[base]
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config if architecture == base else {**config, "quick_gelu": True}


@cache
def published() -> dict[str, dict[str, Published]]:
    """Map architecture and tag to what is published, in open_clip's order."""
    table = _read_table()
    return {
        architecture: {tag: _entry(architecture, tag, facts) for tag, facts in tags.items()}
        for architecture, tags in table.items()
        if architecture in architectures()
    }


def find_published(architecture: str, tag: str) -> Published | None:
    """Find weights by name; as in open_clip, case and ``-`` for ``_`` do not matter in a tag."""
    return published().get(architecture, {}).get(tag.lower().replace("-", "_"))


def _entry(architecture: str, tag: str, facts: dict[str, Any]) -> Published:
    repo, _, filename = facts.get("hf_hub", "").rpartition("/")
    keys = ("mean", "std", "interpolation", "resize_mode")
    return Published(
        architecture=architecture,
        tag=tag,
        repo=repo,
        filename=filename,
        url=facts.get("url", ""),
        quick_gelu=bool(facts.get("quick_gelu", False)),
        preprocess={key: facts[key] for key in keys},
    )


def _read_table() -> dict[str, dict[str, dict[str, Any]]]:
    """Run those statements of open_clip's ``pretrained.py`` that make up its table."""
    folder = open_clip_folder()
    scope: dict[str, Any] = runpy.run_path(str(folder / "constants.py"))
    scope["copy"] = copy
    path = folder / "pretrained.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [statement for statement in tree.body if _makes_the_table(statement)]
    exec(compile(tree, str(path), "exec"), scope)
    table: dict[str, dict[str, dict[str, Any]]] = scope["_PRETRAINED"]
    return table


def _makes_the_table(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        return statement.name.endswith("cfg") and statement.name.startswith("_")
    is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return is_call or isinstance(statement, ast.Assign | ast.For)


@cache
def open_clip_folder() -> Path:
    """Return the folder that open_clip is installed in, without importing it."""
    spec = importlib.util.find_spec("open_clip")  # finds the package, does not run it
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("open_clip is not installed: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0])

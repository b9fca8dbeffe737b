"""Which heads there are and what each says of itself: read in this package's files.

A file of this package that defines a class ``...Head`` on ``BaseHead`` with a ``name`` is a head,
and nothing else lists it. It knows no head; a head is imported when it is asked for, and names and
facts are read without.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from cliptune.errors import UnknownNameError

if TYPE_CHECKING:
    from cliptune.heads import Head

__all__ = ["HeadFacts", "LazyHeads", "Needs"]

Needs = Literal["pooled", "tokens", "trunk"]

_CLASS = re.compile(r"^class (\w+Head)\(BaseHead\):", re.MULTILINE)
_NAME = re.compile(r"^    name: ClassVar\[str\] = \"([a-z0-9-]+)\"", re.MULTILINE)
_PACKAGE = "cliptune.heads"
_BASE = "base"


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """What a head says of itself: class variables of plain values, see ``BaseHead``."""

    rank: int
    compared: bool
    trained: bool
    iterated: bool
    keeps_images: bool
    learns_from: Needs


class LazyHeads(Mapping[str, "type[Head]"]):
    """Classes of heads by name, zero-shot first; reading the names imports no head."""

    @cached_property
    def _homes(self) -> dict[str, tuple[str, str]]:
        found = {}
        for file in files(_PACKAGE).iterdir():
            if not file.name.endswith(".py"):
                continue
            text = file.read_text(encoding="utf-8")
            head, name = _CLASS.search(text), _NAME.search(text)
            if head and name:
                found[name[1]] = (file.name[:-3], head[1])
        return dict(sorted(found.items(), key=lambda item: (item[0] != "zero-shot", item[0])))

    @cached_property
    def facts(self) -> Mapping[str, HeadFacts]:
        """What each head says of itself, by name; reading it imports no head."""
        usual = _said(_BASE, "BaseHead")
        return {name: HeadFacts(**usual | _said(*home)) for name, home in self._homes.items()}

    def class_name(self, name: str) -> str:
        """Return what the class of a head is called."""
        return self._homes[name][1]

    def __getitem__(self, name: str) -> type[Head]:
        if name not in self._homes:
            raise UnknownNameError("head", name, self._homes)
        module, class_name = self._homes[name]
        found: type[Head] = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), class_name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


def _said(module: str, class_name: str) -> dict[str, Any]:  # Any: values of facts
    """Return the facts that a class sets, by name.

    Raises:
        TypeError: One is no plain value, so that it cannot be read without the module.
    """
    text = (files(_PACKAGE) / f"{module}.py").read_text(encoding="utf-8")
    wanted = {fact.name for fact in fields(HeadFacts)}
    body = next(
        node.body
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    found = {}
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        name = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
        if name not in wanted:
            continue
        try:
            found[name] = ast.literal_eval(node.value)
        except ValueError:
            raise TypeError(f"{name} of {class_name} must be a plain value") from None
    return found

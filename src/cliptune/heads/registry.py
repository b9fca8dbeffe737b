"""Which heads there are: found in this package's files, imported when they are asked for.

A file of this package that defines a class ``...Head`` on ``BaseHead`` with a ``name`` is a head,
and nothing else lists it. It knows no head.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from cliptune.errors import UnknownNameError

if TYPE_CHECKING:
    from cliptune.heads import Head

__all__ = ["LazyHeads"]

_CLASS = re.compile(r"^class (\w+Head)\(BaseHead\):", re.MULTILINE)
_NAME = re.compile(r"^    name: ClassVar\[str\] = \"([a-z0-9-]+)\"", re.MULTILINE)
_PACKAGE = "cliptune.heads"


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
                found[name[1]] = (f"{_PACKAGE}.{file.name[:-3]}", head[1])
        return dict(sorted(found.items(), key=lambda item: (item[0] != "zero-shot", item[0])))

    def class_name(self, name: str) -> str:
        """Return what the class of a head is called."""
        return self._homes[name][1]

    def __getitem__(self, name: str) -> type[Head]:
        if name not in self._homes:
            raise UnknownNameError("head", name, self._homes)
        module, class_name = self._homes[name]
        found: type[Head] = getattr(importlib.import_module(module), class_name)
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

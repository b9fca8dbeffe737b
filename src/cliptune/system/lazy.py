"""Packages whose names load on first use (PEP 562), so that a start loads what it needs.

It knows no package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

__all__ = ["lazy_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return a package's ``__getattr__``.

    Args:
        package: Its ``__name__``.
        homes: Which of its modules holds each public name. A name that is a module's too cannot
            be among them: once that module is imported, the name is the module.
    """

    def find(name: str) -> object:
        if name in homes:
            # Looked up each time, so that nothing put in its place for a while stays.
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find

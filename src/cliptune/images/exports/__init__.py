"""What labelling tools export: one module a format, found by what a file holds.

A module with a constant ``READER`` is a reader; nothing else lists them. This package knows
formats, and leaves to others where the images of an export lie.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from cliptune.images.exports.annotated import Annotated, AnnotationReader, TreeReader

__all__ = ["Annotated", "AnnotationReader", "TreeReader", "annotation_readers", "tree_readers"]


@cache
def _readers() -> tuple[AnnotationReader | TreeReader, ...]:
    names = sorted(module.name for module in iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.READER for module in modules if hasattr(module, "READER"))


def annotation_readers() -> tuple[AnnotationReader, ...]:
    """Return the readers of formats that are a file of annotations beside images."""
    return tuple(reader for reader in _readers() if isinstance(reader, AnnotationReader))


def tree_readers() -> tuple[TreeReader, ...]:
    """Return the readers of formats that are a folder as a whole."""
    return tuple(reader for reader in _readers() if isinstance(reader, TreeReader))

"""Families of models: what each does to a text and an image before and after its towers.

One file of this package is one family, and nothing else lists them. A file states facts as plain
values, so that reading them imports neither torch nor transformers.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache

from cliptune.encoders.families.facts import Family, OpenClipFamily, TransformersFamily

__all__ = [
    "Family",
    "OpenClipFamily",
    "TransformersFamily",
    "families",
    "family_of_weights",
    "transformers_families",
]


@cache
def families() -> dict[str, Family]:
    """Return every family by its name, those of transformers first."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        family = getattr(importlib.import_module(f"{__name__}.{module.name}"), "FAMILY", None)
        if isinstance(family, Family):
            found.append(family)
    found.sort(key=lambda family: (family.backend != "transformers", family.name))
    return {family.name: family for family in found}


@cache
def transformers_families() -> dict[str, TransformersFamily]:
    """Return the families that transformers builds, by ``model_type``."""
    kept = (family for family in families().values() if isinstance(family, TransformersFamily))
    return {family.name: family for family in kept}


def family_of_weights(architecture: str, tag: str) -> str:
    """Return the family of published weights of open_clip; the narrowest that fits."""
    fitting = [
        family
        for family in families().values()
        if isinstance(family, OpenClipFamily)
        and re.fullmatch(family.pattern, architecture)
        and re.fullmatch(family.tags, tag)
    ]
    fitting.sort(key=lambda family: (family.tags == ".*", family.pattern == ".*"))
    return fitting[0].name if fitting else ""

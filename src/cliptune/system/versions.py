"""Which version of a package is installed, without reading its description.

``importlib.metadata`` loads an e-mail parser for that, a tenth of a start. The version stands in
the name of the folder that installers write (https://packaging.python.org, "Recording installed
projects"): ``<name>-<version>.dist-info``.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

__all__ = ["installed_version"]


def installed_version(distribution: str) -> str:
    """Return a version as it is written; empty where the distribution is not installed."""
    wanted = _normalised(distribution)
    for folder in sys.path:
        if found := _installed_in(folder).get(wanted):
            return found
    return ""


@cache
def _installed_in(folder: str) -> dict[str, str]:
    """Return versions by normalised name; what is installed later is another start's."""
    try:
        entries = os.listdir(folder or ".")  # noqa: PTH208  pathlib takes three times as long
    except OSError:  # an archive, or nothing
        return {}
    kept = (entry.removesuffix(".dist-info") for entry in entries if entry.endswith(".dist-info"))
    parts = (stem.partition("-") for stem in sorted(kept))
    return {_normalised(name): version for name, dash, version in parts if dash}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()

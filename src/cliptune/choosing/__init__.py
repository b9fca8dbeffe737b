"""Methods compared by cross-validation, and fitted again on every label outside the test.

``choose`` asks, ``held_out`` fits and scores, ``afterwards`` moves what was chosen. It knows
features, heads and scores; nothing about images, files or how results are shown.
"""

from __future__ import annotations

from cliptune.choosing.choose import choose_methods
from cliptune.choosing.chosen import Chosen

__all__ = ["Chosen", "choose_methods"]

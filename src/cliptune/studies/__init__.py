"""A study: the whole investigation of a data set, section by section, within a budget.

This package knows no command line. A study reads as ``run.py`` does it; every section is a file
of ``sections``, which gets the subject and returns what it found.
"""

from __future__ import annotations

from cliptune.studies.options import SECTION_NAMES, StudyOptions, choose_sections

__all__ = ["SECTION_NAMES", "StudyOptions", "choose_sections"]

"""Which method, on which features, with which settings: chosen by cross-validation.

Every candidate answers for images that it has not learned from; the one that is expected to be
right most often is chosen, and fitted again on every label. It sees labelled features of the
images outside the locked test, and never the test.
"""

from __future__ import annotations

from cliptune.selection.answer import Answer, Gain, Judged, answer, compare
from cliptune.selection.candidates import Candidate, Pool
from cliptune.selection.cross_validation import METHODS, cross_validate
from cliptune.selection.folds import Folds, plan_folds

__all__ = [
    "METHODS",
    "Answer",
    "Candidate",
    "Gain",
    "Judged",
    "Folds",
    "Pool",
    "answer",
    "compare",
    "cross_validate",
    "plan_folds",
]

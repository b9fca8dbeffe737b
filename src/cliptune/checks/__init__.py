"""Checks before a long run: of the data, of what the model makes of them, of the training.

This package knows nothing about command lines or reports. It follows A. Karpathy, "A Recipe
for Training Neural Networks" (2019): most faults of training raise no error, they only make the
result worse, so they are looked for one at a time while that is still cheap.
"""

from __future__ import annotations

from cliptune.checks.results import CHECK_NAMES, CheckResult
from cliptune.checks.run import run_checks

__all__ = ["CHECK_NAMES", "CheckResult", "run_checks"]

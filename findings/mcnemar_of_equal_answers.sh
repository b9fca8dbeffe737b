#!/usr/bin/env bash
# mlxtend 0.25.0 and statsmodels 0.15.0: McNemar's test calls two classifiers with the same answers different.
#
# The test asks whether two classifiers err equally often, from the images that only one of them gets
# right: b for the one, c for the other. Where they give the same answers, b = c = 0 and there is nothing to
# tell apart. With the correction for continuity the statistic is (|b - c| - 1)^2 / (b + c), here 1 / 0:
# both libraries return an infinite statistic and p = 0, as certain as a difference can be, with no more
# than NumPy's warning of a division. It is what mlxtend does by default, and statsmodels with
# exact=False. Without the correction they return nan, which compares as "not significant"; the exact test
# gives p = 1 in both. Short of that the correction also takes |0 - 1|^2 where b = c > 0, so that p is
# 0.68 for three against three, where the exact test gives 1.
#
# Two classifiers on one CLIP often do agree on a small test set: a head pulled to the class texts and
# zero-shot itself, or two strengths of regularisation. Safe: the exact test, which costs nothing.
#
# Seen, as p of the corrected, the plain and the exact test:
#   the same answers to 60 images: mlxtend 0 nan 1, statsmodels 0 nan 1
#   three against three of 60:     mlxtend 0.683 1 1, statsmodels 0.683 1 1
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  mlxtend==0.25.0 statsmodels==0.15.0
cat > "$folder/compare.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import mlxtend.evaluate
import numpy as np
import statsmodels.stats.contingency_tables as tables

warnings.simplefilter("ignore", RuntimeWarning)
print("mlxtend", version("mlxtend"), "statsmodels", version("statsmodels"))


def compare(what, one, other):
    """Print p of each library's three tests for the answers of two classifiers, 1 where right."""
    counts = np.array(
        [[np.sum((one == a) & (other == b)) for b in (1, 0)] for a in (1, 0)]
    )
    first = [
        mlxtend.evaluate.mcnemar(counts)[1],
        mlxtend.evaluate.mcnemar(counts, corrected=False)[1],
        mlxtend.evaluate.mcnemar(counts, exact=True)[1],
    ]
    second = [
        tables.mcnemar(counts, exact=False).pvalue,
        tables.mcnemar(counts, exact=False, correction=False).pvalue,
        tables.mcnemar(counts, exact=True).pvalue,
    ]
    words = [" ".join(f"{p:.3g}" for p in found) for found in (first, second)]
    print(f"{what}: mlxtend {words[0]}, statsmodels {words[1]}")
    return words


right = np.array([1] * 50 + [0] * 10)
moved = right.copy()
moved[:3], moved[-3:] = 0, 1
seen = [compare("the same answers to 60 images", right, right)]
seen.append(compare("three against three of 60", right, moved))
sys.exit(0 if seen == [["0 nan 1"] * 2, ["0.683 1 1"] * 2] else 1)
PYTHON
"$folder/venv/bin/python" "$folder/compare.py"

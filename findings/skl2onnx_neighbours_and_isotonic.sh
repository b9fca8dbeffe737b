#!/usr/bin/env bash
# skl2onnx 1.20.0 with scikit-learn 1.9.1: two classifiers leave as graphs that answer otherwise.
#
# 1. KNeighborsClassifier(weights="distance") loses its weights. The graph turns the distances of the
#    neighbours negative and then raises whatever is below 1e-6 to 1e-6, so that all k neighbours count
#    alike: its probabilities are those of weights="uniform", to the last digit of float32. For a training
#    row itself scikit-learn says 1 for its label, the graph what share of k neighbours has it.
# 2. CalibratedClassifierCV(method="isotonic") is a step function: the graph takes the value at the nearest
#    threshold, where scikit-learn draws a line between two. With few thresholds, as after few labels, that
#    is far apart.
#
# Neither raises or warns, and the answers look sensible. Both are frequent ends of a head on frozen
# features. The same classifiers with weights="uniform" and method="sigmoid" leave as they are. Safe:
# compare the graph's probabilities with the classifier's own, not its labels alone, on rows that it has
# not learned from.
#
# Seen on scikit-learn's digits, 1,200 rows to learn from and 597 others, as the largest difference of a
# probability and the share of equal labels:
#   weights=distance: 0.079, 99.5 % (from weights=uniform: 0.000, 100.0 %)
#   weights=uniform:  0.000, 100.0 %
#   isotonic:         0.362, 98.2 %
#   sigmoid:          0.000, 100.0 %
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.9.1
cat > "$folder/leave.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

warnings.simplefilter("ignore")
for name in ("skl2onnx", "onnx", "onnxruntime", "scikit-learn"):
    print(name, version(name))
rows, labels = load_digits(return_X_y=True)
rows = (rows - rows.mean(0)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
known, new = slice(0, 1200), slice(1200, None)


def leave(classifier, reference=None):
    """Fit and export a classifier; compare the graph's answers with its own, or another's."""
    for each in (classifier, reference):
        if each is not None:
            each.fit(rows[known], labels[known])
    graph = to_onnx(classifier, rows[:1], options={id(classifier): {"zipmap": False}})
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    found, shares = session.run(None, {"X": rows[new]})
    reference = reference or classifier
    apart = np.abs(shares - reference.predict_proba(rows[new])).max()
    return apart, np.mean(found == reference.predict(rows[new]))


uniform = leave(KNeighborsClassifier(5))
distance = leave(KNeighborsClassifier(5, weights="distance"))
as_uniform = leave(KNeighborsClassifier(5, weights="distance"), KNeighborsClassifier(5))
isotonic = leave(CalibratedClassifierCV(LinearSVC(random_state=0), method="isotonic"))
sigmoid = leave(CalibratedClassifierCV(LinearSVC(random_state=0), method="sigmoid"))


def written(found):
    return f"{found[0]:.3f}, {100 * found[1]:.1f} %"


print(f"weights=distance: {written(distance)} (from weights=uniform: {written(as_uniform)})")
print(f"weights=uniform:  {written(uniform)}")
print(f"isotonic:         {written(isotonic)}")
print(f"sigmoid:          {written(sigmoid)}")
right = all(apart < 1e-5 and equal == 1 for apart, equal in (as_uniform, uniform, sigmoid))
sys.exit(0 if right and distance[0] > 0.05 and isotonic[0] > 0.2 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/leave.py"

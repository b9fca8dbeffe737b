#!/usr/bin/env bash
# torchmetrics 1.9.0: mean average precision of logits depends on how they come in batches.
#
# MultilabelAveragePrecision takes logits or probabilities and decides at every update whether that
# batch needs a sigmoid: it does where any of its numbers lies outside of 0 to 1. Average precision
# is a matter of order alone, so a sigmoid should change nothing. But
#
# 1. a batch whose logits all happen to lie within 0 to 1 is kept as it is, while the next one is
#    squashed: the two no longer have one order. Perfectly ordered logits score 0.71 in two batches
#    and 1 in one; no word is said.
# 2. logits above about 17 are all 1 in float32, so that their order is lost, also in one batch.
#    Perfectly ordered ones score 0.5, as if they were equal. scikit-learn's
#    average_precision_score gives 1 for both.
#
# Scaled cosines of a CLIP (a factor of 100) are such logits. Safe: give it probabilities in float64,
# or compute the score once over everything.
#
# Seen:
#   one batch: 1.0000, two batches: 0.7083, scikit-learn: 1.0000
#   logits of 18 to 40: 0.5000, scikit-learn: 1.0000
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torchmetrics==1.9.0 torch==2.15.0 scikit-learn==1.9.1
cat > "$folder/score.py" <<'PYTHON'
import sys
import warnings

import torch
import torchmetrics
from sklearn.metrics import average_precision_score
from torchmetrics.classification import MultilabelAveragePrecision

warnings.simplefilter("ignore")
truth = torch.tensor([[1, 1], [1, 1], [0, 0], [0, 0]])
ordered = torch.tensor([[0.3, 0.4], [0.35, 0.45], [0.2, -1.0], [0.1, -4.0]])
large = torch.tensor([[40.0, 30.0], [35.0, 25.0], [20.0, 19.0], [18.0, 17.9]])


def score(*batches):
    metric = MultilabelAveragePrecision(2)
    for rows in batches:
        metric.update(rows[0], rows[1])
    return float(metric.compute())


print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__)
one = score((ordered, truth))
two = score((ordered[:2], truth[:2]), (ordered[2:], truth[2:]))
theirs = average_precision_score(truth.numpy(), ordered.numpy())
print(f"one batch: {one:.4f}, two batches: {two:.4f}, scikit-learn: {theirs:.4f}")
lost, right = score((large, truth)), average_precision_score(truth.numpy(), large.numpy())
print(f"logits of 18 to 40: {lost:.4f}, scikit-learn: {right:.4f}")
seen = (round(one, 4), round(two, 4), round(lost, 4)) == (1.0, 0.7083, 0.5)
sys.exit(0 if seen and theirs == right == 1.0 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/score.py"

#!/usr/bin/env bash
# clip-benchmark 1.6.2 beside NumPy 2.4: a TypeError after all images are encoded.
#
# clip_benchmark.metrics.zeroshot_classification.accuracy turns an array of one element into a
# float (`float(x.sum(0, keepdim=True).cpu().numpy())`). NumPy 2.4 no longer does that for arrays
# that have dimensions; 2.3.5 does, with a warning. The package asks for any NumPy.
#
# Seen, on eight made pictures and a ViT-B-32 with random weights:
#   NumPy 2.4.6: every picture is encoded, then
#     TypeError: only 0-dimensional arrays can be converted to Python scalars
#   NumPy 2.3.5: {'acc1': ..., 'acc5': ..., 'mean_per_class_recall': ...}
# Ends with 0 while that is so, and otherwise with 1. Installs torch, which is large.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/eight.py" <<'PYTHON'
import numpy
import torch
from clip_benchmark.metrics.zeroshot_classification import evaluate
from clip_benchmark.models.open_clip import load_open_clip
from PIL import Image

NAMES = ["ant", "bee", "cat", "dog", "elk"]


class Pictures(torch.utils.data.Dataset):
    classes = NAMES

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return transform(Image.new("RGB", (64, 64), (30 * index, 100, 200))), index % len(NAMES)


torch.manual_seed(0)
model, transform, tokenizer = load_open_clip("ViT-B-32", pretrained=None)
model.eval()
loader = torch.utils.data.DataLoader(Pictures(), batch_size=4)
print(f"NumPy {numpy.__version__}", flush=True)
print(evaluate(model, loader, tokenizer, NAMES, ["a photo of a {c}."], "cpu", amp=False))
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "clip-benchmark==1.6.2" "numpy==2.4.6"
if "$folder/venv/bin/python" "$folder/eight.py" > "$folder/new" 2>&1; then
  echo "it works beside NumPy 2.4.6"
  exit 1
fi
grep -E "^NumPy|TypeError" "$folder/new"
grep -q "TypeError: only 0-dimensional arrays" "$folder/new"
"$folder/venv/bin/pip" install --quiet "numpy==2.3.5"
"$folder/venv/bin/python" "$folder/eight.py" 2> /dev/null

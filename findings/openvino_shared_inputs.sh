#!/usr/bin/env bash
# OpenVINO 2026.4.1: a call with share_inputs=False writes into an array that was shared before.
#
# A request of an AsyncInferQueue that once ran with share_inputs=True keeps the caller's array as
# its input tensor after it has ended. The next call on that request with share_inputs=False copies
# the new input into that tensor, that is into the caller's old array. Nothing is said; whoever
# still uses the old array (another batch's part, a cache of pictures) reads the new input.
#
# Seen, with NumPy 2.4.6, two requests, four shared arrays and then a call without sharing each:
#   unchanged after the shared calls: [True, True, True, True]
#   unchanged after the calls without sharing: [True, True, False, False]
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/shared.py" <<'PYTHON'
import sys

import numpy as np
import openvino
from openvino import opset13 as ops

rng = np.random.default_rng(0)
pixels = ops.parameter([-1, 3, 64, 64], np.uint8)
kernel = ops.constant(rng.normal(size=(8, 3, 3, 3)).astype(np.float32))
ones = [1, 1]
convolved = ops.convolution(ops.convert(pixels, np.float32), kernel, ones, ones, ones, ones)
model = openvino.Core().compile_model(openvino.Model([convolved], [pixels]), "CPU")
queue = openvino.AsyncInferQueue(model, 2)
arrays = [rng.integers(1, 256, (8, 3, 64, 64), dtype=np.uint8) for _ in range(4)]
before = [array.copy() for array in arrays]


def unchanged():
    return [bool((array == old).all()) for array, old in zip(arrays, before)]


for array in arrays:
    queue.start_async({0: array}, share_inputs=True)
queue.wait_all()
print("OpenVINO", openvino.__version__)
print("unchanged after the shared calls:", unchanged())
shared = all(unchanged())
for _ in range(2):
    queue.start_async({0: np.zeros_like(arrays[0])}, share_inputs=False)
queue.wait_all()
print("unchanged after the calls without sharing:", unchanged())
sys.exit(0 if shared and not all(unchanged()) else 1)
PYTHON

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "openvino==2026.4.1" "numpy==2.4.6"
"$folder/venv/bin/python" "$folder/shared.py"

#!/usr/bin/env bash
# OpenVINO 2026.4.1: Interpolate in the mode bicubic_pillow takes seconds for every new size of picture.
#
# The modes bicubic_pillow and bilinear_pillow are the ones that filter as Pillow does, so graphs with the
# preprocessing of a CLIP-like model inside need them. With a dynamic shape the CPU plugin sets the kernel up
# anew for each size that comes, and for these two modes that takes hundreds of times as long as the resize
# itself and grows with the picture: photographs straight from cameras, each of a size of its own, take
# seconds to half a minute each. The modes cubic and linear_onnx have no such price, and do not filter.
# Where sizes are many, resize before the graph.
#
# Seen, to 224 x 224 from 375 x 500 and from 1200 x 1600, first against later calls, on two busy cores:
#   bicubic_pillow 3.5 and 29.7 s against 0.04 and 0.3 s; cubic 0.02 and 0.07 s against 0.007 and 0.03 s
# Ends with 0 while the first call of a new size takes over 20 times as long as the next ones in the mode
# bicubic_pillow (medians of five sizes), and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openvino==2026.4.1 numpy==2.4.6
cat > "$folder/sizes.py" <<'PYTHON'
import statistics
import sys
import time
from importlib.metadata import version

import numpy as np
import openvino as ov
from openvino import opset11 as ops

SIZES = [(375, 500), (500, 375), (480, 640), (333, 500), (600, 450)]


def resize(mode):
    pixels = ops.parameter([-1, 3, -1, -1], np.float32)
    size, axes = np.array([224, 224], np.int64), np.array([2, 3], np.int64)
    out = ops.interpolate(
        pixels, size, mode, "sizes", [0, 0], [0, 0], "half_pixel", "round_prefer_floor", False,
        -0.5, axes=axes,
    )
    return ov.Core().compile_model(ov.Model([out], [pixels]), "CPU").create_infer_request()


def measure(mode):
    request, first, later = resize(mode), [], []
    for height, width in SIZES:
        picture = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
        for call in range(4):
            began = time.perf_counter()
            request.infer([picture])
            (later if call else first).append(time.perf_counter() - began)
    times = statistics.median(first), statistics.median(later)
    print(f"{mode}: first call of a size {times[0]:.4f} s, later ones {times[1]:.4f} s")
    return times[0] / times[1]


print(f"openvino {version('openvino')}, numpy {version('numpy')}")
ratios = {mode: measure(mode) for mode in ("bicubic_pillow", "cubic")}
sys.exit(0 if ratios["bicubic_pillow"] > 20 and ratios["bicubic_pillow"] > 5 * ratios["cubic"] else 1)
PYTHON
"$folder/venv/bin/python" "$folder/sizes.py"

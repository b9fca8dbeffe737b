#!/usr/bin/env bash
# OpenVINO 2026.4.1: an antialiased cubic Resize out of ONNX is computed without antialiasing.
#
# ONNX says by Resize(mode="cubic", antialias=1), opset 18, that the filter is widened when a picture
# is made smaller; onnxruntime does so. OpenVINO reads the node, keeps antialias="true" in its graph
# (Interpolate-11, mode cubic) and computes the plain cubic on the CPU: four taps, whatever the scale,
# as antialias=0 gives. Nothing is said. A classifier whose preprocessing lies in its graph, as
# exporters make it, sees other pixels. Interpolate in the mode bicubic_pillow does filter.
#
# Seen, noise of 128 x 128 made 16 x 16, standard deviation of the pixels (0 to 255):
#   onnxruntime 7.5, OpenVINO 47.6, OpenVINO without antialias 47.6
# Ends with 0 while that is so, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0
cat > "$folder/resize.py" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

place = Path(sys.argv[1])
picture = np.random.default_rng(0).integers(0, 256, (1, 3, 128, 128)).astype(np.float32)


def make(antialias):
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 3, 16, 16])
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="cubic", antialias=antialias,
        cubic_coeff_a=-0.5, coordinate_transformation_mode="half_pixel",
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 128, 128])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 16, 16])
    graph = helper.make_graph([node], "resize", [x], [y], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path = str(place / f"{antialias}.onnx")
    onnx.save(model, path)
    return path


def by_openvino(path):
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(picture)[0]


session = onnxruntime.InferenceSession(make(1), providers=["CPUExecutionProvider"])
right = session.run(None, {"x": picture})[0]
filtered, plain = by_openvino(make(1)), by_openvino(make(0))
names = ("openvino", "onnxruntime", "onnx")
print(", ".join(f"{name} {version(name)}" for name in names))
print(
    f"onnxruntime {right.std():.1f}, OpenVINO {filtered.std():.1f}, "
    f"OpenVINO without antialias {plain.std():.1f}"
)
same = float(np.abs(filtered - plain).max())
sys.exit(0 if same < 1e-3 and filtered.std() > 2 * right.std() else 1)
PYTHON
"$folder/venv/bin/python" "$folder/resize.py" "$folder"

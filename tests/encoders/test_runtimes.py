"""Graphs in OpenVINO: opened, used and left again."""

import subprocess
import sys

import pytest

# OpenVINO's threads may still be leaving when all requests are done; see ``_let_go_later``.
OPEN_AND_LEAVE = """
import sys
import numpy as np
import openvino
import openvino.opset13 as ops
from cliptune.encoders.engines.runtimes import open_graph

inputs = ops.parameter([-1, 3, 32, 32], np.float32)
weights = ops.constant(np.full((16, 3, 3, 3), 1 / 27, np.float32))
cells = ops.convolution(inputs, weights, [1, 1], [0, 0], [0, 0], [1, 1])
means = ops.reduce_mean(cells, ops.constant(np.array([2, 3])), False)
openvino.save_model(openvino.Model([means], [inputs], "tiny"), sys.argv[1])
pixels = np.ones((8, 3, 32, 32), np.float32)
for _ in range(20):
    run = open_graph("openvino", sys.argv[1], precision="fp32")
    assert np.allclose(run(pixels), 1, atol=1e-2)  # weights are kept in 16 bits
    del run
print("left")
"""


def test_a_graph_that_is_left_at_once_does_not_end_the_process(tmp_path):
    pytest.importorskip("openvino", reason="needs the extra 'fast'")
    command = [sys.executable, "-c", OPEN_AND_LEAVE, str(tmp_path / "tiny.xml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")

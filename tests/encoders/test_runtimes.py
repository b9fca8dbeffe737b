"""Graphs in OpenVINO and ONNX Runtime: the right rows whatever comes, opened and left again."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from cliptune.encoders.engines.intel import import_openvino
from cliptune.encoders.engines.runtimes import open_graph

SIDE = 16
PART = 8  # what one request takes of images

# OpenVINO's threads may still be leaving when all requests are done; see ``_let_go_later``.
OPEN_AND_LEAVE = """
import sys
import numpy as np
from cliptune.encoders.engines.intel import import_openvino
from cliptune.encoders.engines.runtimes import open_graph
openvino = import_openvino()
import openvino.opset13 as ops

inputs = ops.parameter([-1, 3, 32, 32], np.float32)
weights = ops.constant(np.full((16, 3, 3, 3), 1 / 27, np.float32))
cells = ops.convolution(inputs, weights, [1, 1], [0, 0], [0, 0], [1, 1])
means = ops.reduce_mean(cells, ops.constant(np.array([2, 3])), False)
openvino.save_model(openvino.Model([means], [inputs], "tiny"), sys.argv[1])
pixels = np.ones((8, 3, 32, 32), np.float32)
for _ in range(20):
    run = open_graph("openvino", sys.argv[1], precision="fp32", of_threads=sys.argv[2] == "True")
    assert np.allclose(run(pixels), 1, atol=1e-2)  # weights are kept in 16 bits
    del run
print("left")
"""


@pytest.mark.parametrize("of_threads", [False, True])
def test_a_graph_that_is_left_at_once_does_not_end_the_process(tmp_path, of_threads):
    pytest.importorskip("openvino", reason="needs the extra 'fast'")
    command = [sys.executable, "-c", OPEN_AND_LEAVE, str(tmp_path / "tiny.xml"), str(of_threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")


def _save_openvino(path, weights):
    openvino = import_openvino()
    import openvino.opset13 as ops

    pixels = ops.parameter([-1, 3, SIDE, SIDE], np.uint8)
    cells = ops.convert(pixels, "f32")
    for kernel in weights:
        cells = ops.relu(
            ops.convolution(cells, ops.constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
        )
    graph = openvino.Model([cells], [pixels], "tiny")
    openvino.save_model(graph, path, compress_to_fp16=False)


def _save_onnx(path, weights):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, last = [helper.make_node("Cast", ["input"], ["x"], to=TensorProto.FLOAT)], "x"
    for i in range(len(weights)):
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        last = f"r{i}"
    shape = ["batch", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(kernel, f"w{i}") for i, kernel in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)


@pytest.fixture(params=["openvino", "onnx", "openvino of threads", "onnx of threads"])
def tiny_graph(request, tmp_path):
    """Three convolutions whose output is as large as what comes in."""
    engine, _, of_threads = request.param.partition(" ")
    package = {"openvino": "openvino", "onnx": "onnxruntime"}[engine]
    pytest.importorskip(package, reason="needs the extras 'fast' and 'onnx'")
    rng = np.random.default_rng(0)
    channels = [3, 8, 8, 3]
    weights = [
        rng.standard_normal((outer, inner, 3, 3)).astype(np.float32)
        for inner, outer in pairwise(channels)
    ]
    path = tmp_path / {"openvino": "tiny.xml", "onnx": "tiny.onnx"}[engine]
    {"openvino": _save_openvino, "onnx": _save_onnx}[engine](path, weights)
    return open_graph(engine, path, precision="fp32", of_threads=bool(of_threads))


def _pictures(n):
    """Draw pictures as ``np.stack`` gives them of transposed ones: not contiguous."""
    rows = np.random.default_rng(1).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    return rows.transpose(0, 3, 1, 2)


def test_many_requests_at_once_give_the_bits_of_one_at_a_time(tiny_graph):
    pictures = _pictures(256)
    assert not pictures.flags.c_contiguous
    right = np.concatenate(
        [tiny_graph.alone(pictures[i : i + PART]) for i in range(0, len(pictures), PART)]
    )
    wrong = 0
    for i in range(500):
        start = PART * (i % 24)
        rows = tiny_graph(pictures[start : start + 64])  # eight requests, on any count of cores
        wrong += not np.array_equal(rows, right[start : start + 64])
    assert wrong == 0


def test_what_came_in_is_never_written_to(tiny_graph):
    pictures = np.ascontiguousarray(_pictures(64))
    before = pictures.copy()
    tiny_graph(pictures)
    for i in range(8):
        tiny_graph.alone(before[i : i + 1])
        tiny_graph(before[: 8 + i])
    np.testing.assert_array_equal(pictures, before)


def test_threads_that_share_a_graph_get_their_own_rows(tiny_graph):
    pictures = _pictures(96)
    right = tiny_graph.alone(pictures)
    starts = [PART * (i % 8) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda start: tiny_graph(pictures[start : start + 32]), starts))
    for start, rows in zip(starts, found, strict=True):
        np.testing.assert_allclose(rows, right[start : start + 32], rtol=1e-5)


def test_a_batch_that_fails_does_not_spoil_the_next(tmp_path):
    openvino = pytest.importorskip("openvino", reason="needs the extra 'fast'")
    import openvino.opset13 as ops

    numbers = ops.parameter([-1, 12], np.float32)
    pairs = ops.reshape(numbers, ops.constant(np.array([-1, 24])), False)  # of an even count only
    openvino.save_model(openvino.Model([pairs], [numbers], "pairs"), tmp_path / "pairs.xml")
    run = open_graph("openvino", tmp_path / "pairs.xml", precision="fp32")
    with pytest.raises(RuntimeError):
        run(np.ones((3, 12), np.float32))
    assert np.array_equal(run(np.ones((4, 12), np.float32)), np.ones((2, 24), np.float32))

"""Nothing that is done with OpenVINO is told to its maker."""

import subprocess
import sys

import pytest

CONVERT = """
import sys

TELLING = {"os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo"}
seen = set()
sys.addaudithook(lambda event, _: seen.add(event) if event in TELLING else None)
from cliptune.encoders.engines.intel import import_openvino

graph = import_openvino().convert_model(sys.argv[1])
assert len(graph.get_ops()) > 1
import openvino_telemetry  # it is there for others

print(sorted(seen))
"""


def test_neither_import_nor_conversion_forks_or_opens_a_connection(tmp_path):
    pytest.importorskip("openvino", reason="needs the extra 'fast'")
    pytest.importorskip("openvino_telemetry", reason="there is nothing to be quiet about")
    onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    pair = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "tiny", pair[:1], pair[1:]
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "tiny.onnx")
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(tmp_path / "tiny.onnx")], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr

"""From a torch encoder's tower to a graph on disk: OpenVINO's format or ONNX.

It knows both formats and neither where graphs are kept nor how they are run.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.encoders.engines.graphs import example_input, tower_module
from cliptune.encoders.engines.intel import import_nncf, import_openvino

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["FAILURES", "convert_to_onnx", "convert_to_openvino", "quantize"]

# What the converters raise over a model that they cannot follow.
FAILURES = (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, KeyError)
_TRANSFORMERS_LOG = logging.getLogger("transformers.modeling_utils")
_OPSET = 18
_CALIBRATION_BATCH = 1


def convert_to_openvino(encoder: TorchEncoder, tower: str, folder: Path) -> None:
    """Write ``<tower>.xml`` and ``<tower>.bin``, float32, for batches of any size.

    Raises:
        RuntimeError: Or another of ``FAILURES``: the tower cannot be converted.
    """
    openvino = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = example_input(encoder, tower, cut=True)
    with _tracing():
        traced = TorchScriptPythonDecoder(
            tower_module(encoder, tower),
            example_input=example,
            trace_kwargs={"check_trace": False},  # a third of the time; rows are compared later
        )
        graph = openvino.convert_model(traced, example_input=example)
    graph.reshape([-1, -1] if tower == "text" else [-1, *example.shape[1:]])
    openvino.save_model(graph, folder / f"{tower}.xml", compress_to_fp16=False)


def convert_to_onnx(encoder: TorchEncoder, tower: str, folder: Path) -> None:
    """Write ``<tower>.onnx``, float32, for batches of any size; texts keep their full length.

    The exporter turns the length of attention's rows into a constant.

    Raises:
        RuntimeError: Or another of ``FAILURES``: the tower cannot be converted.
    """
    with _tracing():
        torch.onnx.export(
            tower_module(encoder, tower),
            (example_input(encoder, tower, cut=False),),
            str(folder / f"{tower}.onnx"),
            input_names=["input"],
            output_names=["rows"],
            dynamic_axes={name: {0: "batch"} for name in ("input", "rows")},
            opset_version=_OPSET,
            dynamo=False,
        )


def quantize(source: Path, pixels: NDArray[np.uint8], folder: Path) -> None:
    """Write an image tower's graph with 8-bit weights and activations.

    Post-training quantisation with the ranges that some images cause; transformers' settings
    of the ``nncf`` library.

    Args:
        source: ``image.xml`` in float32.
        pixels: Images to calibrate on, uint8 (N, 3, H, W).
        folder: Where ``image.xml`` and ``image.bin`` go.

    Raises:
        RuntimeError: Or another of ``FAILURES``: the graph cannot be quantised.
    """
    openvino = import_openvino()
    with contextlib.redirect_stdout(sys.stderr):  # it draws bars, where results should stand
        nncf = import_nncf()
        logging.getLogger("nncf").setLevel(logging.ERROR)
        rows = [pixels[i : i + _CALIBRATION_BATCH] for i in range(len(pixels))]
        graph = openvino.Core().read_model(source)
        quantized = nncf.quantize(
            graph,
            nncf.Dataset(rows),
            subset_size=len(rows),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
        )
    openvino.save_model(quantized, folder / "image.xml", compress_to_fp16=False)


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    """Trace without gradients and without the fused attention, which has no counterpart.

    Tracing asks a module for everything it has, and a tower of transformers then complains that
    it was built without a loss; nobody has to act on that.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    _TRANSFORMERS_LOG.addFilter(_says_more_than_no_loss)
    try:
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            # tracing is deprecated, and is what both converters rest on; what it warns of are
            # shapes that become constants, which the comparison with torch would show
            warnings.simplefilter("ignore")
            yield
    finally:
        _TRANSFORMERS_LOG.removeFilter(_says_more_than_no_loss)
        torch.backends.mha.set_fastpath_enabled(fast)


def _says_more_than_no_loss(record: logging.LogRecord) -> bool:
    return "`loss_type=None`" not in record.getMessage()

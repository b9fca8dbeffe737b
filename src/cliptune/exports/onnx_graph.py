"""Writing an ONNX graph node by node: the operators of heads, and other graphs spliced in.

It knows ONNX and nothing about towers, heads or images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["OPSET", "OnnxGraph"]

OPSET = 18
_IR_VERSION = 9


class OnnxGraph:
    """A graph that grows; values are their names. Follows ``Operators``."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._by_content: dict[bytes, str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._n_names = 0

    def add_input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """Declare an input; lengths that are names are free."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def add_output(self, value: str, name: str, kind: int, shape: Sequence[int | str]) -> None:
        """Give a value out under a name."""
        self.node("Identity", value, output=name)
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that.

        Args:
            kind: Of ONNX's operators.
            inputs: Values; an empty name leaves an optional one out.
            output: Its name; a new one otherwise.
            attributes: Of the operator: numbers, texts or lists of them, hence ``Any``.
        """
        output = output or self._new_name(kind)
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def whole(self, *numbers: int) -> str:
        """Return int64 numbers (n,) as a value."""
        return self.constant(np.array(numbers, dtype=np.int64))

    def index(self, number: int) -> str:
        """Return an int64 number of no axis as a value."""
        return self.constant(np.array(number, dtype=np.int64))

    def splice(self, model: onnx.ModelProto, source: str, prefix: str) -> str:
        """Put another graph of one input and one output behind a value.

        Weights of the same content are kept once, whichever graph they come from.

        Returns:
            The value that the graph ends in.
        """
        graph = model.graph
        names = {graph.input[0].name: source, "": ""}
        for weight in graph.initializer:
            names[weight.name] = self._keep(weight, f"{prefix}/{weight.name}")
        for node in graph.node:
            self._nodes.append(_renamed(node, names, prefix))
        return names[graph.output[0].name]

    def to_model(self, facts: dict[str, str]) -> onnx.ModelProto:
        """Return the whole, checked, with ``facts`` as its metadata."""
        graph = helper.make_graph(
            self._nodes, "cliptune", self._inputs, self._outputs, list(self._weights.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="cliptune",
        )
        helper.set_model_props(model, facts)
        return model

    # What heads are written with; see ``Operators``.

    def constant(self, array: NDArray[Any]) -> str:  # Any: floats or integers
        """Return an array as a value; floats become float32; see ``double``."""
        kind = np.float32 if array.dtype.kind == "f" else array.dtype
        return self._keep(numpy_helper.from_array(np.asarray(array, dtype=kind, order="C")), "")

    def double(self, number: float) -> str:
        """Return a number of double precision as a value."""
        return self._keep(numpy_helper.from_array(np.array(number, dtype=np.float64)), "")

    def matmul(self, left: str, right: str) -> str:
        """See ``Operators``."""
        return self.node("MatMul", left, right)

    def add(self, left: str, right: str) -> str:
        """See ``Operators``."""
        return self.node("Add", left, right)

    def multiply(self, left: str, right: str) -> str:
        """See ``Operators``."""
        return self.node("Mul", left, right)

    def divide(self, left: str, right: str) -> str:
        """See ``Operators``."""
        return self.node("Div", left, right)

    def exp(self, value: str) -> str:
        """See ``Operators``."""
        return self.node("Exp", value)

    def log(self, value: str) -> str:
        """See ``Operators``."""
        return self.node("Log", value)

    def softmax(self, value: str, axis: int) -> str:
        """See ``Operators``."""
        return self.node("Softmax", value, axis=axis)

    def lengths(self, value: str) -> str:
        """See ``Operators``."""
        return self.node("ReduceL2", value, self.whole(-1), keepdims=1)

    def total(self, value: str) -> str:
        """See ``Operators``."""
        return self.node("ReduceSum", value, self.whole(-1), keepdims=1)

    def part(self, value: str, axis: int, start: int, stop: int | None = None) -> str:
        """See ``Operators``."""
        end = np.iinfo(np.int64).max if stop is None else stop
        return self.node("Slice", value, self.whole(start), self.whole(int(end)), self.whole(axis))

    def reshape(self, value: str, shape: tuple[int, ...]) -> str:
        """See ``Operators``."""
        return self.node("Reshape", value, self.whole(*shape))

    def transpose(self, value: str, order: tuple[int, ...]) -> str:
        """See ``Operators``."""
        return self.node("Transpose", value, perm=list(order))

    def largest(self, value: str, count: int) -> tuple[str, str]:
        """See ``Operators``."""
        values, places = self._new_name("TopK"), self._new_name("TopK")
        inputs = [value, self.whole(count)]
        self._nodes.append(helper.make_node("TopK", inputs, [values, places], axis=-1))
        return values, places

    def take(self, table: str, places: str) -> str:
        """See ``Operators``."""
        return self.node("Gather", table, places)

    def equal(self, left: str, right: str) -> str:
        """See ``Operators``."""
        return self.node("Cast", self.node("Equal", left, right), to=TensorProto.FLOAT)

    def _keep(self, weight: onnx.TensorProto, name: str) -> str:
        """Keep an array once, by its content, and return its name."""
        array = numpy_helper.to_array(weight)
        head = f"{weight.data_type} {tuple(weight.dims)} ".encode()
        digest = hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).digest()
        if digest not in self._by_content:
            name = name or f"constant_{len(self._weights)}"
            kept = numpy_helper.from_array(array, name)
            self._by_content[digest], self._weights[name] = name, kept
        return self._by_content[digest]

    def _new_name(self, kind: str) -> str:
        self._n_names += 1
        return f"{kind.lower()}_{self._n_names}"


def _renamed(node: onnx.NodeProto, names: dict[str, str], prefix: str) -> onnx.NodeProto:
    """Return a copy of a node under names of another graph, which learns its outputs."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = f"{prefix}/{node.name}" if node.name else ""
    for place, name in enumerate(node.input):
        copy.input[place] = names[name]
    for place, name in enumerate(node.output):
        names.setdefault(name, f"{prefix}/{name}")
        copy.output[place] = names[name]
    return copy

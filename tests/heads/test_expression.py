"""Heads written in operators: as an ONNX graph they say what they say on arrays."""

import numpy as np
import pytest
from head_rows import as_tokens, as_trunk, make_clusters

from cliptune.errors import InputError
from cliptune.heads import HEADS, knn
from cliptune.heads.base import BaseHead

onnx = pytest.importorskip("onnx", reason="needs cliptune[export]")
runtime = pytest.importorskip("onnxruntime", reason="needs cliptune[export]")

DATA = make_clusters()
FEATURES = {
    **{name: {} for name in HEADS},
    **{f"{name} both": {"features": "both"} for name in ("linear", "blend", "prototype")},
    "discriminant penultimate": {"features": "penultimate"},
}


def fitted(name):
    head = HEADS[name.split()[0]](**FEATURES[name])
    shape = {"pooled": lambda rows: rows, "tokens": as_tokens, "trunk": as_trunk}[head.needs]
    head.fit(
        shape(DATA.X), DATA.y, text_rows=DATA.text_rows, logit_scale=20.0,
        validation=(shape(DATA.X_val), DATA.y_val),
    )  # fmt: skip
    return head, shape(DATA.X_test)


def as_graph(head, rows):
    from cliptune.exports.onnx_graph import OnnxGraph

    graph = OnnxGraph()
    given = graph.add_input("rows", onnx.TensorProto.FLOAT, ["n", *rows.shape[1:]])
    classes = len(head.classes_)
    logits = head.express(graph, given)
    graph.add_output(logits, "logits", onnx.TensorProto.FLOAT, ["n", classes])
    model = graph.to_model({})
    onnx.checker.check_model(model, full_check=True)
    session = runtime.InferenceSession(model.SerializeToString())
    return session.run(["logits"], {"rows": rows})[0]


@pytest.mark.parametrize("name", FEATURES)
def test_graph_and_arrays_say_the_same(name):
    head, rows = fitted(name)
    np.testing.assert_allclose(as_graph(head, rows), head.predict_logits(rows), atol=2e-4)
    one = rows[:1]
    np.testing.assert_allclose(as_graph(head, one), head.predict_logits(one), atol=2e-4)


def test_neighbours_leave_only_where_they_are_few(monkeypatch):
    head, rows = fitted("knn")
    monkeypatch.setattr(knn, "MOST_BYTES", head.rows_.nbytes - 1)
    with pytest.raises(InputError, match=r"knn keeps 120 rows, .* fit another method"):
        as_graph(head, rows)


def test_a_head_that_nobody_wrote_down_says_so():
    class SilentHead(BaseHead):
        name = "silent"

    with pytest.raises(InputError, match="'silent' is no function that can be written"):
        SilentHead().express(None, None)

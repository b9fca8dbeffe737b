"""A run of several labels an image, exported and served: each label by itself."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import cliptune as ct

onnx = pytest.importorskip("onnx", reason="needs cliptune[export]")
runtime = pytest.importorskip("onnxruntime", reason="needs cliptune[export]")


@pytest.fixture(scope="module")
def label_compute(label_cache):
    return ct.ComputeOptions(cache_dir=label_cache, engine="torch", precision="fp32")


@pytest.fixture(scope="module")
def photographs(data_root, tmp_path_factory):
    """Photographs of the test split, as files."""
    folder = tmp_path_factory.mktemp("photographs")
    table = pq.read_table(data_root / "flickr8k/test.parquet", columns=["image"]).slice(0, 24)
    for number, image in enumerate(table["image"].to_pylist()):
        (folder / f"{number:02}.jpg").write_bytes(image["bytes"])
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def exported(fitted_labels, label_compute, tmp_path_factory):
    out = tmp_path_factory.mktemp("labels") / "onnx"
    return ct.export(fitted_labels, out=out, compute=label_compute, images=40)


@pytest.fixture(scope="module")
def said(fitted_labels, label_compute, photographs):
    """What the run says: probabilities (N, C), and which labels are present."""
    result = ct.predict(photographs, run=fitted_labels, top=4, compute=label_compute)
    names = ("dog", "girl", "man", "water")
    found = [{one.label: one.probability for one in p.labels} for p in result.predictions]
    probabilities = np.array([[row[name] for name in names] for row in found])
    present = np.array([[name in p.present for name in names] for p in result.predictions])
    assert 10 < present.sum() < present.size - 10
    assert probabilities.sum(axis=1).std() > 0.05  # they do not add up to 1
    return probabilities, present


def test_the_certificate_counts_labels(exported):
    assert exported.class_names == ("dog", "girl", "man", "water")
    for one in exported.graphs:
        assert one.n == 40
        assert one.agreement.value == 1
        assert one.presence_agreement >= 0.995
        assert one.abstention_agreement is None
        assert one.largest_difference < (0.03 if one.input == "image" else 1e-4)
    assert "same labels present" in Path(exported.out, "parity.html").read_text()


def test_the_graph_says_which_labels_are_present(exported, photographs, said):
    session = runtime.InferenceSession(f"{exported.out}/image.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names == ["probabilities", "embedding", "present"]
    facts = session.get_modelmeta().custom_metadata_map
    thresholds = json.loads(facts["thresholds"])
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not {'torch', 'cliptune', 'openvino'} & set(sys.modules)"
    )
    words = [sys.executable, "-I", "-c", code, f"{exported.out}/predict.py", *photographs]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    probabilities, present = said
    close = np.abs(probabilities - thresholds) < 0.03
    for row, line in enumerate(done.stdout.splitlines()):
        _, _, probability, labels = line.split("\t")
        assert float(probability) == pytest.approx(probabilities[row].max(), abs=0.03)
        found = np.isin(exported.class_names, labels.split(","))
        assert ((found == present[row]) | close[row]).all()


def test_other_formats_answer_the_same(fitted_labels, label_compute, tmp_path):
    pytest.importorskip("openvino", reason="needs cliptune[export]")
    pytest.importorskip("transformers", reason="needs transformers")
    given = {"compute": label_compute, "images": 5, "limit": 0.9}
    whole = ct.export(fitted_labels, out=tmp_path / "ir", format="openvino", **given)
    assert whole.agreement == 1
    assert min(one.presence_agreement for one in whole.graphs) >= 0.9
    hub = ct.export(fitted_labels, out=tmp_path / "hub", format="hub", **given)
    assert hub.graphs[0].presence_agreement == 1
    assert hub.graphs[0].largest_difference < 1e-3
    config = json.loads((tmp_path / "hub/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert len(config["present_from"]) == 4

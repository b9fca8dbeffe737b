"""``fit --class-thresholds`` on classes of unlike sizes, and what its run answers elsewhere."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cliptune as ct
from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line
from cliptune.results.fitted import FitResult

SIZES = (60, 40, 27, 18, 12, 8, 5)


@pytest.fixture(scope="module")
def uneven(data_root, tmp_path_factory):
    """PACS with 60 images of one class down to 5 of another, and up to 15 of each to test on."""
    folder = tmp_path_factory.mktemp("uneven")
    table = pq.read_table(data_root / "pacs/test.parquet")
    labels, rng = np.array(table.column("label").to_pylist()), np.random.default_rng(0)
    order = [rng.permutation(np.flatnonzero(labels == c)) for c in range(len(SIZES))]
    learned = [rows[:n] for rows, n in zip(order, SIZES, strict=True)]
    tested = [rows[n : n + 15] for rows, n in zip(order, SIZES, strict=True)]
    for name, rows in (("train", learned), ("test", tested)):
        chosen = table.take(pa.array(np.sort(np.concatenate(rows))))
        pq.write_table(chosen, folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def fit(uneven, compute, tmp_path_factory):
    def run(name, **options):
        out = tmp_path_factory.mktemp("runs") / name
        return ct.fit(uneven, method="linear", out=out, compute=compute, **options)

    return run


@pytest.fixture(scope="module")
def plain(fit):
    return fit("plain", select="balanced-accuracy", abstain_precision=0.8)


@pytest.fixture(scope="module")
def moved(fit):
    return fit("moved", select="balanced-accuracy", abstain_precision=0.8, class_thresholds=True)


def test_what_came_is_said_everywhere(moved):
    found = moved.class_thresholds
    assert found.kept
    assert 0 < found.difference < 0.3
    assert found.low < found.difference < found.high
    assert set(found.offsets) == set(moved.class_names)
    assert found.sentence in moved.notes
    assert found.sentence in moved.blocks()
    assert "of balanced accuracy" in found.sentence
    assert FitResult.from_json(moved.to_json()).class_thresholds == found
    card = Path(moved.run, "model_card.md").read_text()
    assert "each class has a threshold of its own" in card
    assert "Probabilities are calibrated for" not in card
    page = Path(moved.run).parent / "page.html"
    assert run_command_line(["report", moved.run, "--out", str(page)]) == 0
    assert "Class thresholds of linear are moved" in page.read_text()


def test_only_the_bias_moves_and_rare_classes_are_answered_more_often(plain, moved):
    before, after = (CalibratedHead.load(run.run) for run in (plain, moved))
    np.testing.assert_array_equal(before.head.weight_, after.head.weight_)
    assert before.temperature == after.temperature
    change = (after.head.bias_ - before.head.bias_) / before.temperature
    offsets = list(moved.class_thresholds.offsets.values())
    np.testing.assert_allclose(change, offsets, atol=1e-5)
    assert (
        max(moved.class_thresholds.offsets, key=moved.class_thresholds.offsets.get)
        in (moved.class_names[-3:])
    )
    assert moved.shipped.val.balanced_accuracy.value > plain.shipped.val.balanced_accuracy.value
    assert plain.class_thresholds is None
    assert "class_thresholds" not in json.loads(plain.to_json())


def test_the_run_scores_and_exports_what_fit_said(uneven, moved, compute, tmp_path):
    again = ct.evaluate(uneven, run=moved.run, compute=compute)
    assert again.metrics.accuracy.value == pytest.approx(moved.test.accuracy.value)
    assert again.metrics.log_loss.value == pytest.approx(moved.test.log_loss.value, abs=1e-4)
    pytest.importorskip("onnx", reason="needs cliptune[export]")
    ct.export(moved.run, out=tmp_path / "onnx", compute=compute)
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{tmp_path}/onnx/image.onnx")
    images = [
        Image.open(pa.BufferReader(row["image"]["bytes"])).convert("RGB")
        for row in pq.read_table(uneven / "test.parquet").to_pylist()[:12]
    ]
    said = ct.load_classifier(moved.run, compute=compute).predict([np.asarray(i) for i in images])
    given = session.get_inputs()[0].name
    found = [session.run(["probabilities"], {given: np.asarray(i)[None]})[0][0] for i in images]
    np.testing.assert_allclose(found, said.probabilities, atol=0.02)
    assert (np.argmax(found, axis=1) == np.argmax(said.probabilities, axis=1)).mean() >= 11 / 12


def test_what_gains_nothing_is_dropped_and_changes_nothing(fit, plain):
    found = fit("f1", select="accuracy", abstain_precision=0.8, class_thresholds=True)
    assert not found.class_thresholds.kept
    assert found.class_thresholds.difference <= 0
    assert "stay as they are" in found.class_thresholds.sentence
    for name in ("head.safetensors", "classifier.json"):
        assert Path(found.run, name).read_bytes() == Path(plain.run, name).read_bytes()
    shutil.rmtree(found.run)

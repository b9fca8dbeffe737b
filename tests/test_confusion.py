"""Per-class table and confusion matrix, as files and as a figure."""

import csv

import numpy as np
import pytest

from cliptune.evaluation.confusion import plot_confusion, write_class_scores
from cliptune.evaluation.metrics import compute_metrics
from cliptune.runs import RunDir

NAMES = ("ant", "$b$ & <bee>", "très long nom de classe")


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    scores = rng.random((90, 3)) + np.eye(3)[labels]
    return compute_metrics(labels, scores / scores.sum(axis=1, keepdims=True), class_names=NAMES)


def test_the_files_hold_the_scores(metrics, tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    write_class_scores(run, metrics)
    lines = list(csv.reader((run.path / "confusion.csv").read_text("utf-8").splitlines()))
    assert lines[0] == ["class", *NAMES]
    assert [line[0] for line in lines[1:]] == list(NAMES)
    assert np.array([line[1:] for line in lines[1:]], int).tolist() == metrics.confusion.tolist()
    classes = list(csv.DictReader((run.path / "per_class.csv").read_text("utf-8").splitlines()))
    assert [float(c["recall"]) for c in classes] == pytest.approx(
        metrics.confusion.diagonal() / metrics.confusion.sum(axis=1), abs=1e-6
    )
    assert (run.path / "confusion.svg").read_text("utf-8").count("très long nom de classe") >= 1
    assert (run.path / "confusion.png").stat().st_size > 1000


def test_cells_carry_their_counts_and_the_share_of_their_class(metrics):
    axes = plot_confusion(metrics.confusion, NAMES).axes[0]
    shown = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    expected = {
        (i, j): str(metrics.confusion[i, j])
        for i, j in zip(*np.nonzero(metrics.confusion), strict=True)
    }
    assert shown == expected
    shares = axes.images[0].get_array()
    assert np.asarray(shares).sum(axis=1) == pytest.approx([1, 1, 1])


def test_many_classes_are_drawn_without_numbers_then_without_names():
    hundred = np.eye(100, dtype=np.int64) * 5
    axes = plot_confusion(hundred, [f"c{i}" for i in range(100)]).axes[0]
    assert not axes.texts
    assert len(axes.get_yticklabels()) == 100
    axes = plot_confusion(np.eye(200, dtype=np.int64), [f"c{i}" for i in range(200)]).axes[0]
    assert not axes.get_yticklabels()

"""Few-shot trials on rows whose classes are known."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from cliptune.classifiers.head_data import HeadData
from cliptune.errors import DataError, InputError
from cliptune.runs import RunDir
from cliptune.splits.duplicates import DuplicatePairs
from cliptune.splits.partition import LockedRows, Partition
from cliptune.workflows.few_shot import draw_trials, fit_trial, parse_shots, score_trials
from cliptune.workflows.learning_curve import plot_learning_curve, write_learning_curve

NAMES = ("ant", "bee", "wasp")


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def task():
    """Three noisy clusters; the texts lie near them, but not in them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16))
    labels = np.repeat(np.arange(3), 100)
    vectors = unit(centres[labels] + rng.normal(size=(300, 16)))
    texts = unit(centres + rng.normal(size=centres.shape))
    rows = rng.permutation(300)
    return HeadData(vectors, None, labels, NAMES, texts, 20.0, rows[:150], rows[150:200])


@pytest.fixture
def partition(task):
    test = np.setdiff1d(np.arange(300), np.concatenate([task.train, task.val]))
    none = np.zeros(0, np.int64)
    pairs = DuplicatePairs(none, none, np.zeros(0, np.float32))
    return Partition(task.train, task.val, LockedRows(test), (), pairs)


def run_all(task, partition, shots=(1, 8), n_seeds=3, methods=("prototype", "knn")):
    draws = draw_trials(task, partition, shots=shots, n_seeds=n_seeds)
    return [fit_trial(draw, methods, options={}) for draw in draws]


def test_each_draw_takes_its_shots_from_all_outside_the_test(task, partition):
    draws = draw_trials(task, partition, shots=(2, 8), n_seeds=2)
    assert [(d.shots, d.seed) for d in draws] == [(2, 0), (2, 1), (8, 0), (8, 1)]
    for draw in draws:
        own = draw.task
        assert np.bincount(own.labels[own.train]).tolist() == [draw.shots] * 3
        assert set(own.train) <= set(task.train) | set(task.val)
        assert len(own.val) == 0
    assert draws[0].task.train.tolist() != draws[1].task.train.tolist()


def test_means_and_deviations_are_those_of_the_runs(task, partition):
    scored = score_trials(run_all(task, partition), partition.test.open())
    assert scored["shots"] == [1, 8]
    assert scored["seeds"] == [0, 1, 2]
    assert set(scored["methods"]) == {"zero-shot", "prototype", "knn"}
    for by_shots in scored["methods"].values():
        for at in by_shots.values():
            for part in ("val", "test"):
                values = [run[part]["accuracy"] for run in at["runs"] if run[part]]
                if not values:  # a single image a class leaves none to hold out
                    assert at is by_shots["1"]
                    assert at[part]["accuracy"] == {"mean": None, "std": None}
                    continue
                assert at[part]["accuracy"]["mean"] == pytest.approx(np.mean(values))
                assert at[part]["accuracy"]["std"] == pytest.approx(np.std(values, ddof=1))
    zero_shot = scored["methods"]["zero-shot"]
    assert zero_shot["1"]["test"]["accuracy"] == zero_shot["8"]["test"]["accuracy"]
    assert zero_shot["1"]["test"]["accuracy"]["std"] == 0
    for run in scored["methods"]["prototype"]["8"]["runs"]:
        gain = run["test"]["accuracy"] - zero_shot["8"]["test"]["accuracy"]["mean"]
        assert run["against_zero_shot"]["difference"] == pytest.approx(gain)


def test_more_shots_help_class_means(task, partition):
    scored = score_trials(
        run_all(task, partition, shots=(1, 30), n_seeds=6, methods=("prototype",)),
        partition.test.open(),
    )
    one, many = (scored["methods"]["prototype"][n]["test"]["accuracy"]["mean"] for n in ("1", "30"))
    assert many > one + 0.02


def test_one_seed_has_no_deviation(task, partition):
    trials = run_all(task, partition, shots=(2,), n_seeds=1)
    scored = score_trials(trials, partition.test.open())
    assert scored["methods"]["knn"]["2"]["test"]["accuracy"]["std"] is None
    plot_learning_curve(scored)


def test_the_curve_and_its_table_show_the_means(task, partition, tmp_path):
    scored = score_trials(run_all(task, partition), partition.test.open())
    run = RunDir.create(tmp_path / "run", {})
    write_learning_curve(run, scored)
    lines = list(csv.DictReader((run.path / "few_shot.csv").read_text().splitlines()))
    assert len(lines) == 3 * 2 * 3
    assert {line["n_train"] for line in lines if line["shots"] == "8"} == {"24"}
    assert (run.path / "few_shot.svg").stat().st_size > 1000
    axes = plot_learning_curve(scored).axes[0]
    curves = {c.get_label(): c.lines[0].get_ydata() for c in axes.containers}
    expected = [scored["methods"]["knn"][n]["test"]["accuracy"]["mean"] for n in ("1", "8")]
    assert curves["knn"] == pytest.approx(100 * np.array(expected))
    assert axes.get_ylim()[1] <= 101


def test_a_class_with_fewer_images_than_shots_is_named_before_any_fit(task, partition):
    few = task.train[task.labels[task.train] != 2]
    some = task.train[task.labels[task.train] == 2][:3]
    scarce = replace(partition, train=np.concatenate([few, some]), val=few[:0])
    with pytest.raises(DataError, match="class 'wasp' has 3 images to draw from, 8 are needed"):
        draw_trials(task, scarce, shots=(1, 8), n_seeds=1)
    with pytest.raises(InputError, match="--seeds 0"):
        draw_trials(task, partition, shots=(1,), n_seeds=0)


def test_shots_are_read_and_sorted():
    assert parse_shots("16, 1,4") == (1, 4, 16)


@pytest.mark.parametrize("text", ["", "1,,2", "0", "-1", "two", "1.5", "²"])
def test_shots_that_are_no_positive_numbers_are_refused(text):
    with pytest.raises(InputError, match="positive whole numbers"):
        parse_shots(text)


def test_a_number_of_shots_counts_once():
    with pytest.raises(InputError, match="twice"):
        parse_shots("4,4")


def test_one_image_a_class_leaves_a_guess(task, partition):
    (draw,) = draw_trials(task, partition, shots=(1,), n_seeds=1)
    trial = fit_trial(draw, ("prototype", "discriminant", "linear"), options={})
    assert trial.chosen.answer.method == "linear"
    assert trial.chosen.answer.answer == "undecided"
    assert all(fitted.val is None for fitted in trial.chosen.fitted.values())
    assert "no image can be held out" in trial.chosen.notes[0]

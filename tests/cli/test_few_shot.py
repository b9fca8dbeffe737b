"""``cliptune fit --shots`` on real images."""

import csv

import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line


def test_a_learning_curve_and_a_classifier_of_the_most_shots(small_data, cache, tmp_path, answer):
    out = tmp_path / "run"
    arguments = ["fit", str(small_data), "--method", "linear", "--shots", "8,2", "--seeds", "2"]
    arguments += ["--cache-dir", str(cache), "--out", str(out), "--json"]
    result, messages = answer(arguments)
    few_shot = result["few_shot"]
    assert few_shot["shots"] == [2, 8]
    assert few_shot["n"] == 40
    assert set(few_shot["methods"]) == {"zero-shot", "linear"}
    kept = next(run for run in few_shot["methods"]["linear"]["8"]["runs"] if run["seed"] == 0)
    assert result["n_train"] == 16
    assert result["test"]["accuracy"] == kept["test"]["accuracy"]
    assert any(note.startswith("few-shot: 8 images") for note in result["notes"])
    assert "locked test" in messages
    parts = list(csv.DictReader((out / "partition.csv").read_text().splitlines()))
    assert {p: sum(row["part"] == p for row in parts) for p in ("train", "val", "test")} == {
        "train": 16,
        "val": 0,
        "test": 40,
    }
    assert CalibratedHead.load(str(out)).head.name == "linear"
    assert (out / "few_shot.png").is_file()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--shots", "64"], "class 'ant' has 40 images to draw from, 64 are needed"),
        (["--shots", "0"], "positive whole numbers"),
        (["--shots", "four"], "positive whole numbers"),
        (["--shots", "4", "--seeds", "0"], "--seeds 0"),
        (["--seeds", "3"], "without --shots"),
    ],
)
def test_wrong_shots_are_one_line_and_leave_nothing(
    options, expected, small_data, cache, tmp_path, capsys
):
    arguments = ["fit", str(small_data), "--method", "prototype", *options]
    arguments += ["--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()

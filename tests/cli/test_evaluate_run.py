"""``cliptune evaluate --run``, and what a run of ``fit`` shows of its data, on real images."""

import csv
import shutil

import pytest
from PIL import Image

from cliptune.cli import run_command_line


def test_a_classifier_scores_as_its_fit_said(fitted_linear, small_data, cache, tmp_path, answer):
    path, fitted = fitted_linear
    arguments = ["evaluate", str(small_data), "--run", str(path), "--json"]
    arguments += ["--cache-dir", str(cache), "--out"]
    result, messages = answer([*arguments, str(tmp_path / "out")])
    assert result["task"] == "fitted"
    assert result["method"] == "linear"
    for key in ("n", "accuracy", "interval", "balanced_accuracy", "log_loss", "ece"):
        assert result[key] == pytest.approx(fitted["test"][key]), key
    assert result["confusion"] == fitted["test"]["confusion"]
    change = fitted["against_zero_shot"]
    assert result["against_zero_shot"]["difference"] == pytest.approx(change["difference"])
    assert result["zero_shot"]["accuracy"] == pytest.approx(fitted["zero_shot"]["accuracy"])
    assert result["abstention"]["coverage"] > 0.5
    assert "flatter" not in messages
    for name in ("per_class.csv", "confusion.png", "predictions.parquet", "manifest.json"):
        assert (tmp_path / "out" / name).is_file()
    result, messages = answer([*arguments, str(tmp_path / "train"), "--split", "train"])
    assert result["n_learned_from"] == 80
    assert "80 of these 80 images were used to learn or choose" in messages


def test_classes_are_matched_by_name(fitted_linear, small_data, cache, tmp_path, answer, capsys):
    """Folders in another order give other numbers; the answers must be the same."""
    path, fitted = fitted_linear
    other = tmp_path / "other"
    for name, source in (("1 bee", "bees"), ("2 ant", "ants")):
        shutil.copytree(small_data / "val" / source, other / name)
    names = tmp_path / "names.json"
    names.write_text('{"1 bee": "bee", "2 ant": "ant"}')
    arguments = ["evaluate", str(other), "--run", str(path), "--json", "--cache-dir", str(cache)]
    arguments += ["--out", str(tmp_path / "out")]
    result, _ = answer([*arguments, "--class-names", str(names)])
    assert result["class_names"] == ["ant", "bee"]
    assert result["accuracy"] == fitted["test"]["accuracy"]
    assert result["confusion"] == fitted["test"]["confusion"]
    assert run_command_line([*arguments[:-1], str(tmp_path / "no")]) == 2
    captured = capsys.readouterr()
    assert "2 unknown to the classifier ('1 bee', '2 ant')" in captured.err
    assert "2 missing in the data ('ant', 'bee')" in captured.err
    assert not (tmp_path / "no").exists()


def test_a_run_brings_its_templates(fitted_linear, small_data, cache, tmp_path, capsys):
    arguments = [
        "evaluate",
        str(small_data),
        "--run",
        str(fitted_linear[0]),
        "--templates",
        "openai",
    ]
    assert run_command_line([*arguments, "--out", str(tmp_path / "no")]) == 2
    assert "--run brings its templates" in capsys.readouterr().err


@pytest.fixture
def flawed_data(small_data, tmp_path):
    """Three images of each class in the other's folder, and one test image in training too."""
    folder = tmp_path / "flawed"
    shutil.copytree(small_data, folder)
    planted = set()
    for name, other in (("ants", "bees"), ("bees", "ants")):
        for image in sorted((small_data / "train" / name).iterdir())[10:13]:
            shutil.move(folder / "train" / name / image.name, folder / "train" / other)
            planted.add(f"train/{other}/{image.name}")
    twin = sorted((folder / "val" / "bees").iterdir())[0]
    shutil.copy(twin, folder / "train" / "bees" / "twin.jpg")
    return folder, planted, f"val/bees/{twin.name}"


def test_wrong_labels_and_look_alikes_are_listed_and_shown(flawed_data, cache, tmp_path, answer):
    folder, planted, twin = flawed_data
    out = tmp_path / "run"
    arguments = ["fit", str(folder), "--method", "linear", "--json", "--cache-dir", str(cache)]
    result, messages = answer([*arguments, "--out", str(out)])
    found = list(csv.DictReader((out / "label_errors.csv").read_text().splitlines()))
    assert result["label_errors"] == {"n": len(found), "n_images": 81}
    assert len({line["id"] for line in found} & planted) >= 5
    assert len(found) <= 9
    assert all(line["label"] != line["suggested"] for line in found)
    pairs = list(csv.DictReader((out / "near_duplicates.csv").read_text().splitlines()))
    assert {"seen": "train/bees/twin.jpg", "test": twin, "similarity": "1.0000"} in pairs
    assert "near-duplicate" in messages
    for name in ("label_errors.jpg", "near_duplicates.jpg"):
        with Image.open(out / name) as sheet:
            assert min(sheet.size) > 150

"""``cliptune evaluate`` on real images: the scores, the run directory, and wrong input."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from cliptune.cli import run_command_line
from cliptune.runs import RunDir


def answer(arguments, capsys):
    code = run_command_line(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


@pytest.fixture
def hymenoptera(data_root, cache):
    def arguments(*more):
        folder = str(data_root / "hymenoptera_data")
        return ["evaluate", folder, "--split", "val", "--cache-dir", str(cache), "--json", *more]

    return arguments


def test_hymenoptera_zero_shot_with_evidence(hymenoptera, tmp_path, capsys):
    out = tmp_path / "run"
    templates = ("--templates", "single", "--templates", "simple")
    result = answer(hymenoptera("--out", str(out), *templates), capsys)
    expected = "task model templates n accuracy interval balanced_accuracy log_loss ece per_class"
    assert {*expected.split(), "confusion", "seconds", "images_per_second"} <= set(result)
    assert (result["task"], result["model"], result["n"]) == ("zero-shot", "lite", 153)
    assert result["accuracy"] >= 0.97
    low, high = result["interval"]
    assert 0.92 < low < result["accuracy"] < high <= 1
    assert [c["name"] for c in result["per_class"]] == ["ant", "bee"]
    assert [c["n"] for c in result["per_class"]] == [70, 83]
    assert set(result["template_sets"]) == {"single", "simple"}
    assert set(result["comparisons"]) == {"simple"}
    assert result["comparisons"]["simple"]["n"] == 153
    check_run(RunDir.open(out), result)
    # whatever was in the cache, the texts of "single" were not
    assert result["rows_checked"]["n"] >= 2
    assert result["rows_checked"]["largest_difference"] < 1e-4


def check_run(run, result):
    """The files of the run must agree with what was printed."""
    predictions = pq.read_table(run.path / "predictions.parquet").to_pydict()
    probabilities = np.asarray(predictions["single.probabilities"], np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # kept in single precision
    labels = np.asarray(predictions["label"])
    predicted = probabilities.argmax(axis=1)
    assert accuracy_score(labels, predicted) == pytest.approx(result["accuracy"])
    assert log_loss(labels, probabilities) == pytest.approx(result["log_loss"], rel=1e-4)
    assert confusion_matrix(labels, predicted).tolist() == result["confusion"]
    errors = (run.path / "misclassified.csv").read_text().splitlines()
    assert len(errors) == 1 + int((labels != predicted).sum())
    assert run.read_json("metrics.json") == result
    assert len(run.manifest["encoder"]["fingerprint"]) == 64
    check_computing(run, result)


def check_computing(run, result):
    """The engine is named, and how many rows were checked, in what is printed and kept."""
    assert result["engine"] in ("torch", "openvino", "onnx")
    for name in ("engine", "precision", "rows_checked"):
        assert run.manifest[name] == result[name]
    assert result["rows_checked"].keys() == {"n", "largest_difference"}


def test_a_second_run_embeds_nothing_and_says_the_same(hymenoptera, tmp_path, capsys):
    first = answer(hymenoptera("--out", str(tmp_path / "a")), capsys)
    second = answer(hymenoptera("--out", str(tmp_path / "b")), capsys)
    assert second["images_embedded"] == 0
    assert second["rows_checked"] == {"n": 0, "largest_difference": None}
    assert second["images_per_second"] is None
    assert second["log_loss"] == first["log_loss"]


def test_a_finished_run_is_not_overwritten(hymenoptera, tmp_path, capsys):
    answer(hymenoptera("--out", str(tmp_path / "a")), capsys)
    before = (tmp_path / "a" / "metrics.json").read_bytes()
    assert run_command_line(hymenoptera("--out", str(tmp_path / "a"))) == 2
    assert "finished run" in capsys.readouterr().err
    assert (tmp_path / "a" / "metrics.json").read_bytes() == before


def test_the_table_shows_intervals_and_where_the_run_is(hymenoptera, tmp_path, capsys):
    arguments = [a for a in hymenoptera("--out", str(tmp_path / "a")) if a != "--json"]
    assert run_command_line(arguments) == 0
    out = capsys.readouterr().out
    assert "153 images, 2 classes" in out
    assert "95 % interval" in out
    assert str(tmp_path / "a") in out.replace("\n", "")


def test_a_parquet_split_brings_its_class_names(data_root, cache, tmp_path, capsys):
    arguments = ["evaluate", str(data_root / "pacs/test.parquet"), "--where", "domain=photo"]
    arguments += ["--cache-dir", str(cache), "--json", "--out", str(tmp_path / "a")]
    result = answer(arguments, capsys)
    assert result["n"] == 98
    assert result["class_names"] == [
        "dog", "elephant", "giraffe", "guitar", "horse", "house", "person",
    ]  # fmt: skip
    assert result["accuracy"] > 0.7


def small_set(folder, data_root):
    for name in ("ants", "bees"):
        images = sorted((data_root / "hymenoptera_data/val" / name).iterdir())[:3]
        (folder / name).mkdir(parents=True)
        for image in images:
            shutil.copy(image, folder / name)
    return folder


def test_a_corrupt_image_stops_the_run_or_is_left_out(data_root, cache, tmp_path, capsys):
    folder = small_set(tmp_path / "data", data_root)
    broken = folder / "ants" / "broken.jpg"
    broken.write_bytes(next(p for p in folder.glob("bees/*")).read_bytes()[:3000])
    arguments = ["evaluate", str(folder), "--cache-dir", str(cache), "--json"]
    out = tmp_path / "run"
    assert run_command_line([*arguments, "--out", str(out)]) == 2
    assert "broken.jpg" in capsys.readouterr().err
    assert not out.exists()
    result = answer([*arguments, "--on-bad-image", "skip", "--out", str(out)], capsys)
    assert result["n"] == 6
    assert result["unreadable"][0]["image"].endswith("broken.jpg")
    assert result["unreadable"][0]["reason"]


@pytest.mark.parametrize(
    ("damage", "options", "expected"),
    [
        (lambda f: shutil.rmtree(f), [], "data"),
        (lambda f: [p.unlink() for p in f.rglob("*.jpg")], [], "no image"),
        (lambda f: shutil.rmtree(f / "ants"), [], "at least 2"),
        (lambda f: (f / "ANTS").mkdir(), [], "ANTS"),
        (lambda f: None, ["--split", "test"], "split"),
        (lambda f: None, ["--where", "domain"], "COLUMN=VALUE"),
        (lambda f: (f / "n.txt").write_text("ant\n"), ["--class-names", "n.txt"], "2"),
        (lambda f: (f / "file").touch(), ["--out", "file/run"], "cannot write"),
        (lambda f: None, ["--template", "a photo"], "exactly one '{}'"),
        (lambda f: None, ["--model", "lite2"], "lite"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    damage, options, expected, data_root, cache, tmp_path, capsys, monkeypatch
):
    folder = small_set(tmp_path / "data", data_root)
    damage(folder)
    monkeypatch.chdir(folder if folder.exists() else tmp_path)
    options = ["--out", str(tmp_path / "run"), *options]
    if options.count("--out") == 2:
        options = options[2:]
    assert run_command_line(["evaluate", str(folder), "--cache-dir", str(cache), *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert expected in captured.err
    assert not (tmp_path / "run").exists()


def test_unlabelled_images_cannot_be_scored(data_root, tmp_path, capsys):
    image = next((data_root / "hymenoptera_data/val/bees").iterdir())
    shutil.copy(image, tmp_path)
    assert run_command_line(["evaluate", str(tmp_path)]) == 2
    assert "label" in capsys.readouterr().err


def test_an_unknown_data_set_names_the_nearest(capsys):
    assert run_command_line(["evaluate", "hymenopter"]) == 2
    assert "hymenoptera" in capsys.readouterr().err


def test_what_a_killed_run_left_of_other_data_does_not_stay_among_new_files(
    small_data, cache, tmp_path, capsys, monkeypatch
):
    data = tmp_path / "data"
    shutil.copytree(small_data / "val", data)
    words = ["evaluate", str(data), "--cache-dir", str(cache), "--engine", "torch", "--json"]
    words += ["--out", str(tmp_path / "run")]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "finish", killed)
        assert run_command_line(words) == 130
    next((data / "ants").iterdir()).unlink()
    assert run_command_line(words) == 2
    assert "data_digest (" in capsys.readouterr().err.splitlines()[-1]


def test_a_class_without_images_is_an_answer_and_said(data_root, cache, tmp_path, capsys):
    folder = small_set(tmp_path / "data", data_root)
    for image in (folder / "ants").iterdir():
        image.unlink()
    arguments = ["evaluate", str(folder), "--cache-dir", str(cache), "--json"]
    assert run_command_line([*arguments, "--out", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["class_names"] == ["ant", "bee"]
    assert "no image here is of 'ant'" in captured.err

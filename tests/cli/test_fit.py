"""``cliptune fit`` on real images: the protocol, the choice, the classifier it leaves."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line
from cliptune.errors import NoTrunkError
from cliptune.report.runs import fit_document
from cliptune.results.fitted import FitResult
from cliptune.runs import RunDir
from cliptune.selection.methods import COMPARED


def test_heads_are_compared_and_one_is_recommended(small_data, cache, tmp_path, answer):
    out = tmp_path / "run"
    arguments = ["fit", str(small_data), "--json", "--cache-dir", str(cache), "--out", str(out)]
    result, messages = answer(arguments)
    assert "val (40 images) is the locked test" in messages
    assert set(result["methods"]) == set(COMPARED)
    assert result["recommended"] in COMPARED
    assert result["answer"] in ("train", "do-not-train", "undecided")
    opening = {"train": "Use ", "do-not-train": "Do not train", "undecided": "Too few labels"}
    assert result["recommendation"].startswith(opening[result["answer"]])
    assert result["margin"] == 0.01
    assert (result["labels_needed"] is None) or result["answer"] == "undecided"
    for name, scores in result["methods"].items():
        assert scores["test"]["n"] == 40, name
        held_out = scores["cross_validation"]
        assert held_out["n"] == 80, name
        assert (held_out["folds"], held_out["repeats"]) == (10, 6)
        assert held_out["interval"][0] <= held_out["accuracy"] <= held_out["interval"][1]
        assert set(scores) >= {"features", "settings", "seconds"}
        low, high = scores["test"]["interval"]
        assert low <= scores["test"]["accuracy"] <= high
        linear = result["methods"]["linear"]["test"]["accuracy"]
        change = scores["against_linear"]
        assert change["difference"] == pytest.approx(scores["test"]["accuracy"] - linear)
        assert change["low"] <= change["difference"] <= change["high"]
    best = result["methods"][result["recommended"]]
    assert best["test"]["accuracy"] >= 0.85
    expected = "method model run zero_shot val test epochs seconds trained_parameters"
    assert set(expected.split()) <= set(result)
    check_classifier(out, result)


def test_a_table_holds_each_method_against_linear(small_data, cache, tmp_path, capsys):
    arguments = ["fit", str(small_data), "--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert run_command_line(arguments) == 0
    _, table = capsys.readouterr().out.split("Differences on the locked test")
    rows = {line.split()[0]: line for line in table.splitlines() if line.split()}
    assert "from linear" in rows["method"]
    result = json.loads((tmp_path / "run" / "metrics.json").read_text())
    change = result["methods"]["knn"]["against_linear"]
    low, high = (f"{100 * change[key]:+.1f}" for key in ("low", "high"))
    assert f"{100 * change['difference']:+.1f} ({low} to {high})" in rows["knn"]
    (section,) = fit_document(RunDir.open(tmp_path / "run")).sections
    tables = {table.name: table for table in section.tables}
    cells = {row[0]: row[1]["value"] for row in tables["against_linear"].rows}
    assert cells["knn"] == change["difference"]
    assert "linear" not in cells


def check_classifier(out, result):
    """What the run directory holds must give the numbers that were printed."""
    run = RunDir.open(out)
    assert run.read_json("metrics.json") == {
        k: v for k, v in result.items() if k != "seconds_total"
    }
    for name in ("engine", "precision", "rows_checked"):
        assert run.manifest[name] == result[name]
    predictions = pq.read_table(out / "predictions.parquet").to_pydict()
    shipped = np.asarray(predictions[f"{result['method']}.probabilities"])
    right = shipped.argmax(axis=1) == np.asarray(predictions["label"])
    assert right.mean() == pytest.approx(result["test"]["accuracy"])
    parts = list(csv.DictReader((out / "partition.csv").read_text().splitlines()))
    counts = {p: sum(row["part"] == p for row in parts) for p in ("train", "val", "test")}
    assert counts == {"train": 80, "val": 0, "test": 40}
    assert len({row["id"] for row in parts}) == 120
    card = (out / "model_card.md").read_text()
    assert f"| {result['method']} | 40 |" in card
    assert CalibratedHead.load(run).class_names == ("ant", "bee")


def test_dual_linear_starts_at_zero_shot(small_data, cache, tmp_path, answer):
    arguments = ["fit", str(small_data), "--method", "dual-linear", "--epochs", "2", "--json"]
    arguments += ["--cache-dir", str(cache), "--out"]
    result, _ = answer([*arguments, str(tmp_path / "dual")])
    zero_shot = ["fit", str(small_data), "--method", "zero-shot", "--json"]
    zero_shot += ["--cache-dir", str(cache), "--out", str(tmp_path / "zero")]
    zero, _ = answer(zero_shot)
    start = result["epochs"][0]
    assert start["epoch"] == 0
    assert start["train_accuracy"] == pytest.approx(zero["val"]["accuracy"], abs=1e-6)
    assert result["zero_shot"] == {
        k: v for k, v in zero["test"].items() if k not in ("per_class", "confusion")
    }


def test_a_threshold_for_a_wanted_precision_is_kept(fitted_linear):
    path, result = fitted_linear
    assert result["threshold"]["precision"] >= 0.9
    loaded = CalibratedHead.load(str(path))
    assert loaded.threshold.probability == result["threshold"]["probability"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--method", "liner"], "nearest: linear"),
        (["--method", "linear", "--lr", "0.1"], "has no option lr"),
        (["--lr", "0.1"], "--method all takes no --lr"),
        (["--method", "dual-linear", "--lr", "-1"], "--lr -1 came"),
        (["--method", "linear", "--val", "1.5"], "1.5"),
        (["--method", "linear", "--abstain-precision", "2"], "precision 2"),
        (["--templates", "single", "--templates", "openai"], "one template set"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(
    options, expected, small_data, cache, tmp_path, capsys
):
    arguments = ["fit", str(small_data), *options, "--cache-dir", str(cache)]
    assert run_command_line([*arguments, "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_a_run_classifies_new_images(small_data, cache, tmp_path, answer, capsys, data_root):
    run = str(tmp_path / "run")
    arguments = ["fit", str(small_data), "--method", "attention", "--epochs", "1", "--json"]
    answer([*arguments, "--cache-dir", str(cache), "--out", run])
    bee = data_root / "hymenoptera_data/val/bees/10870992_eebeeb3a12.jpg"
    arguments = ["predict", str(bee), "--json", "--cache-dir", str(cache)]
    result, _ = answer([*arguments, "--run", run])
    assert result["predictions"][0]["labels"][0]["label"] == "bee"
    assert result["predictions"][0]["abstains"] is False
    for options, expected in [
        (["--run", run, "--labels", "ant,bee"], "--labels"),
        (["--run", str(small_data)], "manifest.json"),
        ([], "--labels or --run"),
    ]:
        assert run_command_line([*arguments, *options]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert expected in captured.err


@pytest.fixture(params=["linear", "discriminant", "prototype"])
def trunk_run(request, small_data, cache, tmp_path, answer):
    run = str(tmp_path / "trunk")
    arguments = ["fit", str(small_data), "--method", request.param, "--features", "trunk"]
    result, _ = answer([*arguments, "--json", "--cache-dir", str(cache), "--out", run])
    return run, result


def test_a_run_over_trunk_features_scores_and_classifies(
    trunk_run, small_data, cache, tmp_path, answer, data_root
):
    run, fitted = trunk_run
    assert fitted["options"] == {"features": "trunk"}
    bias = 0 if fitted["method"] == "prototype" else 1
    assert fitted["trained_parameters"] == 2 * (384 + 1280 + bias)
    assert fitted["test"]["accuracy"] >= 0.85
    assert fitted["features"] == "both"
    head = CalibratedHead.load(run).head
    assert head.get_params()["features"] == "both"
    rows = head.prototypes_ if fitted["method"] == "prototype" else head.weight_
    assert rows.shape == (2, 384 + 1280)
    arguments = ["evaluate", str(small_data), "--run", run, "--json", "--cache-dir", str(cache)]
    scores, _ = answer([*arguments, "--out", str(tmp_path / "scores")])
    assert scores["accuracy"] == fitted["test"]["accuracy"]
    assert scores["log_loss"] == pytest.approx(fitted["test"]["log_loss"], abs=1e-4)
    bee = data_root / "hymenoptera_data/val/bees/10870992_eebeeb3a12.jpg"
    arguments = ["predict", str(bee), "--run", run, "--json", "--cache-dir", str(cache)]
    result, _ = answer(arguments)
    assert result["predictions"][0]["labels"][0]["label"] == "bee"


@pytest.mark.parametrize("method", ["linear", "discriminant"])
def test_features_are_chosen_on_held_out_images(small_data, cache, tmp_path, answer, method):
    common = ["fit", str(small_data), "--method", method, "--json", "--cache-dir", str(cache)]
    found = {
        name: answer([*common, *options, "--out", str(tmp_path / name)])[0]
        for name, options in {
            "auto": [],
            "embedding": ["--features", "embedding"],
            "penultimate": ["--features", "penultimate"],
            "both": ["--features", "trunk"],
        }.items()
    }
    losses = found["auto"]["feature_losses"]
    assert set(losses) == {"embedding", "penultimate", "both"}
    # So few images do not show that others are better than those before the projection.
    best = found["penultimate"]
    assert best["feature_losses"] == {}
    assert found["auto"]["features"] == best["features"]
    for part in ("val", "test"):
        assert found["auto"][part]["accuracy"] == best[part]["accuracy"]
        assert found["auto"][part]["log_loss"] == pytest.approx(best[part]["log_loss"], abs=1e-4)
    head = CalibratedHead.load(str(tmp_path / "auto")).head
    assert head.get_params()["features"] == "penultimate"


def test_an_encoder_without_a_projection_gets_the_embedding(
    small_data, cache, tmp_path, capsys, monkeypatch
):
    def refuse(encoder, pixels):
        raise NoTrunkError("no features before a projection")

    monkeypatch.setattr("cliptune.encoders.torch_encoder.TorchEncoder.encode_trunk", refuse)
    common = ["fit", str(small_data), "--method", "linear", "--engine", "torch", "--json"]
    common += ["--cache-dir", str(tmp_path / "cache")]
    assert run_command_line([*common, "--out", str(tmp_path / "auto")]) == 0
    captured = capsys.readouterr()
    assert "no features before a projection" in captured.err
    result = json.loads(captured.out)
    assert result["features"] == "embedding"
    assert result["feature_losses"] == {}
    asked = [*common, "--features", "trunk", "--out", str(tmp_path / "trunk")]
    assert run_command_line(asked) == 2
    assert not (tmp_path / "trunk").exists()


def test_a_few_images_over_features_before_the_projection(small_data, cache, tmp_path, answer):
    arguments = ["fit", str(small_data), "--method", "linear", "--features", "trunk"]
    arguments += ["--shots", "2,4", "--json", "--cache-dir", str(cache)]
    result, _ = answer([*arguments, "--out", str(tmp_path / "few")])
    few = result["few_shot"]["methods"]
    assert set(few) == {"zero-shot", "linear"}
    assert few["linear"]["4"]["runs"][0]["features"] == "both"
    assert result["features"] == "both"


def test_one_image_a_class_among_others(small_data, cache, tmp_path, answer, capsys):
    """Of one none can be held out, which the blend needs."""
    out = tmp_path / "few"
    arguments = ["fit", str(small_data), "--shots", "1,3", "--seeds", "2", "--out", str(out)]
    result, _ = answer([*arguments, "--json", "--cache-dir", str(cache)])
    few = result["few_shot"]["methods"]
    assert set(few["blend"]) == {"3"}
    assert set(few["linear"]) == set(few["zero-shot"]) == {"1", "3"}
    assert (out / "few_shot.png").is_file()
    assert run_command_line(["report", str(out), "--out", str(tmp_path / "page.html")]) == 0
    (row,) = [one for one in FitResult.from_dict(result).few_shot.table().rows if one[0] == "blend"]
    assert row[1] == ""
    assert row[2].endswith("%") or "±" in row[2]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("knn", "method 'knn' has no option features"),
        ("zero-shot", "method 'zero-shot' has no option features"),
        ("all", "takes no --features"),
        ("ladder", "takes no --features"),
        ("lora", "method lora trains the model and takes no --features"),
        ("dual-linear", "method 'dual-linear' has no option features"),
    ],
)
def test_a_method_that_has_no_trunk_features_says_so(
    small_data, tmp_path, capsys, method, expected
):
    arguments = ["fit", str(small_data), "--method", method, "--features", "trunk"]
    assert run_command_line([*arguments, "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_one_class_is_nothing_to_learn(small_data, cache, tmp_path, capsys):
    shutil.copytree(small_data / "train" / "ants", tmp_path / "data" / "ants")
    arguments = ["fit", str(tmp_path / "data"), "--cache-dir", str(cache)]
    assert run_command_line(arguments) == 2
    assert "at least 2" in capsys.readouterr().err


def test_classes_can_be_balanced(small_data, cache, tmp_path, answer):
    common = ["fit", str(small_data), "--method", "blend", "--json", "--cache-dir", str(cache)]
    result, _ = answer([*common, "--balance", "prior", "--out", str(tmp_path / "run")])
    assert result["settings"]["linear"]["balance"] == "prior"
    assert CalibratedHead.load(tmp_path / "run").head.linear["balance"] == "prior"


def test_methods_can_be_compared_by_macro_f1(small_data, cache, tmp_path, answer):
    common = ["fit", str(small_data), "--json", "--cache-dir", str(cache)]
    result, _ = answer([*common, "--select", "macro-f1", "--out", str(tmp_path / "f1")])
    assert result["select"] == "macro-f1"
    assert 0.8 < result["score"] <= 1
    if result["answer"] != "do-not-train":
        assert "of macro F1" in result["recommendation"]

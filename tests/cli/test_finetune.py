"""``cliptune fit`` that trains the model itself: real images, a tiny model of the real kind."""

import csv
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line
from cliptune.runs import RunDir


@pytest.fixture(autouse=True)
def shared_encoders():
    """Training moves weights: every command here loads its own."""


@pytest.fixture
def fit_arguments(small_data, cache, tiny_model):
    def make(method, out, *more):
        start = ["fit", str(small_data), "--method", method, "--model", str(tiny_model)]
        for name, value in (("--epochs", "2"), ("--batch-size", "32")):
            start += [] if name in more else [name, value]
        return [*start, "--cache-dir", str(cache), "--json", "--out", str(out), *more]

    return make


@pytest.fixture
def fit(fit_arguments, answer):
    def run(method, out, *more):
        return answer(fit_arguments(method, out, "--no-check", *more))

    return run


RATES = {"full": "1e-3", "lora": "1e-2", "head-then-full": "image=1e-3,head=1e-2"}


@pytest.mark.parametrize("method", RATES)
def test_a_run_is_a_classifier_with_its_own_encoder(method, fit, answer, tmp_path, cache):
    out = tmp_path / "run"
    result, messages = fit(method, out, "--lr", RATES[method])
    assert "val (40 images) is the locked test" in messages
    assert "image.block1" in messages
    keys = "method model run zero_shot val test epochs seconds trained_parameters interpolation"
    assert set(keys.split()) <= set(result)
    assert [record["epoch"] for record in result["epochs"]] == [0, 1, 2]
    for record in result["epochs"]:
        assert set(record) >= {"train", "val", "loss", "seconds", "learning_rates"}
        assert record["val"]["n"] == 16
        assert record["val"]["interval"][0] <= record["val"]["accuracy"]
    assert [point["alpha"] for point in result["interpolation"]["curve"]] == [
        step / 10 for step in range(11)
    ]
    assert result["test"]["n"] == result["zero_shot"]["n"] == 40
    check_run(out, result, method)
    check_evaluation(out, result, answer, cache)


def check_run(out, result, method):
    run = RunDir.open(out)
    assert not (out / "checkpoint").exists()
    assert (result["engine"], result["precision"]) == ("torch", "fp32")
    assert result["rows_checked"]["n"] >= 8  # images and texts by the trained weights are new
    assert run.manifest["rows_checked"] == result["rows_checked"]
    classifier = CalibratedHead.load(run)
    assert classifier.encoder.weights_in_run
    assert classifier.head.name == ("linear" if method == "head-then-full" else "zero-shot")
    predictions = pq.read_table(out / "predictions.parquet").to_pydict()
    shipped = np.asarray(predictions[f"{method}.probabilities"])
    right = shipped.argmax(axis=1) == np.asarray(predictions["label"])
    assert right.mean() == pytest.approx(result["test"]["accuracy"])
    parts = list(csv.DictReader((out / "partition.csv").read_text().splitlines()))
    assert len({row["id"] for row in parts}) == 120
    assert f"trained by {method}" in (out / "model_card.md").read_text()


def check_evaluation(out, result, answer, cache):
    """The weights in the run, loaded again, say what the run says."""
    predicted = pq.read_table(out / "predictions.parquet").to_pydict()
    images = [f"{result['data']}/{image}" for image in predicted["id"][:4]]
    asked = ["predict", *images, "--run", str(out), "--json"]
    found, _ = answer([*asked, "--cache-dir", str(cache)])
    names = result["class_names"]
    for row, prediction in enumerate(found["predictions"]):
        said = {entry["label"]: entry["probability"] for entry in prediction["labels"]}
        expected = predicted[f"{result['method']}.probabilities"][row]
        assert [said[name] for name in names] == pytest.approx(expected, abs=1e-5)


def test_images_enough_are_embedded_by_an_engine_before_and_after(
    fit_arguments, answer, tmp_path, cache, monkeypatch
):
    """The engine has the weights as they were, then those that were trained."""
    from cliptune.encoders.engines import opening
    from cliptune.encoders.engines.trial import Trial

    monkeypatch.setattr(opening, "_WORTH_IMAGES_OF_A_RUN", 8)
    monkeypatch.setattr(Trial, "judge", lambda *_, **__: "taken, whatever it gains")
    found, graphs = {}, {}
    for engine, words in (("torch", ["--engine", "torch"]), ("openvino", [])):
        out, asked = tmp_path / engine, ("--epochs", "1", "--lr", "1e-3", *words)
        result, _ = answer(fit_arguments("full", out, *asked))
        assert (result["engine"], result["precision"]) == (engine, "fp32")
        rows = pq.read_table(out / "predictions.parquet").to_pydict()["full.probabilities"]
        graphs[engine] = set(cache.glob("engines/*/openvino/image.xml"))
        found[engine] = result, np.asarray(rows)
        asked = ["evaluate", result["data"], "--run", str(out), "--split", "val", *words]
        again, _ = answer([*asked, "--json", "--cache-dir", str(cache)])
        assert again["accuracy"] == result["test"]["accuracy"]
        assert again["images_embedded"] == 0, "the rows of the training's end are kept"
    assert len(graphs["openvino"] - graphs["torch"]) == 2
    (ours, rows), (theirs, expected) = found["openvino"], found["torch"]
    np.testing.assert_allclose(rows, expected, atol=1e-3)
    assert ours["zero_shot"]["accuracy"] == theirs["zero_shot"]["accuracy"]
    assert ours["epochs"][1]["loss"] == pytest.approx(theirs["epochs"][1]["loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "method"),
    [
        (["--train", "image.last1,head"], "head-then-full"),
        (["--unfreeze", "0:head"], "head-then-full"),
        (["--lr", "head=1e-2,image=1e-5,text=0"], "head-then-full"),
        (["--train", "image.last1"], "full"),
        ([], "full"),
    ],
)
def test_without_a_method_a_head_that_is_named_trains(
    words, method, small_data, cache, tiny_model, tmp_path, answer
):
    asked = [str(small_data), "--model", str(tiny_model), "--batch-size", "32", *words, "--json"]
    asked += ["--cache-dir", str(cache)]
    result, _ = answer(
        ["finetune", *asked, "--epochs", "1", "--no-check", "--out", str(tmp_path / "run")]
    )
    assert result["method"] == method
    looked, _ = answer(["check", *asked])
    assert looked["method"] == method


def test_epoch_0_is_zero_shot_and_watched_data_are_scored_before_and_after(
    fit, answer, tmp_path, cache, small_data, tiny_model
):
    result, _ = fit("full", tmp_path / "run", "--watch", str(small_data), "--epochs", "1")
    asked = ["evaluate", str(small_data), "--split", "val", "--model", str(tiny_model), "--json"]
    zero_shot, _ = answer([*asked, "--cache-dir", str(cache)])
    assert result["zero_shot"]["accuracy"] == zero_shot["accuracy"]
    watched = result["watched"][str(small_data)]
    assert watched["before"]["n"] == watched["after"]["n"] == 40
    assert watched["before"]["accuracy"] == result["zero_shot"]["accuracy"]
    assert set(result["epochs"][1]["watch"]) == {str(small_data)}


def test_checks_come_first_and_stay_with_the_run(fit_arguments, answer, tmp_path):
    result, _ = answer(fit_arguments("full", tmp_path / "run", "--epochs", "1"))
    names = {check["name"]: check["status"] for check in result["checks"]}
    assert names["initial_loss"] == "passed"
    assert "failed" not in names.values()
    run = RunDir.open(tmp_path / "run")
    assert run.read_json("checks.json")["checks"] == result["checks"]
    assert (run.path / "what-the-model-sees.jpg").stat().st_size > 10_000


def interrupted(arguments, monkeypatch, after):
    """Run a command whose process would be killed after some steps."""
    from cliptune.finetuning.progress import Progress

    class Killed(BaseException):
        pass

    real = Progress.add_step

    def add_step(self, loss, seconds):
        real(self, loss, seconds)
        if self.step == after:
            raise Killed

    monkeypatch.setattr(Progress, "add_step", add_step)
    with pytest.raises(Killed):
        run_command_line(arguments)
    monkeypatch.setattr(Progress, "add_step", real)


def test_an_interrupted_run_is_taken_up_and_ends_the_same(
    fit, fit_arguments, answer, tmp_path, monkeypatch, capsys
):
    from safetensors.numpy import load_file

    whole, _ = fit("full", tmp_path / "whole", "--checkpoint-seconds", "0")
    out = tmp_path / "cut"
    arguments = fit_arguments("full", out, "--no-check", "--checkpoint-seconds", "0")
    interrupted(arguments, monkeypatch, after=3)
    assert not (out / "manifest.json").exists()
    capsys.readouterr()
    other = fit_arguments("full", out, "--no-check", "--lr", "0.5", "--batch-size", "16")
    assert run_command_line([*other, "--checkpoint-seconds", "0"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "options.batch_size (32 there, 16 here)" in message
    assert "options.learning_rate (None there, 0.5 here)" in message
    position = arguments.index("--out")
    resumed, messages = answer(
        [*arguments[:position], *arguments[position + 2 :], "--resume", str(out)]
    )
    assert "taken up after step 3" in messages
    first, second = (
        load_file(tmp_path / name / "encoder.safetensors") for name in ("whole", "cut")
    )
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert resumed["test"] == whole["test"]
    assert run_command_line([*arguments, "--resume", str(out)]) == 2
    assert "is finished" in capsys.readouterr().err


def swap_an_image(folder):
    """Take one training image away and put another, a copy of a validation image, in."""
    images = sorted((folder / "train" / "ants").iterdir())
    shutil.copy(next((folder / "val" / "ants").iterdir()), images[0].with_name("zz.jpg"))
    images[5].unlink()
    return images[5].name, "zz.jpg"


@pytest.mark.parametrize("method", RATES)
def test_a_run_goes_on_with_the_images_of_its_start_only(
    method, fit_arguments, small_data, tmp_path, monkeypatch, capsys
):
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    arguments = fit_arguments(method, tmp_path / "run", "--no-check", "--epochs", "2")
    arguments[1] = str(data)
    interrupted(arguments, monkeypatch, after=3)  # two steps are an epoch
    before = (tmp_path / "run" / "checkpoint" / "state.safetensors").read_bytes()
    removed, added = swap_an_image(data)
    capsys.readouterr()
    assert run_command_line(arguments) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"1 removed ('train/ants/{removed}')" in message
    assert f"1 added ('train/ants/{added}')" in message
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").read_bytes() == before


def test_a_run_of_a_version_that_recorded_no_images_is_refused(
    fit_arguments, tmp_path, monkeypatch, capsys
):
    arguments = fit_arguments("full", tmp_path / "run", "--no-check")
    interrupted(arguments, monkeypatch, after=3)
    (tmp_path / "run" / "checkpoint" / "images.parquet").unlink()
    capsys.readouterr()
    assert run_command_line(arguments) == 2
    assert "no readable record of the images" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--train", "imagee"], "unknown group 'imagee'; nearest: image"),
        (["--freeze", "image", "--lr", "image=1e-3"], "for a group that is frozen"),
        (["--freeze", "all"], "nothing is left to train"),
        (["--batch-size", "1"], "without negatives"),
        (["--batch-size", "100"], "larger than the 80 images"),
        (["--batch-size", "many"], "expected a whole number"),
        (["--lr", "image=fast"], "not of the form GROUP=NUMBER"),
        (["--rank", "4"], "they belong to --method lora"),
        (["--epochs", "0"], "epochs 0"),
        (["--shots", "4"], "takes no --shots"),
        (["--resume", "nowhere"], "--resume nowhere and --out"),
        (["--track", "paper"], "unknown tracker 'paper'"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(
    options, expected, fit_arguments, tmp_path, capsys
):
    arguments = fit_arguments("full", tmp_path / "run", "--no-check", *options)
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not (tmp_path / "run").exists()


def test_options_of_training_do_not_go_with_a_head(fit_arguments, tmp_path, capsys):
    arguments = fit_arguments("linear", tmp_path / "run", "--freeze", "text")
    assert run_command_line(arguments) == 2
    assert "trains a head and takes no --batch-size, --freeze" in capsys.readouterr().err


def test_there_is_nothing_to_resume(small_data, tmp_path, capsys):
    asked = ["fit", str(small_data), "--method", "full", "--resume", str(tmp_path / "none")]
    assert run_command_line(asked) == 2
    assert "there is no unfinished run" in capsys.readouterr().err

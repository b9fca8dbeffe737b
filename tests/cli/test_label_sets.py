"""Several labels an image, from the table to the report, on words of real captions."""

import hashlib
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sklearn.metrics import average_precision_score
from torchmetrics.functional.classification import multilabel_average_precision

from cliptune.cli import run_command_line

WORDS = ("dog", "girl", "man", "water")


@pytest.fixture(scope="module")
def cache(label_cache):
    return label_cache


@pytest.fixture(scope="module")
def fitted(fitted_labels):
    return fitted_labels


@pytest.fixture
def ask(capsys, cache):
    def run(*words):
        code = run_command_line([*map(str, words), "--cache-dir", str(cache), "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if captured.out else None, captured.err

    return run


def test_a_classifier_beats_zero_shot_and_its_scores_are_those_of_its_predictions(fitted):
    result = json.loads((fitted / "metrics.json").read_text())
    assert set(result["methods"]) == {"zero-shot", "discriminant", "linear"}
    assert result["answer"] == "train"
    assert result["n_train"] == 200
    table = pq.read_table(fitted / "predictions.parquet")
    names = json.loads(table.schema.metadata[b"cliptune.class_names"])
    assert names == list(WORDS)
    truth = np.array([[n in labels for n in names] for labels in table["labels"].to_pylist()])
    for name, one in result["methods"].items():
        scores = np.array(table[f"probabilities_{name}"].to_pylist())
        expected = average_precision_score(truth, scores, average="macro")
        assert one["test"]["mean_average_precision"]["value"] == pytest.approx(expected)
        peer = multilabel_average_precision(
            torch.from_numpy(scores), torch.from_numpy(truth.astype(np.int64)), num_labels=4
        )
        assert float(peer) == pytest.approx(expected, rel=1e-6)
    best = result["methods"][result["recommended"]]["test"]["mean_average_precision"]["value"]
    assert best > result["methods"]["zero-shot"]["test"]["mean_average_precision"]["value"]


def test_the_run_scores_the_test_as_its_fit_said(fitted, captioned, ask, tmp_path):
    code, found, _ = ask("evaluate", captioned, "--run", fitted, "--out", tmp_path / "out")
    assert code == 0
    said = json.loads((fitted / "metrics.json").read_text())["test"]
    assert found["metrics"]["n"] == said["n"] == 80
    for key in ("mean_average_precision", "micro_f1", "macro_f1"):
        assert found["metrics"][key]["value"] == pytest.approx(said[key]["value"], abs=1e-6)


def test_zero_shot_is_scored_without_a_run(captioned, ask, tmp_path):
    code, found, _ = ask("evaluate", captioned, "--out", tmp_path / "out")
    assert (code, found["method"], found["metrics"]["n"]) == (0, "zero-shot", 80)
    assert found["metrics"]["mean_average_precision"]["value"] > 0.3


def test_each_label_of_a_picture_has_a_probability_of_its_own(fitted, data_root, ask):
    table = pq.read_table(data_root / "flickr8k/test.parquet")
    dog = next(r for r in table.to_pylist() if all("dog" in c for c in r["captions"]))
    picture = fitted.parent / "dog.jpg"
    picture.write_bytes(dog["image"]["bytes"])
    code, found, _ = ask("predict", picture, "--run", fitted)
    assert code == 0
    one = found["predictions"][0]
    assert one["labels"][0]["label"] == "dog"
    assert "dog" in one["present"]
    assert 0 < sum(label["probability"] for label in one["labels"]) != 1


def test_a_report_shows_every_class(fitted, captioned, ask, tmp_path, cache):
    ask("evaluate", captioned, "--out", tmp_path / "evaluated")
    for run in (fitted, tmp_path / "evaluated"):
        assert run_command_line(["report", str(run), "--out", str(tmp_path / "page.html")]) == 0
        page = (tmp_path / "page.html").read_text()
        assert all(word in page for word in WORDS)
        (tmp_path / "page.html").unlink()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "attention"), "--method attention came, but the images may have several"),
        (("--shots", "4"), "--shots came, but the images may have several labels"),
        (("--select", "macro-f1"), "--select came"),
        (("--balance", "loss"), "--balance came"),
        (("--class-thresholds",), "--class-thresholds came"),
        (("--unlabelled", "."), "--unlabelled came"),
    ],
)
def test_what_has_no_meaning_for_several_labels_is_refused(captioned, ask, tmp_path, options, says):
    code, _, said = ask("fit", captioned, "--out", tmp_path / "run", *options)
    assert code == 2
    assert says in said.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_label_of_one_image_cannot_be_learned(captioned, ask, tmp_path):
    rows = pq.read_table(captioned / "train.parquet").slice(0, 40).to_pylist()
    for row in rows:
        row["labels"] = [name for name in row["labels"] if name != "girl"]
    rows[3]["labels"].append("girl")
    table = pa.Table.from_pylist(rows, pq.read_schema(captioned / "train.parquet"))
    pq.write_table(table, tmp_path / "train.parquet")
    shutil.copy(captioned / "test.parquet", tmp_path)
    code, _, said = ask("fit", tmp_path, "--out", tmp_path / "run")
    assert code == 2
    assert "too few of 'girl' (1)" in said


@pytest.mark.parametrize("array", ["slope", "threshold", "weight"])
def test_an_altered_classifier_is_refused(fitted, data_root, ask, tmp_path, array):
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    arrays = load_file(run / "head.safetensors")
    arrays[array] = -arrays[array] if array != "weight" else arrays[array][:, :2]
    save_file(arrays, run / "head.safetensors")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"]["head.safetensors"] = hashlib.sha256(
        (run / "head.safetensors").read_bytes()
    ).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))
    picture = next((data_root / "hymenoptera_data/val/ants").iterdir())
    code, _, said = ask("predict", picture, "--run", run)
    assert code == 2
    assert "head.safetensors" in said


def test_other_commands_say_what_to_use(fitted, ask):
    from cliptune.errors import RunError
    from cliptune.workflows.classifier import load_classifier

    with pytest.raises(RunError, match="answers several labels an image"):
        load_classifier(fitted)


@pytest.mark.parametrize(
    ("labels", "splits", "says"),
    [
        ([["a", "b"]], None, "expected at least 2"),
        ([["a"], ["b"], ["a", "b"], []], ["train"] * 3 + ["test"], "expected at least 2"),
        ([["a"], ["b"], ["a", "b"], [], []], ["train"] * 3 + ["test"] * 2, "has a label"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_an_image_is_embedded(
    labels, splits, says, make_tree, ask, tmp_path, monkeypatch
):
    from cliptune.features import FeatureStore

    folder = make_tree(*(f"{n}.png" for n in range(len(labels))))
    rows = [{"image": f"{n}.png", "labels": own} for n, own in enumerate(labels)]
    for row, split in zip(rows, splits or [], strict=bool(splits)):
        row["split"] = split
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.delattr(FeatureStore, "features")
    for command in ("evaluate", "fit"):
        code, _, said = ask(command, folder / "rows.jsonl", "--out", tmp_path / "run")
        assert code == 2
        assert not (tmp_path / "run").exists()
        assert command == "fit" or says in said


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([["a", "b"], ["b"], ["a"], ["b"]], "too few of 'a' (1)"),
        ([["b"], ["b"], ["a", "b"], ["a", "b"]], "every image to learn from is labelled 'b'"),
    ],
)
def test_counts_of_labels_are_looked_at_before_an_image_is_embedded(
    labels, says, make_tree, ask, tmp_path, monkeypatch
):
    from cliptune.features import FeatureStore

    own = labels if "every" in says else labels[:2]
    rows = [{"image": f"{n}.png", "labels": one, "split": "train"} for n, one in enumerate(own)]
    rows += [{"image": f"{n}.png", "labels": ["a"], "split": "test"} for n in (len(own),)]
    folder = make_tree(*(row["image"] for row in rows))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.delattr(FeatureStore, "features")
    code, _, said = ask("fit", folder / "rows.jsonl", "--out", tmp_path / "run")
    assert code == 2
    assert says in said

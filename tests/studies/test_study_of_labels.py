"""A study of images that may have several labels, on words of real captions."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score

import cliptune
from cliptune.cli import run_command_line
from cliptune.features import FeatureStore

ANSWERED = ("data", "top5", "zero-shot", "heads", "ship")
WORDS = ("dog", "girl", "man", "water")


@pytest.fixture(scope="module")
def ask(label_cache):
    def run(*words):
        return run_command_line([*map(str, words), "--cache-dir", str(label_cache)])

    return run


@pytest.fixture(scope="module")
def studied(captioned, ask, tmp_path_factory):
    """One study that several tests look at."""
    out = tmp_path_factory.mktemp("studies") / "labels"
    assert ask("study", captioned, "--budget", "30m", "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def result(studied):
    return json.loads((studied / "study.json").read_text())


def shipped(result):
    recommended = result["sections"]["ship"]["numbers"]["recommended"]
    methods = result["sections"]["ship"]["numbers"]["methods"]
    return next(one for one in methods if one["run"] == recommended["run"])


def test_every_section_answers_or_says_that_it_takes_one_label(result):
    sections = result["sections"]
    assert tuple(name for name, one in sections.items() if one["skipped"] is None) == ANSWERED
    for name, one in sections.items():
        if name not in ANSWERED:
            assert (
                one["skipped"] == "it takes one label an image, and these images may have several"
            )
    assert result["answer_title"] == "What to ship"
    assert result["answer"].startswith("Take ")
    assert result["tiles"][0]["title"] == "Zero-shot, mAP"


def test_labels_are_counted_by_what_images_are_for(result, captioned):
    numbers = result["sections"]["data"]["numbers"]
    table = cliptune.open_images(str(captioned))
    held = [{table.class_names[code] for code in labels or ()} for labels in table.label_sets]
    is_test = table.splits == "test"
    for row in numbers["counts"]:
        has = np.array([row["class"] in labels for labels in held])
        assert row["training"] == (has & ~is_test).sum()
        assert row["locked test"] == (has & is_test).sum()
    assert numbers["images_of_several"] == sum(len(labels) > 1 for labels in held)
    pair = numbers["pairs"][0]
    assert pair["images"] == sum(set(pair["labels"]) <= labels for labels in held)


def test_what_is_shipped_has_the_score_that_is_said(studied, result, captioned, ask, tmp_path):
    run = studied / shipped(result)["run"]
    assert ask("evaluate", captioned, "--run", run, "--out", tmp_path / "out") == 0
    table = pq.read_table(tmp_path / "out/predictions.parquet")
    names = json.loads(table.schema.metadata[b"cliptune.class_names"])
    truth = np.array([[n in labels for n in names] for labels in table["labels"].to_pylist()])
    (column,) = [name for name in table.column_names if name.startswith("probabilities")]
    expected = average_precision_score(truth, np.array(table[column].to_pylist()), average="macro")
    assert shipped(result)["test"]["mean_average_precision"] == pytest.approx(expected, abs=1e-6)
    assert shipped(result)["test"]["n"] == len(truth) == 80


def test_its_command_fits_the_same_classifier(studied, result, ask, tmp_path):
    chosen = shipped(result)
    words = chosen["command"].split()
    assert words[:2] == ["cliptune", "fit"]
    assert ask(*words[1:], "--out", tmp_path / "fit") == 0
    for name in ("head.safetensors", "classifier.json"):
        mine, theirs = studied / chosen["run"] / name, tmp_path / "fit" / name
        assert mine.read_bytes() == theirs.read_bytes()


def test_it_recommends_what_fit_recommends(result, fitted_labels):
    fitted = json.loads((fitted_labels / "metrics.json").read_text())
    assert result["sections"]["heads"]["numbers"]["models"]["lite"]["answer"] == fitted["answer"]
    assert shipped(result)["method"] == fitted["recommended"]


def test_the_labels_of_the_test_change_nothing_that_is_chosen(
    studied, result, captioned, ask, tmp_path
):
    for split in ("train", "test"):
        table = pq.read_table(captioned / f"{split}.parquet")
        if split == "test":
            labels = [[word for word in WORDS if word not in own]
                      for own in table["labels"].to_pylist()]  # fmt: skip
            column = pa.array(labels, pa.list_(pa.string()))
            table = table.set_column(table.column_names.index("labels"), "labels", column)
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / f"data/{split}.parquet")
    options = ("--only", "zero-shot,heads,ship", "--out", tmp_path / "out")
    assert ask("study", tmp_path / "data", *options) == 0
    other = json.loads((tmp_path / "out/study.json").read_text())
    for name in ("zero-shot", "heads"):
        mine, theirs = (one["sections"][name]["numbers"]["models"] for one in (result, other))
        assert without_seconds(mine) == without_seconds(theirs)
    assert shipped(other)["method"] == shipped(result)["method"]
    assert shipped(other)["test"] != shipped(result)["test"]
    assert "The test contradicts the held-out answers" in other["answer"]


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return value


def test_another_encoder_has_to_gain_something(captioned, ask, tmp_path, tiny_model):
    options = ("--only", "zero-shot,ship", "--out", tmp_path / "out")
    for models in (("lite", tiny_model), (tiny_model, "lite")):
        named = [word for model in models for word in ("--model", model)]
        assert ask("study", captioned, *named, *options) == 0
        found = json.loads((tmp_path / "out/study.json").read_text())
        assert shipped(found)["model"] == "lite"
        assert found["answer"].startswith("lite: zero-shot reaches")
        (tmp_path / "out").rename(tmp_path / f"{len(list(tmp_path.iterdir()))}")


def test_images_of_other_labels_are_another_study(captioned, studied, ask, capsys, tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        table = pq.read_table(captioned / f"{split}.parquet")
        rows = table.to_pylist()
        rows[0]["labels"] = ["girl"] if rows[0]["labels"] != ["girl"] else ["dog"]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / f"data/{split}.parquet")
    before = {path: path.read_bytes() for path in studied.rglob("*.json")}
    assert ask("study", tmp_path / "data", "--out", studied) == 2
    assert "was begun with other data" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in studied.rglob("*.json")} == before


def test_a_share_of_validation_has_no_meaning(captioned, ask, capsys, tmp_path):
    assert ask("study", captioned, "--val", "0.3", "--out", tmp_path / "out") == 2
    assert "--val 0.3 came, but the images may have several" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_few_images_are_looked_at_and_nothing_is_shipped(captioned, ask, tmp_path):
    rows = pq.read_table(captioned / "train.parquet").slice(0, 12)
    labels = pa.array([["dog"], ["man"], *[["water", "girl"]] * 10], pa.list_(pa.string()))
    table = rows.set_column(rows.column_names.index("labels"), "labels", labels)
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data/train.parquet")
    assert ask("study", tmp_path / "data", "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out/study.json").read_text())
    assert found["answer_title"] == "Nothing to ship"
    assert "too small to train on" in found["sections"]["heads"]["skipped"]
    assert found["sections"]["zero-shot"]["numbers"]["n"] == 12


def test_the_record_of_images_holds_all_labels(captioned, tmp_path):
    table = cliptune.open_images(str(captioned))
    images = FeatureStore(tmp_path).identify(table, table.splits)
    several = next(row for row, labels in enumerate(table.label_sets) if len(labels) > 1)
    for code in table.label_sets[several]:
        assert table.class_names[code] in images.labels[several]
    none = next(row for row, labels in enumerate(table.label_sets) if labels == ())
    assert images.labels[none] == "none of them"


def test_from_python_it_is_the_same(studied, captioned, label_cache):
    compute = cliptune.ComputeOptions(cache_dir=label_cache)
    found = cliptune.study(str(captioned), budget="30m", out=studied, compute=compute)
    assert found.recommendation == found.sections["ship"].conclusion
    assert found.predict.endswith(shipped(json.loads((studied / "study.json").read_text()))["run"])

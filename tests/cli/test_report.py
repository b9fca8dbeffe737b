"""``cliptune report`` shows what every command leaves: real runs of a tiny model."""

import json
import shutil

import pytest

from cliptune.cli import run_command_line
from cliptune.errors import RunError
from cliptune.report import render_report
from cliptune.report.read import read_document


@pytest.fixture(scope="module")
def images(data_root, tmp_path_factory):
    """Twelve training and six locked images of each class."""
    folder = tmp_path_factory.mktemp("images")
    for split, n in (("train", 12), ("val", 6)):
        for name in ("ants", "bees"):
            (folder / split / name).mkdir(parents=True)
            for image in sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]:
                shutil.copy(image, folder / split / name)
    return folder


@pytest.fixture(scope="module")
def captions(images):
    """The locked images, the kind of each as its caption."""
    files = sorted(images.glob("val/*/*.jpg"))
    rows = [{"image": str(f), "caption": f"a photo of {f.parent.name}"} for f in files]
    manifest = images.parent / "captions.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    return manifest


@pytest.fixture
def work(tiny_model, cache, tmp_path, answer):
    """Run a command on the tiny model; return its folder and what it reported."""

    def run(name, data, *options, model=True):
        out = tmp_path / name.replace(" ", "-")
        words = [name, str(data), "--json", "--cache-dir", str(cache), "--out", str(out)]
        own = ["--model", str(tiny_model)] if model else []
        return out, answer([*words, *own, *options])[0]

    return run


def shown(folder):
    document, page = read_document(folder), render_report([folder]).read_text(encoding="utf-8")
    assert document.answer in page.replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
    return document


def test_an_evaluation_of_class_texts(work, images):
    folder, result = work("evaluate", images)
    document = shown(folder)
    assert document.sections[0].tables[0].rows[0][1]["value"] == result["accuracy"]


def test_an_evaluation_of_retrieval(work, captions):
    folder, result = work("evaluate", captions, "--task", "retrieval")
    document = shown(folder)
    rows = {row[0]: row[2:] for row in document.sections[0].tables[0].rows}
    assert rows["image to text"][0]["value"] == result["image_to_text"]["recall_at_1"]
    assert rows["text to image"][2]["value"] == result["text_to_image"]["recall_at_10"]


def test_a_fit_with_few_shots_and_the_evaluation_of_its_run(work, images):
    folder, result = work("fit", images, "--method", "prototype", "--shots", "2", "--seeds", "2")
    tables = {table.name: table for table in shown(folder).sections[0].tables}
    mean = result["few_shot"]["methods"]["prototype"]["2"]["test"]["accuracy"]["mean"]
    assert ("prototype", 2, mean) in [row[:3] for row in tables["few_shot"].rows]
    again, scores = work("evaluate", images, "--run", str(folder), model=False)
    document = shown(again)
    assert document.sections[0].tables[0].rows[0][1]["value"] == scores["accuracy"]
    assert [tile.title for tile in document.tiles] == ["Zero-shot", "prototype"]


def test_a_training_of_the_model_itself(work, images):
    folder, result = work("fit", images, "--method", "full", "--epochs", "1", "--no-check")
    assert shown(folder).tiles[1].detail.endswith(f"n = {result['test']['n']}")


def test_a_sweep(work, images):
    grid = ["--grid", "lr=1e-1,1e0 wd=0", "--epochs", "2"]
    folder, result = work("sweep", images, *grid)
    document = shown(folder)
    assert len(document.sections[0].tables[0].rows) == len(result["trials"])
    assert [figure.file for figure in document.sections[0].figures][:1] == ["figures/rates.svg"]


def test_a_map(work, images):
    folder, result = work("map", images, "--shift")
    document = shown(folder)
    assert [figure.file for figure in document.sections[0].figures] == ["map.svg", "shift.svg"]
    rows = {row[0]: row[1] for row in document.sections[0].tables[0].rows}
    assert rows["Cosine, matched"]["value"] == result["gap"]["matched_cosine"]["value"]


def test_checks(work, images):
    folder, result = work("check", images, "--method", "linear")
    states = [row[1] for row in shown(folder).sections[0].tables[0].rows]
    assert states == [check["status"] for check in result["checks"]]


def test_what_a_run_lacks_is_one_line(work, images, capsys):
    folder, _ = work("evaluate", images)
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["template_sets"]
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["metrics.json"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="lacks what a report of 'evaluate' needs"):
        read_document(folder)
    assert run_command_line(["report", str(folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

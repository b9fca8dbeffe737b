"""A run and a cache that the former version wrote are read, reported and predicted with."""

import json
import shutil
from pathlib import Path

import pytest

import cliptune as ct
from cliptune.cli import run_command_line

FORMER = Path(__file__).parent.parent / "former"


@pytest.fixture
def place(tmp_path):
    """The run, the scores and the cache, where they may be written to."""
    shutil.copytree(FORMER, tmp_path / "former")
    return tmp_path / "former"


@pytest.fixture
def images(data_root, tmp_path):
    """The images that the former version classified, where its ids say."""
    names = [
        p["image"] for p in json.loads((FORMER / "predictions.json").read_text())["predictions"]
    ]
    for name in names:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_root / "hymenoptera_data" / name.removeprefix("small/"), target)
    return tmp_path, names


def test_a_former_run_predicts_from_a_former_cache(place, images, monkeypatch):
    folder, names = images
    monkeypatch.chdir(folder)
    compute = ct.ComputeOptions(cache_dir=place / "cache", engine="torch", precision="fp32")
    embedded = ct.embed("small/val", compute=compute)
    assert embedded.n == len(names)
    assert embedded.images_embedded == 0
    found = ct.predict(names, run=place / "run", compute=compute)
    former = json.loads((place / "predictions.json").read_text())["predictions"]
    for now, before in zip(found.predictions, former, strict=True):
        assert now.image == before["image"]
        assert now.labels[0].label == before["labels"][0]["label"]
        probability = before["labels"][0]["probability"]
        assert now.labels[0].probability == pytest.approx(probability, abs=1e-5)


def test_former_results_are_read(place):
    fit = ct.load_result(place / "run")
    assert isinstance(fit, ct.FitResult)
    assert fit.recommended == "cache"
    assert set(fit.methods) >= {"zero-shot", "linear", "knn"}
    assert fit.test.accuracy.value == 1.0
    assert isinstance(ct.load_result(place / "evaluation"), ct.EvaluateResult)
    assert isinstance(ct.load_result(place / "predictions.json"), ct.PredictResult)


def test_former_runs_are_reported(place, capsys):
    runs = [str(place / "run"), str(place / "evaluation")]
    assert run_command_line(["report", *runs, "--out", str(place / "report.html")]) == 0
    page = (place / "report.html").read_text()
    assert "bee" in page
    assert capsys.readouterr().out.strip() == str(place / "report.html")

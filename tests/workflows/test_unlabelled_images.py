"""``fit --unlabelled`` on photographs: what it says, what it refuses, what its run answers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import cliptune as ct
from cliptune.cli import run_command_line
from cliptune.results.fitted import FitResult


@pytest.fixture(scope="module")
def insects(data_root, tmp_path_factory):
    """Six labelled photographs of each class, 20 to test on, and 60 whose labels nobody knows."""
    folder = tmp_path_factory.mktemp("insects")
    (folder / "more").mkdir()
    for name in ("ants", "bees"):
        taken = sorted((data_root / "hymenoptera_data" / "train" / name).iterdir())
        kept = sorted((data_root / "hymenoptera_data" / "val" / name).iterdir())
        for place, files in (
            (f"data/train/{name}", taken[:6]),
            ("more", taken[6:36]),
            (f"data/test/{name}", kept[:20]),
        ):
            (folder / place).mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy(file, folder / place)
    return folder


@pytest.fixture(scope="module")
def moved(insects, compute, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "moved"
    return ct.fit(
        insects / "data", method="linear", unlabelled=insects / "more", out=out, compute=compute
    )


def test_what_came_is_said_everywhere(moved, insects):
    found = moved.unlabelled
    assert (found.method, found.images, found.kept) == ("linear", 60, True)
    assert found.low <= found.difference <= found.high
    assert found.n == 12
    assert found.data == str(insects / "more")
    assert found.sentence in moved.notes
    assert "60 images without labels move linear" in found.sentence
    assert FitResult.from_json(moved.to_json()).to_json() == moved.to_json()
    card = (Path(moved.run) / "model_card.md").read_text()
    assert "- images without labels: 60 of" in card


def test_the_run_answers_with_them(moved, insects, compute):
    plain = ct.fit(
        insects / "data", method="linear", compute=compute, out=Path(moved.run).with_name("plain")
    )
    assert plain.unlabelled is None
    assert "unlabelled" not in plain.to_json()
    weights = [
        ct.load_classifier(run, compute=compute).calibrated.head.weight_
        for run in (plain.run, moved.run)
    ]
    assert not np.allclose(*weights)
    files = sorted((insects / "data" / "test").rglob("*.jpg"))
    names = [moved.class_names[["ants", "bees"].index(file.parent.name)] for file in files]
    predicted = ct.predict(files, run=moved.run, compute=compute)
    labels = [one.labels[0].label for one in predicted.predictions]
    assert np.mean(np.equal(labels, names)) == moved.test.accuracy.value


def test_images_of_the_locked_test_are_refused_by_name(insects, compute, capsys, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(insects / "more", mixed)
    taken = sorted((insects / "data" / "test" / "bees").iterdir())[0]
    shutil.copy(taken, mixed / "renamed.jpg")
    code = run_command_line(
        ["fit", str(insects / "data"), "--unlabelled", str(mixed), "--out", str(tmp_path / "run"),
         "--cache-dir", str(compute.cache_dir)]
    )  # fmt: skip
    said = capsys.readouterr().err
    assert code == 2
    assert "1 of its images look like images of the locked test" in said
    assert "renamed.jpg" in said and taken.name in said  # noqa: PT018
    assert not (tmp_path / "run").exists()


def test_labelled_images_among_them_are_left_out(insects, compute, capsys, tmp_path):
    only = tmp_path / "only"
    shutil.copytree(insects / "data" / "train", only)
    asked = ["fit", str(insects / "data"), "--cache-dir", str(compute.cache_dir), "--method"]
    asked += ["linear", "--unlabelled", str(only), "--out", str(tmp_path / "run")]
    assert run_command_line(asked) == 2
    assert "each of its 12 images looks like a labelled one" in capsys.readouterr().err
    for file in sorted((insects / "more").iterdir())[:5]:
        shutil.copy(file, only)
    assert run_command_line(asked) == 0
    assert "5 images without labels; 12 more look like labelled ones" in capsys.readouterr().err

"""``cliptune map`` on real images: numbers, figures, comparisons of runs, and wrong input."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import cliptune.run_encoder  # noqa: F401  bound to the real loader before the tests share encoders
from cliptune.atlas.definitions import DEFINITIONS
from cliptune.cli import run_command_line
from cliptune.runs import RunDir


def answer(arguments, capsys):
    code = run_command_line(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def small_set(data_root, tmp_path):
    """Eight real ants and eight bees."""
    folder = tmp_path / "data"
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/val" / name).iterdir())[:8]:
            shutil.copy(image, folder / name)
    return folder


def test_a_sampled_parquet_file_gives_every_number_and_figure(data_root, cache, tmp_path, capsys):
    out = tmp_path / "run"
    data = str(data_root / "cifar100/test.parquet")
    arguments = ["map", data, "--sample", "200", "--cache-dir", str(cache), "--json", "--shift"]
    result = answer([*arguments, "--export", "atlas", "--out", str(out)], capsys)
    assert set(result["gap"]) == {n for n, d in DEFINITIONS.items() if not d.captions_only}
    for number in result["gap"].values():
        low, high = number["interval"]
        assert low <= number["value"] <= high
        assert number["n"] > 0
    assert {"svg", "png", "html"} <= set(result["figures"])
    assert result["remarks"][0] == "200 of 10000 images, drawn class by class with seed 0."
    assert (result["n_images"], result["n_texts"]) == (200, 100)
    run = RunDir.open(out)
    assert run.read_json("metrics.json").items() <= result.items()
    check_atlas(result)


def check_atlas(result):
    """Every argument that is printed is a column, and all classes are drawn alike."""
    program, path, *arguments = result["atlas"]
    assert program == "embedding-atlas"
    points = pq.read_table(path).to_pydict()
    assert set(arguments[1::2]) <= set(points)
    assert np.isfinite(points["x"]).all()
    assert np.isfinite(points["y"]).all()
    labels = [label for label in points["label"] if label is not None]
    assert sorted(labels.count(name) for name in set(labels)) == [2] * 100


def test_the_table_shows_intervals_readings_and_what_is_missing(small_set, cache, tmp_path, capsys):
    arguments = ["map", str(small_set), "--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert run_command_line(arguments) == 0
    out = capsys.readouterr().out
    assert "16 images, 2 texts" in out
    assert "Centroid distance" in out
    assert "lite: The centroids of images and texts are" in out
    assert "Agreement of the similarity matrices: needs at least 4 groups" in out
    assert str(tmp_path / "run") in out

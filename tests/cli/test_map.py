"""``cliptune map`` on real images: numbers, figures, comparisons of runs, and wrong input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.run_encoder import save_run_encoder
from cliptune.cli import run_command_line
from cliptune.encoders.lite import load_lite
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.modality_gap.definitions import DEFINITIONS
from cliptune.runs import RunDir
from visits import Visit


def answer(arguments, capsys):
    code = run_command_line(arguments)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


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
    arguments = ["map", data, "--sample", "200", "--cache-dir", str(cache), "--json"]
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


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    """Write a finished run: a classifier by class texts on an encoder, told what data it saw."""

    def make(name, encoder, *, data_digest="d" * 64, save_weights=False):
        run = RunDir.create(tmp_path_factory.mktemp("runs") / name, {})
        rows = encoder.encode_texts(["a photo of a ant.", "a photo of a bee."])
        head = ZeroShotHead().fit(text_rows=rows, logit_scale=encoder.logit_scale)
        record = save_run_encoder(run, encoder) if save_weights else EncoderRecord.of(encoder)
        CalibratedHead(head, ("ant", "bee"), ("a photo of a {}.",), record).save(run)
        run.finish({"data_digest": data_digest})
        return run.path

    return make


@pytest.fixture(scope="module")
def lite():
    return load_lite(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def tuned(make_run):
    """A run whose image and text tower are not those of ``lite`` any more."""
    import torch

    encoder = load_lite(device="cpu", precision="fp32")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tower in (encoder.model.visual, encoder.model.text):
            for parameter in list(tower.parameters())[::4]:
                parameter.mul_(1 + 0.04 * torch.randn(parameter.shape, generator=generator))
    return make_run("tuned", encoder.rewrapped(device="cpu", precision="fp32"), save_weights=True)


def test_a_run_with_weights_of_its_own_stands_beside_its_base(
    tuned, small_set, cache, tmp_path, capsys, browser
):
    arguments = ["map", str(small_set), "--run", str(tuned), "--cache-dir", str(cache), "--json"]
    result = answer([*arguments, "--out", str(tmp_path / "run"), "--shift"], capsys)
    assert [view["name"] for view in result["views"]] == ["lite", "tuned"]
    assert set(result["before"]) == set(result["after"]) == set(result["change"])
    for name, change in result["change"].items():
        both = result["after"][name]["value"] - result["before"][name]["value"]
        assert change["value"] == pytest.approx(both)
        assert change["interval"][0] <= change["value"] <= change["interval"][1]
    assert result["change"]["centroid_distance"]["value"] != 0
    low, high = result["change"]["centroid_distance"]["interval"]
    verb = "rose" if low > 0 else "fell" if high < 0 else "did not measurably change"
    assert f"The centroid distance {verb}" in result["verdict"]
    assert "not by itself a better classifier (arXiv:2603.29080)" in result["verdict"]
    accuracy = result["views"][1]["accuracy"]
    assert accuracy["own_predictions"] == accuracy["nearest_text"]  # it decides by class texts
    drive(browser, Path(result["figures"]["html"]))


def drive(browser, html):
    """Point at a real image, switch colours, play the change; nothing leaves the file."""
    visit = Visit(browser, html)
    visit.hover(1, 3)
    words = visit.page.inner_text("#words")
    assert "is: ant" in words
    assert "said: " in words
    assert ".jpg" in words
    pixels = "document.getElementById('picture').getContext('2d').getImageData(0, 0, 128, 128).data"
    assert visit.page.evaluate(f"new Set({pixels}).size") > 50  # a photograph, not one colour
    visit.page.check("input[name=colour][value=class]")
    assert len(set(visit.colours())) == 2
    visit.page.check("#together")
    assert visit.page.evaluate("document.getElementById('plot').data.length") == 6
    visit.page.click("#play")
    visit.page.wait_for_function("document.getElementById('time').value === '1'")
    assert "Moving the gap" in visit.page.inner_text("body")
    assert visit.errors == []
    assert visit.foreign_requests(html) == []
    visit.page.close()


def test_a_frozen_run_shares_the_space_and_brings_its_predictions(
    make_run, lite, small_set, cache, tmp_path, capsys
):
    run = make_run("frozen", lite)
    arguments = ["map", str(small_set), "--run", str(run), "--cache-dir", str(cache), "--json"]
    result = answer([*arguments, "--out", str(tmp_path / "run")], capsys)
    assert [view["name"] for view in result["views"]] == ["lite", "frozen"]
    assert all(change["value"] == 0 for change in result["change"].values())
    assert result["verdict"].startswith("Images and texts lie exactly where they lay")
    assert result["templates"]["lite"] == ["a photo of a {}."]  # those of the run


def test_captions_are_mapped_with_recalls(data_root, cache, tmp_path, capsys):
    data = str(data_root / "flickr8k/test.parquet")
    arguments = ["map", data, "--sample", "30", "--cache-dir", str(cache), "--json"]
    result = answer([*arguments, "--out", str(tmp_path / "run")], capsys)
    assert (result["kind"], result["n_images"], result["n_texts"]) == ("captions", 30, 150)
    assert set(result["gap"]) == set(DEFINITIONS)
    assert result["remarks"][0] == "30 of 250 images, drawn at random with seed 0."


def test_runs_on_different_data_need_force(make_run, lite, small_set, cache, tmp_path, capsys):
    runs = [make_run(f"run-{d}", lite, data_digest=d * 64) for d in "ab"]
    arguments = ["map", str(small_set), "--run", str(runs[0]), "--run", str(runs[1])]
    arguments += ["--cache-dir", str(cache), "--out", str(tmp_path / "run")]
    assert run_command_line(arguments) == 2
    error = capsys.readouterr().err
    assert "different data (digests lite: unknown, run-a: aaaaaaaa, run-b: bbbbbbbb)" in error
    assert not (tmp_path / "run").exists()
    assert run_command_line([*arguments, "--force"]) == 0
    assert (tmp_path / "run/manifest.json").exists()


@pytest.mark.parametrize(
    ("damage", "options", "expected"),
    [
        (lambda f: shutil.rmtree(f / "ants"), [], "at least 2"),
        (lambda f: keep(f, 1), [], "has 2 images; a map needs at least 3"),
        (lambda f: None, ["--sample", "2"], "--sample 2 came"),
        (lambda f: None, ["--run", "nowhere"], "there is no run directory 'nowhere'"),
        (lambda f: None, ["--model", "lite", "--model", "lite"], "each name only once"),
        (lambda f: None, ["--templates", "single", "--templates", "simple"], "one template set"),
        (lambda f: None, ["--model", "lite2"], "lite"),
        (lambda f: (f / "file").touch(), ["--out", "file/run"], "cannot write"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(
    damage, options, expected, small_set, cache, tmp_path, capsys, monkeypatch
):
    damage(small_set)
    monkeypatch.chdir(small_set)
    options = options if "--out" in options else ["--out", str(tmp_path / "run"), *options]
    arguments = ["map", str(small_set), "--cache-dir", str(cache), *options]
    assert run_command_line(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def keep(folder, n):
    for name in ("ants", "bees"):
        for image in sorted((folder / name).iterdir())[n:]:
            image.unlink()


def test_an_encoder_without_texts_gives_no_map_of_captions(data_root, tmp_path, capsys):
    import open_clip
    from safetensors.torch import save_file

    tower = open_clip.create_model("ViT-S-32-alt", load_weights=False).state_dict()
    weights = {name: t.contiguous() for name, t in tower.items() if name.startswith("visual.")}
    save_file(weights, tmp_path / "tower.safetensors")
    model = f"ViT-S-32-alt@{tmp_path}/tower.safetensors"
    data = str(data_root / "flickr8k/test.parquet")
    assert run_command_line(["map", data, "--model", model, "--out", str(tmp_path / "run")]) == 2
    assert "an image tower and no text tower" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

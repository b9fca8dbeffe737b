"""``--crops``: several crops of each picture, from the fit to what is served and exported."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import cliptune as ct
from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import InputError, RunError
from cliptune.features import FeatureStore
from cliptune.workflows import fit_crops
from cliptune.workflows.options import ComputeOptions


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return str(tiny_model)


@pytest.fixture(scope="module")
def several(make_cache):
    return ComputeOptions(engine="torch", cache_dir=make_cache(), crops=12)


@pytest.fixture(scope="module")
def pictures(small_data):
    return [Image.open(file).convert("RGB") for file in sorted(small_data.glob("val/*/*.jpg"))[:4]]


def test_fit_keeps_what_held_out_answers_favour(small_data, tiny, several, tmp_path):
    result = ct.fit(small_data, model=tiny, compute=several, out=tmp_path / "run")
    found = result.crops
    assert found.asked == 12
    assert found.low <= found.averaged - found.one_look <= found.high
    assert found.n == result.n_train == 24
    assert result.model == tiny + "?crops=12" * found.kept
    assert ct.load_result(tmp_path / "run").crops == found
    assert found.sentence in result.blocks()
    assert any("12 crops of each image answer" in note for note in result.notes)
    assert "12 crops of each image" in (tmp_path / "run" / "model_card.md").read_text()


@pytest.mark.parametrize("kept", [True, False])
def test_either_answer_leaves_a_classifier_that_works(
    small_data, tiny, several, pictures, tmp_path, monkeypatch, kept
):
    monkeypatch.setattr(fit_crops, "is_shown", lambda gain, margin: not kept)
    out = tmp_path / "run"
    result = ct.fit(small_data, model=tiny, compute=several, out=out)
    assert result.crops.kept is kept
    name = tiny + "?crops=12" * kept
    assert result.model == name
    record = json.loads((out / "manifest.json").read_text())["encoder"]
    assert record["preprocess"].get("crops", 1) == (12 if kept else 1)

    encoder = load_encoder(name, precision="fp32")
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures])
    compute = ComputeOptions(engine="torch", cache_dir=several.cache_dir)
    classifier = ct.load_classifier(out, compute=compute)
    said, head = classifier.predict(pictures), CalibratedHead.load(str(out))
    rows = encoder.encode_trunk(pixels)
    rows = rows if head.needs == "trunk" else rows[:, : encoder.dim]
    np.testing.assert_allclose(said.probabilities, head.predict_proba(rows), atol=1e-4)
    scores = ct.evaluate(small_data, run=out, compute=compute, out=tmp_path / "scores")
    with pytest.raises((InputError, RunError), match=r"crops[ =]2"):
        ct.predict(pictures[0], run=out, compute=replace(several, crops=2))
    assert scores.metrics.accuracy.value == result.test.accuracy.value


@pytest.mark.parametrize(("margin", "kept"), [(0.5, True), (90.0, False)])
def test_one_look_is_taken_where_it_is_shown_to_lose_no_more_than_the_margin(
    small_data, tiny, several, tmp_path, margin, kept
):
    result = ct.fit(small_data, model=tiny, compute=several, margin=margin, out=tmp_path / "run")
    assert result.crops.kept is kept  # 24 images show nothing within half a point


def test_without_a_choice_the_crops_are_taken_as_asked(small_data, tiny, several, tmp_path, capsys):
    words = ["fit", str(small_data), "--model", tiny, "--crops", "2", "--engine", "torch"]
    words += ["--cache-dir", str(several.cache_dir), "--json"]
    assert run_command_line([*words, "--method", "linear", "--out", str(tmp_path / "one")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["model"] == f"{tiny}?crops=2"
    assert "crops" not in result
    assert run_command_line([*words, "--shots", "4", "--out", str(tmp_path / "few")]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == f"{tiny}?crops=2"
    assert run_command_line([*words, "--embed-encoder", "--method", "prototype", "--out",
                             str(tmp_path / "own")]) == 0  # fmt: skip
    wanted = json.loads(capsys.readouterr().out)["test"]["accuracy"]
    again = ["evaluate", str(small_data), "--run", str(tmp_path / "own"), "--json"]
    again += ["--cache-dir", str(several.cache_dir), "--out", str(tmp_path / "scores")]
    assert run_command_line(again) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == wanted


def test_zero_shot_embeds_crops(small_data, tiny, several, tmp_path):
    scores = ct.evaluate(small_data, model=tiny, compute=several, out=tmp_path / "zero")
    assert scores.model == f"{tiny}?crops=12"
    encoder = load_encoder(f"{tiny}?crops=12", precision="fp32")
    table = ct.open_images(small_data)
    stored = FeatureStore(several.cache_dir).features(encoder, table)
    pixels = np.stack([encoder.preprocess(table.load_image(row)) for row in range(3)])
    np.testing.assert_allclose(stored.vectors[:3], encoder.encode_images(pixels), atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "DATA", "--crops", "3"], "--crops"),
        (["fit", "DATA", "--crops", "12", "--method", "lora"], "leave it out"),
        (["fit", "DATA", "--crops", "12", "--method", "attention"], "leave out --crops"),
        (["fit", "DATA", "--model", "lite?crops=2", "--method", "full"], "leave it out"),
        (["fit", "DATA", "--model", "lite?crops=5"], "--crops 5 came"),
        (["fit", "DATA", "--model", "lite?crops=2", "--crops", "6"], "leave out the option"),
        (["study", "DATA", "--crops", "2"], "leave it out"),
        (["study", "DATA", "--model", "lite?crops=6"], "leave it out"),
        (["sweep", "DATA", "--crops", "6", "--method", "lora"], "leave it out"),
        (["check", "DATA", "--crops", "6", "--method", "lora"], "leave it out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    small_data, tmp_path, capsys, words, said
):
    place = tmp_path / "out"
    words = [str(small_data) if word == "DATA" else word for word in words]
    assert run_command_line([*words, "--out", str(place)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "embedding" not in captured.err
    assert not place.exists()


def test_an_encoder_that_is_loaded_takes_no_crops_beside_it(small_data, tiny, several):
    encoder = load_encoder(tiny, precision="fp32")
    with pytest.raises(InputError, match=r"crops came beside the encoder .* \?crops=N"):
        ct.evaluate(small_data, model=encoder, compute=several)
    patches = ComputeOptions(max_patches=64)
    with pytest.raises(InputError, match="max_patches came beside the encoder"):
        ct.evaluate(small_data, model=encoder, compute=patches)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_a_graph_cuts_the_same_crops(make_picture, mode):
    pytest.importorskip("onnx", reason="needs cliptune[export]")
    runtime = pytest.importorskip("onnxruntime", reason="needs cliptune[export]")
    from cliptune.exports.preparing import preparing_graph

    preprocess = Preprocess(size=(32, 32), resize_mode=mode, crop_fraction=0.875, crops=12)
    session = runtime.InferenceSession(preparing_graph(preprocess).SerializeToString())
    for seed, size in enumerate([(48, 36), (37, 91), (33, 32), (200, 151), (20, 21)]):
        picture = make_picture(seed, size)
        (found,) = session.run(None, {"image": np.asarray(picture)[None]})
        wanted = preprocess(picture)
        assert found.shape == (1, *preprocess.shape) == (1, 3, 6 * 32, 32)
        apart = np.abs(found[0].astype(int) - wanted)
        assert apart.max() <= 1
        assert (apart == 0).mean() > 0.999


def test_a_run_with_crops_leaves(small_data, tiny, several, pictures, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="needs cliptune[export]")
    runtime = pytest.importorskip("onnxruntime", reason="needs cliptune[export]")
    run, compute = tmp_path / "run", ComputeOptions(engine="torch", cache_dir=several.cache_dir)
    ct.fit(small_data, model=tiny, method="linear", compute=several, out=run)
    exported = ct.export(run, out=tmp_path / "onnx", compute=compute)
    assert all(graph.agreement.value == 1 for graph in exported.graphs)
    session = runtime.InferenceSession(f"{exported.out}/image.onnx")
    said = ct.load_classifier(run, compute=compute).predict(pictures)
    found = [
        session.run(["probabilities"], {"image": np.asarray(one)[None]})[0] for one in pictures
    ]
    np.testing.assert_allclose(np.concatenate(found), said.probabilities, atol=0.02)
    (hub,) = ct.export(run, out=tmp_path / "hub", format="hub", compute=compute).graphs
    assert hub.agreement.value == 1
    assert hub.largest_difference < 1e-3

"""``cliptune fit --embed-encoder``: a run that needs nothing but itself."""

import json

import pytest

import cliptune.classifiers.run_encoder
import cliptune.encoders
from cliptune.classifiers.calibrated_head import CalibratedHead
from cliptune.cli import run_command_line
from cliptune.errors import MissingExtraError


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_run_answers_without_the_named_model(
    engine, small_data, cache, tmp_path, answer, capsys, monkeypatch
):
    out, engine = tmp_path / "run", ["--engine", engine]
    arguments = ["fit", str(small_data), "--method", "prototype", "--embed-encoder", "--json"]
    result, _ = answer([*arguments, *engine, "--cache-dir", str(cache), "--out", str(out)])
    assert result["encoder_in_run"] is True
    assert "its weights are in this run" in (out / "model_card.md").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    assert {"encoder.safetensors", "encoder.json", "encoder/tokenizer.json"} <= set(
        manifest["files"]
    )
    assert CalibratedHead.load(str(out)).encoder.weights_in_run

    def not_here(name, **options):
        raise MissingExtraError("lite", "the model 'lite'")

    monkeypatch.setattr(cliptune.encoders, "load_encoder", not_here)
    monkeypatch.setattr(cliptune.classifiers.run_encoder, "load_encoder", not_here)
    arguments = ["evaluate", str(small_data), "--run", str(out), "--json"]
    arguments += [*engine, "--cache-dir", str(cache), "--out", str(tmp_path / "scores")]
    scores, _ = answer(arguments)
    assert scores["images_embedded"] == 0  # the same encoder, so the cache knows the images
    assert scores["accuracy"] == result["test"]["accuracy"]
    (out / "encoder.safetensors").write_bytes(b"")
    assert run_command_line([*arguments[:-1], str(tmp_path / "no")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "encoder.safetensors" in last
    assert "altered or cut" in last
    assert not (tmp_path / "no").exists()

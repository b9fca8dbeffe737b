"""Runs that trained their encoder, exported: what leaves is what was trained, not its beginning."""

import json
import subprocess
import sys

import numpy as np
import pytest

import cliptune as ct
from cliptune.cli import run_command_line

pytest.importorskip("onnx", reason="needs cliptune[export]")
pytest.importorskip("onnxruntime", reason="needs cliptune[export]")

RATES = {"full": "1e-3", "lora": "1e-2", "head-then-full": "image=1e-3,head=1e-2"}
CONSUME = """
import json, runpy, sys
sys.argv = sys.argv[1:]
names = runpy.run_path(sys.argv[0])
classifier = names["Classifier"](sys.argv[1])
files = sys.argv[2:]
said = [classifier.predict(names["read_image"](file))["probabilities"].tolist() for file in files]
assert not {"torch", "cliptune", "openvino", "transformers"} & set(sys.modules)
print(json.dumps([classifier.class_names, said]))
"""


@pytest.fixture(scope="module")
def train(small_data, compute, tiny_model, tmp_path_factory):
    """Fine-tune the tiny model with a method, once; returns the run and what it says."""
    made = {}

    def of(method):
        if method not in made:
            out = tmp_path_factory.mktemp("trained") / method
            words = ["fit", small_data, "--method", method, "--model", tiny_model, "--out", out]
            words += ["--epochs", 5, "--batch-size", 20, "--lr", RATES[method], "--no-check"]
            words += ["--cache-dir", compute.cache_dir, "--json"]
            assert run_command_line([*map(str, words)]) == 0
            made[method] = out
        return made[method]

    return of


@pytest.fixture(scope="module")
def images(small_data):
    return sorted(small_data.glob("val/*/*.jpg"))


@pytest.mark.parametrize("method", RATES)
def test_a_trained_encoder_leaves_as_graphs(method, train, images, compute, tmp_path):
    run = train(method)
    said = ct.load_classifier(run, compute=compute).predict(images).probabilities
    spread = np.ptp(said[:, 0])
    assert spread > 0.001, "it tells images apart, so that agreement says something"
    result = ct.export(run, out=tmp_path / "onnx", compute=compute)
    assert {one.file for one in result.graphs} == {"image.onnx", "pixels.onnx"}
    for one in result.graphs:
        assert (one.n, one.agreement.value) == (16, 1)
        assert one.largest_difference < (0.02 if one.input == "image" else 1e-4)
        assert one.smallest_cosine > 0.999

    words = [tmp_path / "onnx/predict.py", tmp_path / "onnx/image.onnx", *images]
    done = subprocess.run(
        [sys.executable, "-I", "-c", CONSUME, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names, found = json.loads(done.stdout)
    assert names == ["ant", "bee"]
    np.testing.assert_allclose(found, said, atol=0.05 * spread + 1e-4)

    if method != "full":
        return  # OpenVINO reads the same graph
    pytest.importorskip("openvino", reason="needs cliptune[export]")
    result = ct.export(run, out=tmp_path / "ir", format="openvino", images=3, compute=compute)
    assert {one.file for one in result.graphs} == {"image.xml", "pixels.xml"}
    assert result.agreement == 1
    assert result.largest_difference < 0.02


def test_a_trained_encoder_leaves_for_transformers_and_open_clip(train, images, compute, tmp_path):
    import open_clip
    import torch
    from PIL import Image

    run, out = train("lora"), tmp_path / "hub"
    result = ct.export(run, out=out, format="hub", images=8, compute=compute)
    (parity,) = result.graphs
    assert parity.runtime.startswith("transformers")
    assert parity.agreement.value == 1
    assert parity.largest_difference < 1e-3
    assert {"model.safetensors", "open_clip_model.safetensors"} <= set(result.files)

    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{out}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{out}")
    classifier = ct.load_classifier(run, compute=compute)
    texts = [one.replace("{}", name) for name in ("ant", "bee") for one in classifier.templates]
    pixels = torch.stack([prepare(Image.open(file).convert("RGB")) for file in images])
    with torch.inference_mode():
        rows = model.encode_image(pixels, normalize=True)
        prompts = model.encode_text(tokenize(texts), normalize=True)
        means = torch.nn.functional.normalize(prompts.reshape(2, -1, 32).mean(dim=1), dim=-1)
        logits = model.logit_scale.exp() * rows @ means.T
    np.testing.assert_allclose(prompts, classifier.encoder.encode_texts(texts), atol=1e-5)
    cooled = (logits / classifier.calibrated.temperature).softmax(dim=-1)
    np.testing.assert_allclose(cooled, classifier.predict(images).probabilities, atol=1e-3)

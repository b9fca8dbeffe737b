"""Models rebuilt from a blueprint and weights, after the place that they came from is gone."""

import json
import shutil

import pytest
from safetensors.torch import save_file

from cliptune.encoders import load_encoder
from cliptune.encoders.model_config import rebuild_encoder
from cliptune.errors import CheckpointError

TEXTS = ["a photo of a bee", "ant"]


@pytest.fixture
def keep(tmp_path):
    """Write an encoder's blueprint and weights elsewhere, as a run does."""

    def write(encoder):
        place = tmp_path / "kept"
        place.mkdir()
        for name, content in encoder.blueprint.files.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(content)
        tensors = {n: t.contiguous().clone() for n, t in encoder.model.state_dict().items()}
        save_file(tensors, place / "weights.safetensors")
        return place, json.loads(json.dumps(encoder.blueprint.to_dict()))

    return write


def rebuild(name, place, facts):
    weights = place / "weights.safetensors"
    return rebuild_encoder(
        name, facts, weights=weights, folder=place, device="cpu", precision="fp32"
    )


@pytest.mark.parametrize("kind", ["vit", "resnet", "words"])
def test_the_rebuilt_model_is_the_same_encoder(
    kind, tiny_config, tiny_resnet_config, words_folder, make_folder, keep, pixels
):
    config = tiny_resnet_config if kind == "resnet" else tiny_config
    if kind == "words":
        text = {**tiny_config["text_cfg"], "vocab_size": 9, "context_length": 8}
        text |= {"hf_tokenizer_name": "nowhere/words", "pool_type": "last"}
        config = {**tiny_config, "text_cfg": text}
    preprocess = {"mean": [0.4, 0.5, 0.6], "interpolation": "bilinear"}
    folder = make_folder(config, preprocess)
    if kind == "words":
        for path in words_folder.iterdir():
            shutil.copy(path, folder)
    encoder = load_encoder(str(folder), device="cpu", precision="fp32")
    place, facts = keep(encoder)
    shutil.rmtree(folder)
    rebuilt = rebuild(encoder.name, place, facts)
    assert rebuilt.fingerprint == encoder.fingerprint
    assert rebuilt.preprocess == encoder.preprocess
    assert (rebuilt.encode_images(pixels) == encoder.encode_images(pixels)).all()
    assert (rebuilt.encode_texts(TEXTS) == encoder.encode_texts(TEXTS)).all()
    assert rebuilt.blueprint.to_dict() == facts


def test_a_broken_blueprint_is_one_line(tiny_config, make_folder, keep):
    encoder = load_encoder(str(make_folder(tiny_config)), device="cpu", precision="fp32")
    place, facts = keep(encoder)
    with pytest.raises(CheckpointError, match="lacks 'config'"):
        rebuild("tiny", place, {"kind": "open_clip"})
    facts["config"]["vision_cfg"]["width"] = 128
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        rebuild("tiny", place, facts)

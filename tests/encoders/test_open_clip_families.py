"""Each family of open_clip beside open_clip itself, from pictures and texts to scores."""

from itertools import islice

import numpy as np
import pytest
from family_models import TEXTS
from open_clip_models import OPEN_CLIP_FAMILIES, open_clip_rows
from PIL import Image

from cliptune.encoders import load_encoder
from cliptune.encoders.engines.agreement import draw_inputs
from cliptune.encoders.engines.conversion import convert_to_onnx, convert_to_openvino
from cliptune.encoders.engines.runtimes import open_graph
from cliptune.encoders.engines.token_ids import write_down
from cliptune.encoders.families import OpenClipFamily, families

# One of each kind; ``scripts/models.py`` converts all.
CONVERTED = [
    *(("openvino", "image", n) for n in ("coca", "eva", "mobileclip2", "pe_core", "vitamin")),
    *(("onnx", "image", n) for n in ("convnext", "mobileclip2", "siglip-open_clip")),
    *(("openvino", "text", n) for n in ("nllb", "siglip-open_clip")),
    *(("onnx", "text", n) for n in ("biomedclip", "coca")),
]


@pytest.fixture(scope="module")
def pictures(data_root):
    """Photographs of several shapes."""
    paths = sorted((data_root / "hymenoptera_data" / "val").rglob("*.jpg"))
    return [Image.open(path).convert("RGB") for path in islice(paths, 0, 120, 30)]


@pytest.fixture(scope="module")
def encoder_of(small_open_clip):
    made = {}

    def get(name):
        if name not in made:
            folder = str(small_open_clip(name).folder)
            made[name] = load_encoder(folder, device="cpu", precision="fp32")
        return made[name]

    return get


def score(logits, kind):
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_no_family_of_open_clip_is_left_out():
    named = {name for name, one in families().items() if isinstance(one, OpenClipFamily)}
    assert named == set(OPEN_CLIP_FAMILIES)


@pytest.mark.parametrize("name", OPEN_CLIP_FAMILIES)
def test_rows_and_probabilities_are_those_of_open_clip(small_open_clip, encoder_of, pictures, name):
    images, texts, logits = open_clip_rows(small_open_clip(name), pictures, TEXTS)
    encoder = encoder_of(name)
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures])
    ours = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(ours[0], images, atol=1e-4)
    np.testing.assert_allclose(ours[1], texts, atol=1e-4)
    kind = families()[name].score
    assert encoder.score == kind
    found = encoder.logit_scale * ours[0] @ ours[1].T + (encoder.logit_bias or 0.0)
    np.testing.assert_allclose(score(found, kind), score(logits, kind), atol=1e-5)
    assert np.abs(images[0] @ images[1]) < 0.999, "the weights tell pictures apart"
    assert np.abs(texts[0] @ texts[1]) < 0.9999, "the weights tell texts apart"


@pytest.mark.parametrize(("engine", "tower", "name"), CONVERTED)
def test_every_kind_of_tower_converts(encoder_of, tower, name, engine, tmp_path):
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[engine], reason="no engine")
    convert = {"openvino": convert_to_openvino, "onnx": convert_to_onnx}[engine]
    encoder = encoder_of(name)
    if tower == "image":
        given = draw_inputs(encoder.preprocess, 3)
        rows = encoder.encode_images(given)
    else:
        given, rows = encoder.tokenizer(TEXTS).numpy(), encoder.encode_texts(TEXTS)
        if engine == "openvino":
            given = given[:, : encoder.text_end.lengths(given).max()]
    convert(encoder, tower, tmp_path)
    path = tmp_path / f"{tower}.{'xml' if engine == 'openvino' else 'onnx'}"
    np.testing.assert_allclose(open_graph(engine, path, precision="fp32")(given), rows, atol=1e-4)


@pytest.mark.parametrize("name", ["biomedclip", "coca", "nllb", "siglip2-open_clip"])
def test_a_stored_tokenizer_gives_the_same_ids(encoder_of, name):
    encoder = encoder_of(name)
    stored = write_down(encoder)
    assert stored is not None
    read = type(stored).from_json(stored.to_json())
    np.testing.assert_array_equal(read(TEXTS), encoder.tokenizer(TEXTS).numpy())

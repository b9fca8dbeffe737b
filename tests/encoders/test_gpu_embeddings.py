"""The embeddings of a CUDA GPU beside the processor's."""

import numpy as np
import pytest
import torch

from cliptune.encoders import load_encoder
from cliptune.encoders.torch_encoder import TorchEncoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

# The worst cosine to the processor's fp32 embedding. In fp32 cuDNN convolves in TF32.
LEAST = {"fp32": 0.99999, "bf16": 0.999, "fp16": 0.99999}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A ViT-B/32 with random weights, as a file."""
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model
    from cliptune.encoders.published import model_config

    with torch.random.fork_rng():
        torch.manual_seed(20)
        weights = build_model(model_config("ViT-B-32-quickgelu")).state_dict()
    path = tmp_path_factory.mktemp("gpu") / "random.safetensors"
    save_file(weights, path)
    return f"ViT-B-32-quickgelu@{path}"


@pytest.fixture(scope="module")
def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (16, 3, 7, 7), dtype=np.uint8)
    return coarse.repeat(32, axis=2).repeat(32, axis=3)


@pytest.fixture(scope="module")
def texts():
    return [f"a photo of a {name}, {n} of them" for n, name in enumerate(["ant", "bee"] * 8)]


@pytest.fixture(scope="module")
def on_processor(checkpoint, pixels, texts):
    encoder = load_encoder(checkpoint, device="cpu", precision="fp32")
    return encoder, encoder.encode_images(pixels), encoder.encode_texts(texts)


@pytest.mark.parametrize("precision", LEAST)
def test_embeddings_are_the_processors(checkpoint, pixels, texts, on_processor, precision):
    encoder = load_encoder(checkpoint, device="cuda", precision=precision)
    on_cpu, images, captions = on_processor
    assert encoder.fingerprint == on_cpu.fingerprint
    assert encoder.logit_scale == pytest.approx(on_cpu.logit_scale)
    for found, expected in (
        (encoder.encode_images(pixels), images),
        (encoder.encode_texts(texts), captions),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        assert (found * expected).sum(axis=1).min() >= LEAST[precision]


def test_auto_takes_the_gpu_and_says_why(checkpoint):
    encoder = load_encoder(checkpoint)
    assert isinstance(encoder, TorchEncoder)
    assert encoder.device == "cuda"
    assert encoder.precision in ("bf16", "fp16")
    assert encoder.precision_reason


def test_patches_and_features_before_the_projection(checkpoint, pixels, on_processor):
    encoder = load_encoder(checkpoint, device="cuda", precision="fp32")
    np.testing.assert_allclose(
        encoder.encode_tokens(pixels), on_processor[0].encode_tokens(pixels), atol=2e-3
    )
    np.testing.assert_allclose(
        encoder.encode_trunk(pixels), on_processor[0].encode_trunk(pixels), atol=2e-3
    )


def test_the_compiled_tower_gives_the_same(checkpoint, pixels):
    encoder = load_encoder(checkpoint, device="cuda", precision="fp32")
    expected = encoder.encode_images(pixels)
    encoder._image_tower._left = 0.0  # as after 45 seconds of work
    found = encoder.encode_images(pixels)
    assert encoder._image_tower._compiled is not encoder._image_tower._tower
    np.testing.assert_allclose(found, expected, atol=2e-3)

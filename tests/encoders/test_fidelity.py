"""One random ViT-B/32 through four implementations, each with its own input pipeline.

Random weights separate images and texts enough for a wrong crop, activation or token to show;
``test_the_weights_tell_images_and_texts_apart`` makes sure of that.
"""

import gzip
import importlib
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import normalize

from cliptune.encoders import load_encoder

N_IMAGES = 32
# No HTML entities: OpenAI's and open_clip's tokenizers decode them, transformers' does not.
ODD_TEXTS = [
    "",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "a photo of a bee & an ant, don't you think?",
    "  spaces\t and\nlines  ",
    "蜂と蟻",
    "UPPER case, 1234567890 & 🐝🐜",
]


@pytest.fixture(scope="module")
def weights():
    from cliptune.encoders.open_clip_encoder import build_model
    from cliptune.encoders.published import model_config

    with torch.random.fork_rng():
        torch.manual_seed(20)
        return build_model(model_config("ViT-B-32-quickgelu")).state_dict()


@pytest.fixture(scope="module")
def checkpoint(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("fidelity") / "random.safetensors"
    save_file(weights, path)
    return path


@pytest.fixture(scope="module")
def images(data_root):
    """Real photographs of many sizes, none of which transformers crops elsewhere.

    Where an odd number of pixels is cut off, OpenAI's transform rounds half of it to the even
    neighbour and transformers rounds it down, so that one size in four is a pixel apart.
    """
    paths = sorted((data_root / "hymenoptera_data" / "val").rglob("*.jpg"))
    opened = (Image.open(path).convert("RGB") for path in paths)
    return list(islice((image for image in opened if _cut_off(image) % 4 != 3), N_IMAGES))


def _cut_off(image):
    return int(224 * max(image.size) / min(image.size)) - 224


@pytest.fixture(scope="module")
def texts():
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    prompts = [make("bumblebee") for make in OPENAI_IMAGENET_TEMPLATES]
    more = [f"a photo of {n} ants and a {thing}." for n in (2, 7) for thing in ["leaf", "hive"]]
    long = " ".join(["ant"] * 70)
    chosen = [*ODD_TEXTS, long, *more, *prompts, *(f"image {i}" for i in range(20))]
    return chosen[:100]


@pytest.fixture(scope="module")
def ours(checkpoint, images, texts):
    encoder = load_encoder(f"ViT-B-32-quickgelu@{checkpoint}", device="cpu", precision="fp32")
    pixels = np.stack([encoder.preprocess(image) for image in images])
    return encoder.encode_images(pixels), encoder.encode_texts(texts)


@pytest.fixture(scope="module")
def openai_clip():
    """OpenAI's package; it asks setuptools for a module that newer releases lack."""
    import packaging.version

    had = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = SimpleNamespace(packaging=packaging)
    try:
        yield importlib.import_module("clip")
    finally:
        if had is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = had


def unit_rows(embedded):
    return normalize(embedded.float(), dim=-1).numpy()


def assert_agree(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4)
    cosines = (found.astype(np.float64) * expected.astype(np.float64)).sum(axis=1)
    assert cosines.min() >= 0.99999


def test_the_weights_tell_images_and_texts_apart(ours):
    for rows in ours:
        between = rows @ rows.T - np.eye(len(rows))
        assert np.median(between) < 0.97
        assert between.max() < 0.9999


def test_agrees_with_open_clip(checkpoint, images, texts, ours):
    import open_clip

    model, transform = open_clip.create_model_from_pretrained(
        "ViT-B-32-quickgelu", pretrained=str(checkpoint)
    )
    tokenizer = open_clip.get_tokenizer("ViT-B-32-quickgelu")
    with torch.inference_mode():
        model.eval()
        rows = model.encode_image(torch.stack([transform(image) for image in images]))
        assert_agree(ours[0], unit_rows(rows))
        assert_agree(ours[1], unit_rows(model.encode_text(tokenizer(texts))))


def test_agrees_with_openai_clip(openai_clip, weights, images, texts, ours):
    model = openai_clip.model.build_model(dict(weights)).float()
    model.load_state_dict(weights)  # again: building rounds them to fp16
    transform = openai_clip.clip._transform(model.visual.input_resolution)
    with torch.inference_mode():
        rows = model.encode_image(torch.stack([transform(image) for image in images]))
        assert_agree(ours[0], unit_rows(rows))
        assert_agree(ours[1], unit_rows(model.encode_text(openai_clip.tokenize(texts))))


def test_agrees_with_transformers(weights, images, texts, ours):
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = CLIPModel(CLIPConfig()).eval()  # whose defaults are OpenAI's ViT-B/32
    model.load_state_dict(to_transformers(weights))
    pixels = CLIPImageProcessorPil()(images, return_tensors="pt")
    tokens = transformers_tokenizer()(texts, padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        assert_agree(ours[0], unit_rows(model.get_image_features(**pixels).pooler_output))
        assert_agree(ours[1], unit_rows(model.get_text_features(**tokens).pooler_output))


def test_the_wrong_activation_would_be_noticed(checkpoint, images, ours):
    encoder = load_encoder(f"ViT-B-32@{checkpoint}", device="cpu")
    pixels = np.stack([encoder.preprocess(image) for image in images[:4]])
    with pytest.raises(AssertionError):
        assert_agree(encoder.encode_images(pixels), ours[0][:4])


def transformers_tokenizer():
    """CLIP's vocabulary in the form that transformers wants it."""
    from open_clip.tokenizer import SimpleTokenizer, default_bpe
    from transformers import CLIPTokenizer

    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    vocabulary = {
        {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}.get(
            token, token
        ): i
        for token, i in SimpleTokenizer().encoder.items()
    }
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def to_transformers(weights):
    """OpenAI's names to transformers', written from the two models' own listings."""
    renamed = {}
    for tower, stem in (("vision", "visual."), ("text", "")):
        ours, theirs = f"{stem}transformer.resblocks", f"{tower}_model.encoder.layers"
        for layer in range(12):
            for part in ("weight", "bias"):
                qkv = weights[f"{ours}.{layer}.attn.in_proj_{part}"].chunk(3)
                for letter, piece in zip("qkv", qkv, strict=True):
                    renamed[f"{theirs}.{layer}.self_attn.{letter}_proj.{part}"] = piece.clone()
                pairs = {
                    "attn.out_proj": "self_attn.out_proj",
                    "ln_1": "layer_norm1",
                    "ln_2": "layer_norm2",
                    "mlp.c_fc": "mlp.fc1",
                    "mlp.c_proj": "mlp.fc2",
                }
                for old, new in pairs.items():
                    renamed[f"{theirs}.{layer}.{new}.{part}"] = weights[
                        f"{ours}.{layer}.{old}.{part}"
                    ]
    for old, new in (
        ("ln_final", "text_model.final_layer_norm"),
        ("visual.ln_pre", "vision_model.pre_layrnorm"),
        ("visual.ln_post", "vision_model.post_layernorm"),
    ):
        for part in ("weight", "bias"):
            renamed[f"{new}.{part}"] = weights[f"{old}.{part}"]
    vision, text = "vision_model.embeddings", "text_model.embeddings"
    return renamed | {
        "logit_scale": weights["logit_scale"],
        "visual_projection.weight": weights["visual.proj"].T.contiguous(),
        "text_projection.weight": weights["text_projection"].T.contiguous(),
        f"{vision}.class_embedding": weights["visual.class_embedding"],
        f"{vision}.patch_embedding.weight": weights["visual.conv1.weight"],
        f"{vision}.position_embedding.weight": weights["visual.positional_embedding"],
        f"{text}.token_embedding.weight": weights["token_embedding.weight"],
        f"{text}.position_embedding.weight": weights["positional_embedding"],
    }

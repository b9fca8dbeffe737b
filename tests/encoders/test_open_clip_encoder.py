import json
import logging
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cliptune.encoders import DualEncoder, Preprocess, load_encoder
from cliptune.encoders.model_files import find_files, is_local
from cliptune.encoders.names import LocalFile
from cliptune.encoders.open_clip_encoder import to_preprocess
from cliptune.encoders.published import find_published, model_config
from cliptune.errors import CheckpointError, DeviceError, InputError, UnavailableError

TEXTS = ["an ant", "a photo of a bee", "x " * 30]
SIGLIP_PREPROCESS = {
    "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash",
}  # fmt: skip


def unit(rows):
    return torch.nn.functional.normalize(rows.float(), dim=-1).numpy()


def reference(model, encoder, pixels, texts):
    """The model itself on normalised pixels and open_clip's tokens."""
    images = torch.from_numpy(encoder.preprocess.normalize(pixels))
    with torch.inference_mode():
        return unit(model.encode_image(images)), unit(model.encode_text(encoder.tokenizer(texts)))


@pytest.fixture(scope="session")
def siglip_config():
    """SigLIP's shape: a timm tower pooled by attention, a text tower without a causal mask."""
    return {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160, "timm_model_name": "test_vit3", "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 12, "vocab_size": 9, "hf_tokenizer_name": "someone/words",
            "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 64, "heads": 2, "layers": 1,
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def coca_config(tiny_config):
    return {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": tiny_config["vision_cfg"]
        | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        "text_cfg": tiny_config["text_cfg"]
        | {"context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 76, "width": 32, "heads": 2, "layers": 1},
    }


def test_a_folder_gives_the_models_own_rows(tiny_config, make_folder, make_model, pixels):
    encoder = load_encoder(str(make_folder(tiny_config)), device="cpu")
    assert isinstance(encoder, DualEncoder)
    assert (encoder.dim, encoder.context_length, encoder.precision) == (32, 77, "fp32")
    assert encoder.precision_reason
    images, texts = reference(make_model(tiny_config), encoder, pixels, TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-6)


def test_the_models_own_scale_is_used(tiny_config, make_folder):
    folder = make_folder(tiny_config | {"init_logit_scale": math.log(37)})
    assert load_encoder(str(folder), device="cpu").logit_scale == pytest.approx(37)


def test_a_resnet_in_channels_last_gives_the_models_own_rows(
    tiny_resnet_config, make_folder, make_model, pixels
):
    encoder = load_encoder(str(make_folder(tiny_resnet_config)), device="cpu")
    images, _ = reference(make_model(tiny_resnet_config), encoder, pixels, TEXTS)
    found = encoder.encode_images(pixels)
    np.testing.assert_allclose(found, images, atol=1e-5)
    assert (found @ found.T - np.eye(4)).max() < 0.999


def test_openais_resnet_50_agrees_with_the_original_package(make_model, tmp_path, data_root):
    """The same towers from the `clip` package's own source, on two photographs."""
    original = _original_model_module()
    model = make_model(model_config("RN50-quickgelu"))
    weights = {name: t.clone() for name, t in model.state_dict().items()}
    path = tmp_path / "RN50.safetensors"
    save_file(weights, path)
    encoder = load_encoder(f"RN50-quickgelu@{path}", device="cpu")
    peer = original.build_model(
        {name: t for name, t in weights.items() if not name.endswith("num_batches_tracked")}
    ).float()
    peer.load_state_dict(weights)
    paths = sorted((data_root / "hymenoptera_data" / "val" / "ants").glob("*.jpg"))[:2]
    pixels = np.stack([encoder.preprocess(Image.open(path).convert("RGB")) for path in paths])
    images, texts = reference(peer, encoder, pixels, TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-4)
    assert images[0] @ images[1] < 0.999


def _original_model_module():
    import importlib.util
    from pathlib import Path

    folder = Path(importlib.util.find_spec("clip").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("original_clip_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_siglip_with_its_tokenizer_in_the_folder(
    siglip_config, make_folder, make_model, words_folder
):
    folder = make_folder(siglip_config, SIGLIP_PREPROCESS)
    for file in words_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    encoder = load_encoder(str(folder), device="cpu")
    assert encoder.preprocess == Preprocess(
        size=(160, 160), resize_mode="squash", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert (encoder.context_length, encoder.causal_text, encoder.dim) == (12, False, 64)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 160, 160), dtype=np.uint8)
    texts = ["a photo of the ant", "the bee!"]
    images, rows = reference(make_model(siglip_config), encoder, pixels, texts)
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), rows, atol=1e-5)
    with pytest.raises(InputError, match="text of 21 tokens"):
        encoder.encode_texts(["bee " * 20])


def test_a_tokenizer_that_needs_the_hub_is_told_in_one_line(
    siglip_config, make_folder, monkeypatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = make_folder(siglip_config, SIGLIP_PREPROCESS)
    with pytest.raises(UnavailableError, match=r"^cannot get the tokenizer of '.*' \(someone/wo"):
        load_encoder(str(folder), device="cpu")


def test_a_coca_gives_the_models_own_rows(coca_config, make_folder, make_model, pixels):
    encoder = load_encoder(str(make_folder(coca_config)), device="cpu")
    assert (encoder.context_length, encoder.causal_text) == (76, False)
    images, texts = reference(make_model(coca_config), encoder, pixels, TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pixels), images, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-6)


def test_bf16_is_near_fp32_and_fp16_needs_a_gpu(tiny_config, make_folder, pixels):
    folder = str(make_folder(tiny_config))
    exact, rounded = (load_encoder(folder, device="cpu", precision=p) for p in ("fp32", "bf16"))
    assert exact.fingerprint == rounded.fingerprint
    assert exact.logit_scale == rounded.logit_scale
    for rows, close in (
        (exact.encode_images(pixels), rounded.encode_images(pixels)),
        (exact.encode_texts(TEXTS), rounded.encode_texts(TEXTS)),
    ):
        assert (rows * close).sum(axis=1).min() > 0.999
        assert not np.array_equal(rows, close)
    with pytest.raises(DeviceError, match="fp16"):
        load_encoder(folder, device="cpu", precision="fp16")


@pytest.mark.parametrize(
    ("change", "causal"),
    [
        ({}, True),
        ({"pool_type": "eos", "eos_id": 49407}, True),
        ({"no_causal_mask": True}, False),
        ({"pool_type": "last"}, False),
    ],
)
def test_what_stands_behind_the_end_mark_matters_only_without_a_causal_mask(
    tiny_config, make_folder, change, causal
):
    config = tiny_config | {"text_cfg": tiny_config["text_cfg"] | change}
    encoder = load_encoder(str(make_folder(config)), device="cpu")
    assert encoder.causal_text is causal
    tokens = encoder.tokenizer(["an ant"])
    other = tokens.clone()
    other[0, 10:] = 5
    with torch.inference_mode():
        rows = [encoder.model.encode_text(ids) for ids in (tokens, other)]
    assert torch.allclose(*rows, atol=1e-6) is causal


def test_the_fingerprint_knows_what_no_tensor_tells(tiny_config, make_folder):
    quick = tiny_config | {"quick_gelu": True}
    pooled = tiny_config | {"vision_cfg": tiny_config["vision_cfg"] | {"pool_type": "avg"}}
    configs = (tiny_config, quick, pooled)
    digests = {load_encoder(str(make_folder(c)), device="cpu").fingerprint for c in configs}
    squashed = make_folder(tiny_config, {"resize_mode": "squash"})
    digests.add(load_encoder(str(squashed), device="cpu").fingerprint)
    assert len(digests) == 4


def test_preprocessing_follows_the_models_own(tiny_config, make_folder):
    fields = {
        "size": 224, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "fill_color": 9,
        "interpolation": "bilinear", "resize_mode": "longest",
    }  # fmt: skip
    found = load_encoder(str(make_folder(tiny_config, fields)), device="cpu").preprocess
    assert found == Preprocess((64, 64), "longest", "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 9)


def test_preprocessing_takes_open_clips_defaults_and_oddities():
    assert to_preprocess({}, 224) == Preprocess()
    assert to_preprocess({"mean": 0.5, "std": 0.25}, 224).std == (0.25, 0.25, 0.25)
    assert to_preprocess({"interpolation": "random"}, 224).interpolation == "bicubic"
    assert to_preprocess({"interpolation": "bilinear"}, (224, 96)).interpolation == "bicubic"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"resize_mode": "stretch"}, "resize_mode 'stretch'; expected shortest, longest or squ"),
        ({"interpolation": "nearest"}, "interpolation 'nearest'; expected bicubic or bilinear"),
        ({"mode": "L"}, "mode 'L'; expected RGB"),
    ],
)
def test_preprocessing_that_cannot_be_expressed_is_refused(fields, match):
    with pytest.raises(CheckpointError, match=match):
        to_preprocess(fields, 224)


def test_published_weights_that_are_cached_load_with_their_tags_activation(
    make_model, tmp_path, monkeypatch
):
    """A random RN50 in the place of OpenAI's, in a cache without network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HOME", str(tmp_path))
    entry = find_published("RN50", "openai")
    assert not is_local(entry)
    repo = tmp_path / f"models--{entry.repo.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    model = make_model(model_config("RN50"))
    save_file(model.state_dict(), repo / "snapshots" / "abc" / "open_clip_model.safetensors")
    assert is_local(entry)
    for name in ("RN50", "RN50/openai"):
        encoder = load_encoder(name, device="cpu")
        assert encoder.name == name
        assert type(encoder.model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    with pytest.raises(UnavailableError, match="the weights of 'RN50/cc12m'"):
        load_encoder("RN50/cc12m", device="cpu")


def test_a_file_takes_the_preprocessing_that_its_architecture_is_published_with(tmp_path, caplog):
    file = tmp_path / "w.pt"
    found = find_files(LocalFile(file, "MobileCLIP-S1"), "m")
    assert found.preprocess["interpolation"] == "bilinear"
    assert found.preprocess["std"] == (1.0, 1.0, 1.0)
    assert not caplog.text
    with caplog.at_level(logging.WARNING, logger="cliptune"):
        assert find_files(LocalFile(file, "ViT-L-14"), "m").preprocess == {}
    assert "published ViT-L-14 weights differ in their preprocessing" in caplog.text


def test_a_folder_must_say_what_it_holds(tmp_path, tiny_config, make_model):
    with pytest.raises(CheckpointError, match=r"holds the weights\? found none"):
        load_encoder(str(tmp_path))
    save_file(make_model(tiny_config).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"neither open_clip_config.json nor config.json"):
        load_encoder(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_encoder(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(CheckpointError, match=r"lacks embed_dim, .*expected a 'model_cfg' with"):
        load_encoder(str(tmp_path))
    broken = {"model_cfg": tiny_config | {"colour": "blue"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(broken))
    with pytest.raises(CheckpointError, match="model_cfg asks for 'colour'"):
        load_encoder(str(tmp_path), device="cpu")
    broken = {"model_cfg": {**tiny_config, "embed_dim": 32, "vision_cfg": {"pool_type": "sum"}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(broken))
    with pytest.raises(CheckpointError, match="open_clip cannot build the model described"):
        load_encoder(str(tmp_path), device="cpu")
    (tmp_path / "b.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"found a\.safetensors, b\.safetensors; expected"):
        load_encoder(str(tmp_path))


def test_loading_writes_nothing_to_the_terminal(tiny_config, make_folder, tmp_path, capfd):
    import subprocess
    import sys

    folder = make_folder(tiny_config)
    code = (
        "import logging, warnings; before = list(warnings.filters);"
        "from cliptune.encoders import load_encoder;"
        f"load_encoder({str(folder)!r}, device='cpu').encode_texts(['an ant']);"
        "assert not logging.getLogger().handlers;"
        "assert [f for f in before if f not in warnings.filters] == []"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    assert capfd.readouterr() == ("", "")

"""A tower's own output comes with what it was projected from, both from one pass."""

import numpy as np
import pytest
import torch

from cliptune.encoders import load_encoder
from cliptune.encoders.trunk_features import encode_with_trunk
from cliptune.errors import InputError

VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16}


def make_tower(make_model, tiny_config, **vision):
    custom = {"custom_text": True} if "timm_model_name" in vision else {}
    return make_model({**tiny_config, **custom, "vision_cfg": vision}).visual


@pytest.fixture
def images(pixels):
    """Four pictures of 64 pixels, normalised."""
    return torch.from_numpy(pixels).float() / 127.5 - 1


def larger(images, side):
    return torch.nn.functional.interpolate(images, (side, side), mode="bicubic")


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"pool_type": "tok"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 3},
        {"output_tokens": True},
    ],
)
def test_a_vits_embedding_is_its_pooled_features_projected(
    make_model, tiny_config, images, options
):
    tower = make_tower(make_model, tiny_config, **VISION, **options)
    with torch.inference_mode():
        embedding, pooled = encode_with_trunk(tower, images)
        own = tower(images)
        assert_close(embedding, own[0] if isinstance(own, tuple) else own)
        assert_close(pooled @ tower.proj, embedding)
    assert pooled.shape == (4, len(tower.proj))


def test_the_class_token_after_the_last_norm_is_a_vits_trunk(make_model, tiny_config, images):
    tower = make_tower(make_model, tiny_config, **VISION)
    with torch.inference_mode():
        hidden = tower.ln_post(tower.transformer(tower._embeds(images)))
        assert_close(encode_with_trunk(tower, images)[1], hidden[:, 0])


def test_a_resnets_trunk_is_the_mean_over_its_last_cells(make_model, tiny_resnet_config, images):
    tower = make_model(tiny_resnet_config).visual
    with torch.inference_mode():
        embedding, pooled = encode_with_trunk(tower, images)
        cells = tower.forward_intermediates(images, indices=1, intermediates_only=True)
        assert_close(embedding, tower(images))
        assert_close(pooled, cells["image_intermediates"][-1].mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "options", "width"),
    [
        ("test_vit", {"timm_pool": "token", "timm_proj": None}, 64),
        ("test_vit", {"timm_pool": "avg", "timm_proj": "linear"}, 64),
        ("test_vit2", {"timm_pool": "", "timm_proj": "mlp"}, 64),
        ("test_convnext", {"timm_pool": "", "timm_proj": "linear"}, 64),
        ("test_efficientnet", {"timm_pool": "avg", "timm_proj": "linear"}, 256),
        ("test_efficientnet", {"timm_pool": "abs_attn", "timm_proj": "linear"}, 32),
    ],
)
def test_a_timm_tower_is_split_at_its_last_layer(
    make_model, tiny_config, images, name, options, width
):
    vision = {"timm_model_name": name, "image_size": 160, **options}
    tower = make_tower(make_model, tiny_config, **vision)
    images = larger(images[:2], 160)
    last = tower.head[-1] if len(tower.head) else tower.trunk.get_classifier()
    with torch.inference_mode():
        embedding, pooled = encode_with_trunk(tower, images)
        assert_close(embedding, tower(images))
        assert_close(last(pooled), embedding)
    assert pooled.shape == (2, width)


@pytest.mark.parametrize(
    ("name", "options", "dim"),
    [
        ("test_vit3", {"timm_pool": "map", "timm_proj": "none"}, 96),
        ("test_efficientnet", {"timm_pool": "abs_attn", "timm_proj": ""}, 32),
    ],
)
def test_a_timm_tower_without_a_projection_of_its_own_is_refused(
    make_model, tiny_config, images, name, options, dim
):
    vision = {"timm_model_name": name, "image_size": 160, **options}
    tower = make_tower(make_model, tiny_config | {"embed_dim": dim}, **vision)
    with pytest.raises(InputError, match="no features before a projection"):
        encode_with_trunk(tower, larger(images, 160))


def test_a_tower_of_an_unknown_kind_or_without_projection_is_refused(
    make_model, tiny_config, images
):
    with pytest.raises(InputError, match="image tower of type Linear"):
        encode_with_trunk(torch.nn.Linear(2, 2), images)
    tower = make_tower(make_model, tiny_config, **VISION)
    tower.proj = None
    with pytest.raises(InputError, match="a ViT without a projection"):
        encode_with_trunk(tower, images)
    tower = make_tower(make_model, tiny_config, **VISION, pool_type="none")
    with pytest.raises(InputError, match="a ViT that does not pool"):
        encode_with_trunk(tower, images)


def test_an_encoder_gives_its_embedding_and_the_trunk_at_unit_length(
    tiny_config, make_folder, pixels
):
    encoder = load_encoder(str(make_folder(tiny_config)), device="cpu")
    found = encoder.encode_trunk(pixels)
    projection = encoder.model.visual.proj.detach().numpy()
    assert found.dtype == np.float32
    assert found.shape == (4, 32 + len(projection))
    np.testing.assert_allclose(found[:, :32], encoder.encode_images(pixels), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found[:, 32:], axis=1), 1, atol=1e-6)
    projected = found[:, 32:] @ projection
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(projected, found[:, :32], atol=1e-5)

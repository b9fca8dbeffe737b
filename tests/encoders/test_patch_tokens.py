"""Each token must be what the tower's tail makes of a grid that holds nothing else."""

import numpy as np
import pytest
import torch
from torch.nn.functional import linear, normalize

from cliptune.encoders import load_encoder
from cliptune.encoders.patch_tokens import encode_patches
from cliptune.errors import InputError

VISION = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16}


def make_tower(make_model, tiny_config, **vision):
    return make_model({**tiny_config, "vision_cfg": vision}).visual


def make_timm(make_model, tiny_config, name, **options):
    vision = {"timm_model_name": name, "image_size": 160, **options}
    return make_model({**tiny_config, "custom_text": True, "vision_cfg": vision}).visual


@pytest.fixture
def images(pixels):
    """Four pictures of 64 pixels, normalised."""
    return torch.from_numpy(pixels).float() / 127.5 - 1


def larger(images, side):
    return torch.nn.functional.interpolate(images, (side, side), mode="bicubic")


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    flat = found.flatten(0, 1)
    assert (flat - flat.mean(0)).abs().max() > 1e-3  # tokens differ: a mix-up would show


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("pool", ["tok", "avg"])
def test_a_vit_norms_and_projects_each_patch(make_model, tiny_config, images, pool, after):
    tower = make_tower(make_model, tiny_config, **VISION, pool_type=pool, final_ln_after_pool=after)
    with torch.inference_mode():
        hidden = tower.transformer(tower._embeds(images))[:, 1:]
        assert_same(encode_patches(tower, images), tower.ln_post(hidden) @ tower.proj)


def test_the_class_token_in_a_patchs_place_gives_the_embedding(make_model, tiny_config, images):
    """The tail that patches go through is the one that makes the embedding."""
    tower = make_tower(make_model, tiny_config, **VISION)
    with torch.inference_mode():
        hidden = tower.transformer(tower._embeds(images))
        expected = tower(images)
        tower.forward_intermediates = lambda *_, **__: {"image_intermediates": [hidden[:, :1]]}
        assert_same(encode_patches(tower, images)[:, 0, None], expected[:, None])


@pytest.mark.parametrize("width", [64, 32])  # 32 is the embedding's: one fused weight
def test_attention_over_one_token_is_that_token(make_model, tiny_config, images, width):
    tower = make_tower(
        make_model, tiny_config,
        **VISION | {"width": width, "head_width": 32},
        attentional_pool=True, attn_pooler_heads=4, attn_pooler_queries=3,
    )  # fmt: skip
    with torch.inference_mode():
        hidden = tower.transformer(tower._embeds(images))[:, 1:]
        alone = tower.attn_pool(hidden.flatten(0, 1)[:, None])[:, 0]
        expected = (tower.ln_post(alone) @ tower.proj).view(*hidden.shape[:2], -1)
        assert_same(encode_patches(tower, images), expected)


def test_a_vit_with_two_attention_poolings_is_refused(make_model, tiny_config, images):
    tower = make_tower(
        make_model, tiny_config, **VISION, attentional_pool="parallel", attn_pooler_heads=4
    )
    with pytest.raises(InputError, match="two attention poolings"):
        encode_patches(tower, images)


def test_a_resnets_embedding_is_a_mixture_of_its_cells(
    make_model, tiny_resnet_config, images
):  # fmt: skip
    """With queries of zero all weights are equal, and the mean of values is the embedding."""
    tower = make_model(tiny_resnet_config).visual
    pooler = tower.attnpool
    with torch.inference_mode():
        for projection in (pooler.q_proj, pooler.k_proj):
            projection.weight.zero_()
            projection.bias.zero_()
        cells = encode_patches(tower, images)
        assert cells.shape == (4, 4, 32)
        last = tower.forward_intermediates(images, indices=1, intermediates_only=True)
        mean = last["image_intermediates"][-1].flatten(2).mean(2) + pooler.positional_embedding[0]
        of_mean = pooler.c_proj(linear(mean, pooler.v_proj.weight, pooler.v_proj.bias))
        torch.testing.assert_close(
            torch.cat([of_mean[:, None], cells], 1).mean(1), tower(images), atol=1e-4, rtol=1e-4
        )
        assert (cells - cells.mean(1, keepdim=True)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_vit", {"timm_pool": "token", "timm_proj": None}),
        ("test_vit", {"timm_pool": "avg", "timm_proj": "linear"}),
        ("test_vit2", {"timm_pool": "", "timm_proj": "mlp"}),
        ("test_vit3", {"timm_pool": "map", "timm_proj": "none"}),
        ("test_convnext", {"timm_pool": "", "timm_proj": "linear"}),
        ("test_efficientnet", {"timm_pool": "avg", "timm_proj": "linear"}),
        ("swin_s3_tiny_224", {"timm_pool": "", "timm_proj": "linear", "image_size": 224}),
        (
            "vit_pe_core_tiny_patch16_384",
            {"timm_pool": "map", "timm_proj": None, "image_size": 384},
        ),
    ],
)
def test_a_timm_tower_pools_copies_of_a_token_to_that_token(
    make_model, tiny_config, images, name, options
):
    dim = 192 if name.startswith("vit_pe") else 96 if name == "test_vit3" else 32
    tower = make_timm(make_model, tiny_config | {"embed_dim": dim}, name, **options)
    images = larger(images[:2], options.get("image_size", 160))
    with torch.inference_mode():
        found = normalize(encode_patches(tower, images), dim=-1)
        features = tower.trunk.forward_features(images)
        for token in (0, 3):
            grid = constant_grid(tower.trunk, features, token)
            expected = normalize(tower.head(tower.trunk.forward_head(grid)), dim=-1)
            torch.testing.assert_close(found[:, token], expected, atol=2e-5, rtol=1e-4)
    assert found.shape == (2, n_places(tower.trunk, features), dim)
    assert (found[:, 0] - found[:, 3]).abs().max() > 1e-3


def constant_grid(trunk, features, token):
    """Features in which every place, prefixes too, holds one token of the same image."""
    if features.ndim == 3:
        place = features[:, trunk.num_prefix_tokens + token, None]
        return place.expand_as(features).contiguous()
    if getattr(trunk, "output_fmt", "NCHW") == "NHWC":
        return features.flatten(1, 2)[:, token, None, None].expand_as(features).contiguous()
    return features.flatten(2)[:, :, token, None, None].expand_as(features).contiguous()


def n_places(trunk, features):
    if features.ndim == 3:
        return features.shape[1] - trunk.num_prefix_tokens
    channels = 3 if getattr(trunk, "output_fmt", "NCHW") == "NHWC" else 1
    return features[0].numel() // features.shape[channels]


def test_a_timm_pooling_over_the_whole_grid_is_refused(make_model, tiny_config, images):
    tower = make_timm(
        make_model, tiny_config, "test_efficientnet", timm_pool="abs_attn", timm_proj=""
    )
    with pytest.raises(InputError, match="needs the whole grid"):
        encode_patches(tower, larger(images, 160))


def test_a_tower_of_an_unknown_kind_is_refused(images):
    with pytest.raises(InputError, match="image tower of type Linear"):
        encode_patches(torch.nn.Linear(2, 2), images)


def test_an_encoder_gives_tokens_as_float32(tiny_config, make_folder, pixels):
    encoder = load_encoder(str(make_folder(tiny_config)), device="cpu")
    tokens = encoder.encode_tokens(pixels)
    assert tokens.shape == (4, 4, 32)
    assert tokens.dtype == np.float32
    assert not np.allclose(np.linalg.norm(tokens, axis=-1), 1)

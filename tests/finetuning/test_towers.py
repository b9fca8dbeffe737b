"""Unit rows of both towers; cut texts equal full ones in loss and gradients."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from cliptune.encoders.preprocess import Preprocess
from cliptune.finetuning.losses import clip_loss
from cliptune.finetuning.towers import (
    encode_images,
    encode_tokens,
    normalize_pixels,
    precision_context,
)
from tiny_training import HashTokenizer, make_model

TEXTS = ["a photo of a red dot.", "blue", "a green one"]


@pytest.mark.parametrize("custom_text", [False, True])
def test_texts_at_true_length_give_the_loss_and_gradients_of_full_length(custom_text):
    model, tokens = make_model(custom_text=custom_text), HashTokenizer()(TEXTS)
    images = torch.randn(3, 3, 32, 32)
    results = []
    for texts in (
        lambda: normalize(model.encode_text(tokens), dim=-1),
        lambda: encode_tokens(model, tokens),
    ):
        loss = clip_loss(encode_images(model, images), texts(), model.logit_scale.exp())
        loss.backward()
        results.append((loss.item(), {n: p.grad.clone() for n, p in model.named_parameters()}))
        model.zero_grad()
    (full, full_gradients), (cut, cut_gradients) = results
    assert cut == pytest.approx(full, abs=1e-6)
    for name, gradient in full_gradients.items():
        torch.testing.assert_close(cut_gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_only_the_columns_up_to_the_last_end_mark_are_computed(tiny_model):
    lengths = []
    tiny_model.ln_final.register_forward_hook(lambda *_: None)
    tiny_model.transformer.register_forward_hook(lambda _m, _i, out: lengths.append(out.shape[1]))
    encode_tokens(tiny_model, HashTokenizer()(TEXTS))
    assert lengths == [HashTokenizer().count_tokens(TEXTS[0])]


def test_a_text_tower_that_sees_the_whole_row_is_not_cut(tiny_model):
    tiny_model.attn_mask = None
    lengths = []
    tiny_model.transformer.register_forward_hook(lambda _m, _i, out: lengths.append(out.shape[1]))
    rows = encode_tokens(tiny_model, HashTokenizer()(TEXTS))
    assert lengths == [16]
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3))


def test_pixels_are_normalised_as_the_transform_says():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    preprocess = Preprocess()
    for channels_last in (False, True):
        images = normalize_pixels(torch.from_numpy(pixels), preprocess, channels_last=channels_last)
        np.testing.assert_allclose(images.numpy(), preprocess.normalize(pixels), atol=1e-6)


def test_autocast_is_on_only_for_half_precision():
    with precision_context("cpu", "fp32"):
        assert not torch.is_autocast_enabled("cpu")
    with precision_context("cpu", "bf16"):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16

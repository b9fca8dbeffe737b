"""MobileCLIP's branches, merged for inference and left alone in the model."""

import numpy as np
import pytest
import torch
from torch import nn

from cliptune.encoders import load_encoder
from cliptune.encoders.engines.agreement import draw_inputs
from cliptune.encoders.merged_branches import has_branches, merge_branches


@pytest.fixture
def encoder(small_open_clip):
    folder = str(small_open_clip("mobileclip2").folder)
    return load_encoder(folder, device="cpu", precision="fp32")


def count(kind, model):
    return sum(isinstance(part, kind) for part in model.modules())


def test_merged_rows_are_those_with_branches(encoder):
    """``encode_alone`` goes through the branches."""
    pixels = draw_inputs(encoder.preprocess, 3)
    names, digest = list(encoder.model.state_dict()), encoder.fingerprint
    merged, apart = encoder.encode_images(pixels), encoder.encode_alone("pooled", pixels)
    np.testing.assert_allclose(merged, apart, atol=1e-5)
    assert not np.array_equal(merged, apart)
    assert names == list(encoder.model.state_dict())
    assert encoder.rewrapped(device="cpu", precision="fp32").fingerprint == digest


def test_fewer_convolutions_and_batch_norms_are_left(encoder):
    merged = merge_branches(encoder.model)
    for kind, share in ((nn.Conv2d, 0.8), (nn.BatchNorm2d, 0.3)):
        assert count(kind, merged.visual) <= share * count(kind, encoder.model.visual)
    assert merged.text is encoder.model.text
    images = torch.from_numpy(encoder.preprocess.normalize(draw_inputs(encoder.preprocess, 2)))
    with torch.no_grad():
        for ours, theirs in (
            (merged.encode_image_tokens(images), encoder.model.encode_image_tokens(images)),
            (merged.encode_image_trunk(images)[1], encoder.model.encode_image_trunk(images)[1]),
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_changed_weights_are_merged_anew(encoder):
    pixels = draw_inputs(encoder.preprocess, 2)
    before = encoder.encode_images(pixels)
    first = next(p for p in encoder.model.visual.parameters() if p.ndim == 4)
    with torch.no_grad():
        first.mul_(-1.5)
    after = encoder.encode_images(pixels)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, encoder.encode_alone("pooled", pixels), atol=1e-5)


def test_a_model_without_branches_is_left_as_it_is(small_open_clip):
    encoder = load_encoder(str(small_open_clip("clip").folder), device="cpu")
    assert not has_branches(encoder.model)
    assert merge_branches(encoder.model) is encoder.model

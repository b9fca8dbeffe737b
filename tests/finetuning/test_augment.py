"""Random views depend on their generator alone and stay within the image."""

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.finetuning.augment import augment_image

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8))
PREPROCESS = Preprocess(size=(32, 40))


@pytest.mark.parametrize("kind", ["none", "light", "strong"])
def test_a_view_follows_from_its_generator(kind):
    views = [
        augment_image(IMAGE, PREPROCESS, kind=kind, rng=np.random.default_rng([seed, 1]))
        for seed in (0, 0, 1)
    ]
    assert views[0].shape == (3, 32, 40)
    assert views[0].dtype == np.uint8
    assert views[0].flags.c_contiguous
    np.testing.assert_array_equal(views[0], views[1])
    assert (kind == "none") == np.array_equal(views[0], views[2])


def test_none_is_the_models_own_transform():
    view = augment_image(IMAGE, PREPROCESS, kind="none", rng=np.random.default_rng(0))
    np.testing.assert_array_equal(view, PREPROCESS(IMAGE))


def test_half_of_the_views_are_mirrored():
    ramp = Image.fromarray(np.tile(np.arange(90, dtype=np.uint8)[None, :, None], (60, 1, 3)))
    rising = [
        view[0, 0, -1] > view[0, 0, 0]
        for seed in range(200)
        for view in [augment_image(ramp, PREPROCESS, kind="light", rng=np.random.default_rng(seed))]
    ]
    assert 70 < sum(rising) < 130


def test_a_light_view_shows_at_least_seventy_percent_of_the_area():
    """On a picture whose values are its coordinates, the range of values tells the box."""
    rows, columns = np.mgrid[0:240, 0:240]
    ramp = Image.fromarray(np.stack([rows, columns, rows * 0], -1).astype(np.uint8))
    areas = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        view = augment_image(ramp, Preprocess(size=(32, 32)), kind="light", rng=rng)
        spans = [np.ptp(view[channel].astype(float)) * 32 / 31 / 240 for channel in (0, 1)]
        areas.append(spans[0] * spans[1])
    assert 0.64 < min(areas) < 0.76
    assert 0.92 < max(areas) < 1.06


def test_strong_views_vary_brightness():
    grey = Image.new("RGB", (50, 50), (100, 100, 100))
    means = [
        augment_image(grey, PREPROCESS, kind="strong", rng=np.random.default_rng(seed)).mean()
        for seed in range(50)
    ]
    assert 55 < min(means) < 80
    assert 120 < max(means) < 145

"""Bytes resized without torch are those that torch gives."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from cliptune.encoders import torch_resize
from cliptune.encoders.torch_resize import resize_as_torch

SIZES = [((375, 500), (224, 224)), ((90, 61), (224, 300)), ((1, 1), (7, 5)), ((3, 700), (224, 2))]
SIZES += [((224, 300), (224, 50)), ((301, 50), (31, 50)), ((1500, 40), (16, 16))]


@pytest.fixture
def without_torch(monkeypatch):
    """Resize by NumPy, though torch is loaded here."""
    monkeypatch.setattr(torch_resize, "_in_torch", torch_resize._in_numpy)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("kind", ["noise", "black or white", "smooth"])
def test_every_byte_is_that_of_torch(without_torch, mode, kind):
    rng = np.random.default_rng(0)
    drawn = [tuple(map(tuple, rng.integers(1, 400, (2, 2)).tolist())) for _ in range(25)]
    for (height, width), size in [*SIZES, *drawn]:
        levels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        if kind == "black or white":
            levels = np.where(levels < 128, 0, 255).astype(np.uint8)
        picture = Image.fromarray(levels)
        if kind == "smooth":
            picture = picture.resize((5, 4)).resize((width, height))
        whole = torch.from_numpy(np.array(picture).transpose(2, 0, 1))[None]
        wanted = interpolate(whole, size=size, mode=mode, antialias=True, align_corners=False)
        found = resize_as_torch(np.asarray(picture), size, mode)
        np.testing.assert_array_equal(found, wanted[0].numpy(), strict=True)


def test_large_pictures_go_through_in_parts(without_torch, monkeypatch):
    picture = np.random.default_rng(1).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    whole = resize_as_torch(picture, (100, 90), "bilinear")
    monkeypatch.setattr(torch_resize, "_MOST_LEVELS", 1000)
    np.testing.assert_array_equal(resize_as_torch(picture, (100, 90), "bilinear"), whole)


def test_torch_is_loaded_where_many_pictures_come():
    code = (
        "import sys\n"
        "from cliptune.encoders.preprocess import Preprocess\n"
        "for resampler, n in (('torch', 9), ('pillow', 9999), ('torch', 9999)):\n"
        "    Preprocess(resampler=resampler).expect(n)\n"
        "    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]

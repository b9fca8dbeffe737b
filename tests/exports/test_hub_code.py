"""The code of a hub's folder does to pictures what the encoder does: to the last bit."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cliptune.exports
from cliptune.encoders.averaged_crops import average_rows, spread_crops
from cliptune.encoders.preprocess import Preprocess
from cliptune.exports.hub_folder import processor_config

pytest.importorskip("transformers", reason="needs transformers")
SIZES = [(48, 36), (37, 91), (33, 32), (200, 151), (20, 21), (32, 32), (500, 375), (9, 3000)]


@pytest.fixture(scope="module")
def code():
    """Give a module of the folder by its name, as transformers imports it: by itself."""
    place = str(Path(cliptune.exports.__file__).parent / "consumer")
    sys.path.insert(0, place)
    yield importlib.import_module
    sys.path.remove(place)


def processor_of(code, preprocess):
    module = code("image_processing_cliptune")
    return module.CliptuneImageProcessor(**processor_config(preprocess))


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(size=(32, 32)),
        Preprocess(size=(32, 32), interpolation="bilinear", crop_fraction=0.875),
        Preprocess(size=(24, 40)),
        Preprocess(size=(32, 32), resize_mode="longest", fill=117),
        Preprocess(size=(24, 40), resize_mode="longest"),
        Preprocess(size=(24, 40), resize_mode="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.1)),
        Preprocess(size=(32, 32), crops=2),
        Preprocess(size=(32, 32), crop_fraction=0.9, crops=12),
        Preprocess(size=(32, 32), resize_mode="longest", crops=6),
    ],
    ids=lambda one: f"{one.resize_mode}-{one.size[0]}x{one.size[1]}-{one.crops}",
)
def test_pictures_become_the_same_pixels(code, make_picture, preprocess):
    processor = processor_of(code, preprocess)
    for seed, size in enumerate(SIZES):
        picture = make_picture(seed, size)
        wanted = preprocess.normalize(preprocess(picture)[None])
        for given in (picture, np.asarray(picture), torch.from_numpy(np.array(picture))):
            found = processor(given, return_tensors="np")["pixel_values"]
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, wanted)


def test_several_pictures_come_out_in_order(code, make_picture):
    preprocess = Preprocess(size=(32, 32))
    pictures = [make_picture(seed, size) for seed, size in enumerate(SIZES)]
    found = processor_of(code, preprocess)(images=pictures, return_tensors="pt")["pixel_values"]
    wanted = preprocess.normalize(np.stack([preprocess(one) for one in pictures]))
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_pictures_are_laid_on_white_and_upright(code, make_picture):
    processor = processor_of(code, Preprocess(size=(32, 32), resize_mode="squash"))
    see_through = Image.new("RGBA", (40, 30), (10, 20, 30, 0))
    white = processor(Image.new("RGB", (40, 30), "white"))["pixel_values"]
    np.testing.assert_array_equal(processor(see_through)["pixel_values"], white)
    picture = make_picture(0, (40, 30))
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned clockwise
    np.testing.assert_array_equal(
        processor(turned)["pixel_values"], processor(picture)["pixel_values"]
    )
    deep = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)
    grey = Image.fromarray((np.asarray(deep) >> 8).astype(np.uint8))
    np.testing.assert_array_equal(processor(deep)["pixel_values"], processor(grey)["pixel_values"])


@pytest.mark.parametrize("crops", [1, 2, 6, 12])
def test_crops_are_spread_and_averaged_alike(code, crops):
    module, preprocess = code("modeling_cliptune"), Preprocess(size=(4, 6), crops=crops)
    images = torch.randn(3, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    spread = module.spread_crops(images, crops)
    torch.testing.assert_close(spread, spread_crops(images, preprocess), rtol=0, atol=0)
    rows = spread.flatten(1)
    found = module.average_crops(rows, crops)
    torch.testing.assert_close(found, average_rows(rows, crops), rtol=0, atol=0)

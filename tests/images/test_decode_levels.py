"""Arrays of pixels are those of the pictures, whoever decodes."""

import io

import numpy as np
import pytest
from PIL import Image

from cliptune.errors import BadImageError
from cliptune.images import decode
from cliptune.images.decode import decode_image, decode_levels

WAYS = {
    "usual": {},
    "coarse": {"quality": 20},
    "full colour": {"subsampling": 0},
    "progressive": {"progressive": True},
    "red, green, blue": {"keep_rgb": True},
    "restarts": {"restart_marker_blocks": 3},
}


@pytest.fixture(scope="module")
def photograph(data_root):
    return Image.open(next((data_root / "hymenoptera_data/train/bees").iterdir())).convert("RGB")


@pytest.fixture
def decoded(monkeypatch):
    """Count what simplejpeg decoded, and what it was asked for in vain."""
    pytest.importorskip("simplejpeg")
    counts, real = {"done": 0, "left": 0}, decode._decode_quickly

    def counting(data):
        levels = real(data)
        counts["left" if levels is None else "done"] += 1
        return levels

    monkeypatch.setattr(decode, "_decode_quickly", counting)
    return counts


def jpeg_of(picture, **how):
    file = io.BytesIO()
    picture.save(file, "JPEG", **how)
    return file.getvalue()


@pytest.mark.parametrize("size", [(500, 375), (1, 1), (17, 3), (333, 251)])
@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_has_the_pixels_that_pillow_gives(photograph, decoded, way, size):
    data = jpeg_of(photograph.resize(size), **WAYS[way])
    wanted = np.asarray(decode_image(data, name="it"))
    np.testing.assert_array_equal(decode_levels(data, name="it"), wanted, strict=True)
    assert decoded == {"done": 1, "left": 0}


def test_real_photographs_have_the_same_pixels(data_root, decoded):
    files = sorted((data_root / "hymenoptera_data/val").glob("*/*.jpg"))[::8]
    for file in files:
        data = file.read_bytes()
        wanted = np.asarray(decode_image(data, name=file.name))
        np.testing.assert_array_equal(decode_levels(data, name=file.name), wanted)
    assert decoded == {"done": len(files), "left": 0}


@pytest.mark.parametrize("kind", ["grey", "four colours", "turned", "png", "reduced"])
def test_what_is_no_plain_colour_jpeg_is_left_to_pillow(photograph, decoded, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = {
        "grey": lambda: jpeg_of(photograph.convert("L")),
        "four colours": lambda: jpeg_of(photograph.convert("CMYK")),
        "turned": lambda: jpeg_of(photograph, exif=exif),
        "reduced": lambda: jpeg_of(photograph.resize((900, 700))),
        "png": lambda: _png_of(photograph),
    }[kind]()
    min_side = 100 if kind == "reduced" else None
    wanted = np.asarray(decode_image(data, name="it", min_side=min_side))
    found = decode_levels(data, name="it", min_side=min_side)
    np.testing.assert_array_equal(found, wanted)
    assert decoded == {"done": 0, "left": 0}


def test_a_cut_file_is_refused_in_the_same_words(photograph, decoded):
    data = jpeg_of(photograph)[:-4000]
    with pytest.raises(BadImageError) as wanted:
        decode_image(data, name="it")
    with pytest.raises(BadImageError) as found:
        decode_levels(data, name="it")
    assert str(found.value) == str(wanted.value)
    assert decoded["done"] == 0


def test_without_simplejpeg_pillow_decodes(photograph, monkeypatch):
    monkeypatch.setattr(decode, "_simplejpeg", lambda: None)
    data = jpeg_of(photograph)
    wanted = np.asarray(decode_image(data, name="it"))
    np.testing.assert_array_equal(decode_levels(data, name="it"), wanted)


def _png_of(picture):
    file = io.BytesIO()
    picture.resize((40, 30)).save(file, "PNG")
    return file.getvalue()

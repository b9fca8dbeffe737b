"""Large JPEGs decoded at a reduced scale are, to a model, the same pictures."""

import numpy as np
import pytest

from cliptune.encoders import Preprocess, load_encoder
from cliptune.features.keys import StoreKey, reduces_input
from cliptune.images.decode import decode_image

LARGE = (
    "val/ants/ants-devouring-remains-of-large-dead-insect-on-red-tile-in-Stellenbosch-South-"
    "Africa-closeup-1-DHD.jpg"
)
OTHER = "train/ants/Nepenthes_rafflesiana_ant.jpg"


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        (LARGE, Preprocess()),
        (LARGE, Preprocess(resize_mode="squash")),
        (LARGE, Preprocess(resize_mode="longest")),
        (OTHER, Preprocess(size=(160, 160))),
        (OTHER, Preprocess(size=(144, 144), crop_fraction=0.875, interpolation="bilinear")),
    ],
)
def test_pixels_stay_within_one_255th_on_average(data_root, name, preprocess):
    data = (data_root / "hymenoptera_data" / name).read_bytes()
    whole = decode_image(data, name="whole")
    reduced = decode_image(data, name="reduced", min_side=preprocess.min_side)
    assert reduced.width < whole.width
    assert min(reduced.size) >= preprocess.min_side
    ours, theirs = (preprocess(image).astype(float) for image in (reduced, whole))
    assert np.abs(ours - theirs).mean() < 1


def test_embeddings_stay_where_they_were(data_root):
    data, preprocess = (data_root / "hymenoptera_data" / LARGE).read_bytes(), Preprocess()
    pictures = [decode_image(data, name="x", min_side=s) for s in (None, preprocess.min_side)]
    assert pictures[0].size == (2592, 1944)
    assert pictures[1].size == (1296, 972)
    encoder = load_encoder("lite", device="cpu")
    whole, reduced = encoder.encode_images(np.stack([preprocess(p) for p in pictures]))
    assert float(whole @ reduced) >= 0.9995


def test_small_pictures_and_other_formats_are_decoded_whole(make_picture, encode_picture):
    picture = make_picture(0, size=(900, 700))
    for kind, side in (("JPEG", 448), ("PNG", 100)):
        data = encode_picture(picture, kind)
        assert decode_image(data, name="x", min_side=side).size == (900, 700)


def test_the_key_of_what_is_kept_tells_of_it():
    key = StoreKey("f", {}, "fp32", "openvino", "pooled")
    assert key.digest != StoreKey("f", {}, "fp32", "openvino", "pooled", reduced=True).digest
    assert not reduces_input(load_encoder("lite", device="cpu"))

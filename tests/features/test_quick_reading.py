"""The quick way from files to pixels: nearly the bytes of the exact one, and its embeddings."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders import Preprocess
from cliptune.encoders.engines import open_on_engine
from cliptune.errors import BadImageError
from cliptune.features.extract import extract
from cliptune.features.reading import exact_reader, quick_reader
from cliptune.images import ImageTable

MODES = [
    Preprocess(),
    Preprocess(resize_mode="squash"),
    Preprocess(crop_fraction=0.875, interpolation="bilinear"),
    Preprocess(size=(192, 256)),
]
OTHERS = [
    Preprocess(resize_mode="longest"),
    Preprocess(crops=6),
    Preprocess(resize_mode="squash", crop_fraction=0.9),
]


@pytest.mark.parametrize("preprocess", MODES, ids=lambda one: one.resize_mode)
def test_few_bytes_are_others_and_hardly_any_more_than_one_apart(insects, preprocess):
    for row in range(len(insects)):
        image = insects.load_image(row)
        quick = preprocess.quickly(np.asarray(image))
        assert quick.flags.c_contiguous
        apart = np.abs(quick - preprocess(image).astype(int))
        assert apart.max() <= 2
        assert (apart > 0).mean() < 0.01
        assert (apart > 1).mean() < 1e-4


def test_where_torch_resizes_anyway_nothing_changes(insects):
    preprocess = Preprocess(resampler="torch")
    image = insects.load_image(0)
    np.testing.assert_array_equal(preprocess.quickly(np.asarray(image)), preprocess(image))


@pytest.mark.parametrize("preprocess", OTHERS)
def test_what_the_kernel_has_no_part_in_is_prepared_exactly(insects, preprocess):
    assert preprocess.quickly(np.asarray(insects.load_image(0))) is None
    encoder = open_on_engine("lite", engine="openvino", precision="fp32")
    encoder.facts = replace(encoder.facts, preprocess=preprocess)
    quick, exact = quick_reader(encoder, insects)(0), exact_reader(encoder, insects)(0)
    np.testing.assert_array_equal(quick, exact)


def test_a_thin_picture_is_prepared_exactly():
    assert Preprocess().quickly(np.zeros((30_000, 8, 3), np.uint8)) is None


def test_embeddings_are_those_of_the_exact_way(insects):
    encoder = open_on_engine("lite", engine="openvino", precision="fp32")
    found = [
        np.concatenate([batch.vectors for batch in extract(encoder, insects, reader=reader)])
        for reader in (None, quick_reader(encoder, insects))
    ]
    centred = [one - found[0].mean(0) for one in found]
    centred = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in centred]
    cosines = np.sum(centred[0] * centred[1], axis=1)
    assert 0.9995 < cosines.min() < 1 - 1e-8  # near, and not the same pixels twice


def test_an_unreadable_image_is_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (60, 40)).save(tmp_path / name / f"{name}.png")
    (tmp_path / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    encoder = open_on_engine("lite", engine="openvino", precision="fp32")
    table = ImageTable.open(tmp_path)
    with pytest.raises(BadImageError, match=r"broken\.jpg"):
        list(extract(encoder, table, reader=quick_reader(encoder, table)))

import warnings

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders.preprocess import Preprocess

ODD_SIZES = [(500, 375), (375, 500), (333, 251), (251, 333), (31, 32), (97, 640), (224, 224)]
ODD_SIZES += [(225, 223), (1001, 17), (17, 1001), (640, 330), (64, 64), (640, 427)]


@pytest.fixture(scope="module")
def photographs(data_root):
    paths = sorted((data_root / "hymenoptera_data" / "val").rglob("*.jpg"))[:2]
    return [Image.open(path).convert("RGB") for path in paths]


def reference_bytes(image, preprocess):
    """open_clip's evaluation transform, its last step (the normalisation) left out."""
    from open_clip.transform import image_transform

    transform = image_transform(
        preprocess.size,
        is_train=False,
        resize_mode=preprocess.resize_mode,
        interpolation=preprocess.interpolation,
        fill_color=preprocess.fill,
    )
    values = image
    for step in transform.transforms[:-1]:
        values = step(values)
    return (values * 255).round().byte().numpy()


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_open_clip_bit_for_bit(photographs, mode, interpolation):
    preprocess = Preprocess(resize_mode=mode, interpolation=interpolation, fill=7)
    for photograph in photographs:
        for size in ODD_SIZES:
            image = photograph.resize(size)
            expected = reference_bytes(image, preprocess)
            np.testing.assert_array_equal(preprocess(image), expected, err_msg=str(size))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(224, 160), (96, 336)])
def test_equals_open_clip_for_targets_that_are_not_square(photographs, mode, size):
    preprocess = Preprocess(size=size, resize_mode=mode)
    for shape in ODD_SIZES:
        image = photographs[0].resize(shape)
        np.testing.assert_array_equal(preprocess(image), reference_bytes(image, preprocess))


@pytest.mark.parametrize(
    ("size", "shape"),
    [((224, 224), (640, 330)), ((336, 336), (736, 253)), ((96, 336), (1216, 1254))],
)
def test_divides_where_multiplying_by_the_inverse_is_a_pixel_off(photographs, size, shape):
    mode = "longest" if size[0] == size[1] else "shortest"
    preprocess = Preprocess(size=size, resize_mode=mode, interpolation="bicubic")
    image = photographs[0].resize(shape)
    np.testing.assert_array_equal(preprocess(image), reference_bytes(image, preprocess))


def test_a_picture_too_thin_for_its_height_keeps_one_line(photographs):
    pixels = Preprocess(resize_mode="longest")(photographs[0].resize((2000, 1)))
    assert pixels.shape == (3, 224, 224)
    assert np.count_nonzero(pixels.sum(axis=(0, 2))) == 1


def test_normalize_equals_torchvision(photographs):
    import torch
    from open_clip.transform import image_transform

    preprocess = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    transform = image_transform(224, is_train=False, mean=preprocess.mean, std=preprocess.std)
    ours = preprocess.normalize(preprocess(photographs[0])[None])[0]
    with warnings.catch_warnings(), torch.inference_mode():
        expected = transform(photographs[0]).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_crop_fraction_resizes_to_more_than_it_keeps(photographs):
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    preprocess = Preprocess(crop_fraction=0.875)
    reference = Compose([Resize(256, InterpolationMode.BICUBIC), CenterCrop(224)])
    for photograph in photographs:
        expected = np.asarray(reference(photograph)).transpose(2, 0, 1)
        np.testing.assert_array_equal(preprocess(photograph), expected)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_pictures_come_in_one_piece(photographs, mode):
    pictures = [Preprocess(resize_mode=mode)(photograph) for photograph in photographs[:2]]
    assert all(picture.flags.c_contiguous for picture in pictures)
    assert np.stack(pictures).flags.c_contiguous


@pytest.mark.parametrize("shape", [(1, 12_000), (12_000, 1), (3, 30_000)])
def test_a_thin_picture_takes_no_more_memory_than_any_other(shape):
    made = []
    original = Image.Image.resize

    def watched(image, size, *rest, **options):
        made.append(size[0] * size[1])
        return original(image, size, *rest, **options)

    image = Image.new("RGB", shape, (10, 200, 30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        pixels = Preprocess()(image)
    assert max(made) <= 256 * 224 * 224
    assert np.abs(pixels.reshape(3, -1).astype(int) - [[10], [200], [30]]).max() <= 1


def test_a_thin_picture_is_cut_where_it_would_be(photographs):
    from cliptune.encoders import preprocess as module

    image = photographs[0].resize((400, 3))
    whole = Preprocess()(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_THIN", 0)
        assert np.abs(Preprocess()(image).astype(int) - whole).max() <= 1

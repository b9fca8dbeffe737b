"""Views of a picture: what is seen, and that their average is what it is by hand."""

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders import load_encoder
from cliptune.encoders.engines import open_on_engine
from cliptune.encoders.engines.resolving import resolve
from cliptune.encoders.names import parse_name, split_crops
from cliptune.encoders.picture_crops import CROPS, cut_out, cuts_of
from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import InputError
from cliptune.features.guard import RowGuard
from cliptune.system import file_state


@pytest.fixture(scope="module")
def pictures(make_picture):
    return [make_picture(n, size) for n, size in enumerate([(90, 61), (47, 120), (64, 64)])]


def cuts(picture, crops):
    """The picture, and its cuts where there are any, by Pillow alone."""
    found = [picture]
    if crops >= 6:
        w, h = (max(1, round(0.875 * side)) for side in picture.size)
        x, y = picture.width - w, picture.height - h
        for left, top in ((x // 2, y // 2), (0, 0), (x, 0), (0, y), (x, y)):
            found.append(picture.crop((left, top, left + w, top + h)))
    return found


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def averaged(encoder, pictures, crops):
    """Rows of crops that are embedded one by one, averaged, part by part."""
    found, trunk = [], []
    for picture in pictures:
        seen = [encoder.preprocess(cut) for cut in cuts(picture, crops)]
        seen += [pixels[:, :, ::-1] for pixels in seen] if crops in (2, 12) else []
        seen = np.ascontiguousarray(np.stack(seen))
        found.append(unit(encoder.encode_images(seen).mean(axis=0)))
        both = encoder.encode_trunk(seen).mean(axis=0)
        trunk.append(np.concatenate([unit(both[: encoder.dim]), unit(both[encoder.dim :])]))
    return np.stack(found), np.stack(trunk)


@pytest.mark.parametrize("crops", [2, 6, 12])
@pytest.mark.parametrize("config", ["tiny_config", "tiny_resnet_config"])
def test_rows_are_the_average_of_crops_embedded_one_by_one(
    make_folder, config, pictures, crops, request
):
    folder = make_folder(request.getfixturevalue(config))
    once = load_encoder(str(folder), precision="fp32")
    encoder = load_encoder(f"{folder}?crops={crops}", precision="fp32")
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures])
    assert pixels.shape == (3, 3, (6 if crops >= 6 else 1) * 64, 64)
    pooled, trunk = averaged(once, pictures, crops)
    np.testing.assert_allclose(encoder.encode_images(pixels), pooled, atol=2e-6)
    np.testing.assert_allclose(encoder.encode_trunk(pixels), trunk, atol=2e-6)
    np.testing.assert_allclose(encoder.encode_alone("pooled", pixels), pooled, atol=2e-6)
    assert (
        abs(pooled - once.encode_images(np.stack([*map(once.preprocess, pictures)]))).max() > 0.01
    )
    with pytest.raises(InputError, match="leave out --crops"):
        encoder.encode_tokens(pixels)


def test_more_pictures_than_go_through_a_tower_at_once_give_the_same_rows(
    make_folder, tiny_config, make_picture
):
    encoder = load_encoder(f"{make_folder(tiny_config)}?crops=12", precision="fp32")
    pixels = np.stack([encoder.preprocess(make_picture(n)) for n in range(19)])
    whole = encoder.encode_images(pixels)
    assert whole.shape == (19, 32)
    singly = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(19)])
    np.testing.assert_allclose(whole, singly, atol=2e-6)


@pytest.mark.parametrize(("engine", "crops"), [("openvino", 12), ("onnx", 6)])
def test_engines_average_the_same_crops(
    make_folder, tiny_config, pictures, tmp_path, engine, crops
):
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[engine])
    name = f"{make_folder(tiny_config)}?crops={crops}"
    reference = load_encoder(name, precision="fp32")
    encoder = open_on_engine(name, engine=engine, precision="fp32", cache_dir=tmp_path)
    assert (encoder.engine, encoder.name) == (engine, name)
    assert encoder.fingerprint == reference.fingerprint
    pixels = np.stack([encoder.preprocess(picture) for picture in pictures])
    rows = encoder.encode_images(pixels)
    np.testing.assert_allclose(rows, reference.encode_images(pixels), atol=1e-5)
    trunk = encoder.encode_trunk(pixels)
    np.testing.assert_allclose(trunk, reference.encode_trunk(pixels), atol=1e-5)
    with pytest.raises(InputError, match="leave out --crops"):
        encoder.encode_tokens(pixels)


def test_what_is_remembered_of_a_model_is_apart_for_crops(
    make_folder, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(file_state, "_SETTLED_NS", -1)  # files count however young they are
    folder = make_folder(tiny_config)
    names = [str(folder), *(f"{folder}?crops={n}" for n in CROPS[1:])]
    found = [resolve(name, tmp_path) for name in names]
    again = [resolve(name, tmp_path) for name in names]
    prints = [one.facts.fingerprint for one in found]
    assert len(set(prints)) == len(names)
    assert [one.is_new for one in found] == [True] * 4
    assert [one.is_new for one in again] == [False] * 4
    assert [one.facts.fingerprint for one in again] == prints
    assert [one.facts.preprocess.crops for one in again] == list(CROPS)


def test_reduced_precision_has_the_fingerprint_of_the_whole_weights(make_folder, tiny_config):
    name = f"{make_folder(tiny_config)}?crops=2"
    whole, rounded = (load_encoder(name, precision=kind) for kind in ("fp32", "bf16"))
    assert rounded.precision == "bf16"
    assert rounded.fingerprint == whole.fingerprint


def test_rows_of_crops_are_guarded_too(make_folder, tiny_config, make_tree, pictures):
    from cliptune.features.extract import extract
    from cliptune.images import open_images

    encoder = load_encoder(f"{make_folder(tiny_config)}?crops=12", precision="fp32")
    table = open_images([str(make_tree("a.png", "b.png", "c.jpg"))])
    guard = RowGuard()
    (batch,) = extract(encoder, table, trunk=True, guard=guard)
    assert guard.checked.n > 0
    assert guard.checked.largest_difference < 1e-5
    direct = encoder.encode_trunk(
        np.stack([encoder.preprocess(table.load_image(i)) for i in range(3)])
    )
    np.testing.assert_allclose(batch.trunk, direct, atol=2e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (1, 300), (333, 250), (1000, 999)])
def test_cuts_are_those_of_pillow(size):
    picture = Image.effect_noise(size, 60).convert("RGB")
    wanted = cuts(picture, 12)
    found = cut_out(picture)
    assert [crop.size for crop in found] == [crop.size for crop in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.tobytes() == other.tobytes()


def test_one_crop_is_told_as_before():
    usual = Preprocess()
    assert "crops" not in usual.to_dict()
    several = Preprocess(crops=12)
    assert Preprocess.from_dict(several.to_dict()) == several
    assert (usual.shape, several.shape) == ((3, 224, 224), (3, 1344, 224))
    assert several.min_side > usual.min_side
    assert Preprocess(crops=2).min_side == usual.min_side
    assert [cuts_of(n) for n in CROPS] == [1, 1, 6, 6]
    for wrong in (0, 3, -1, 24):
        with pytest.raises(ValueError, match="crops"):
            Preprocess.from_dict({**usual.to_dict(), "crops": wrong})


def test_names_say_how_many_crops():
    assert split_crops("lite?crops=6") == ("lite", 6)
    assert split_crops("lite") == ("lite", 1)
    assert parse_name("lite?crops=12") == parse_name("lite")
    for wrong in ("lite?crops=3", "lite?crops=0", "ViT-B-32/openai?crops=100"):
        with pytest.raises(InputError, match=r"--crops \d+ came, 1, 2, 6 or 12 was expected"):
            parse_name(wrong)


def test_pictures_of_different_shapes_have_no_crops(small_family):
    folder = small_family("siglip2").folder
    with pytest.raises(InputError, match="pictures of different shapes"):
        load_encoder(f"{folder}?crops=2")

"""Embeddings from pictures that a device decoded are compared before any is kept."""

import numpy as np
import pytest

from cliptune.encoders import load_encoder
from cliptune.errors import EngineError
from cliptune.features import device_check, device_decoding, device_speed
from cliptune.features.device_check import DeviceCheck, device_cosine
from cliptune.features.device_reading import device_reader
from cliptune.features.device_speed import device_pays
from cliptune.images import ImageTable


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return load_encoder(str(tiny_model), device="cpu")


@pytest.fixture(autouse=True)
def nobody_trusted(monkeypatch):
    monkeypatch.setattr(device_check, "_trusted", set())


def altered(change):
    """Return a decoder whose pictures are others."""
    real = device_decoding.decode_jpegs
    return lambda data, device: [change(one) for one in real(data, device)]


def read_some(encoder, table, n):
    reader = device_reader(encoder, table)
    reader.finish([reader.begin(row) for row in range(n)])
    return reader, DeviceCheck(encoder, table, reader)


def test_the_devices_pixels_give_the_embeddings_of_exact_ones(encoder, insects):
    reader, check = read_some(encoder, insects, 12)
    check.look()
    assert device_check._trusted
    assert 0.9999 < device_cosine(encoder, insects, reader, list(range(8))) <= 1 + 1e-6


CHANGES = {
    "colours shifted": lambda one: one.roll(1, 0),
    "upside down": lambda one: one.flip(1),
    "nothing": lambda one: one * 0,
}


@pytest.mark.parametrize("how", CHANGES)
def test_others_are_refused_with_what_was_measured(encoder, insects, monkeypatch, how):
    monkeypatch.setattr(device_decoding, "decode_jpegs", altered(CHANGES[how]))
    _, check = read_some(encoder, insects, 3)
    with pytest.raises(EngineError) as caught:
        check.look()
    assert "embeddings of 3 JPEGs decoded on cpu have a cosine of only 0." in str(caught.value)
    assert "use --pixels quick" in str(caught.value)
    assert not device_check._trusted


def test_an_encoder_is_looked_at_until_eight_pictures_of_a_table_agree(
    encoder, insects, monkeypatch
):
    reader, check = read_some(encoder, insects, 3)
    check.look()
    monkeypatch.setattr(device_decoding, "decode_jpegs", altered(lambda one: one.roll(1, 0)))
    check.look()  # nothing new was decoded
    reader(5)
    with pytest.raises(EngineError, match="embeddings of 4 JPEGs"):
        check.look()
    monkeypatch.undo()
    monkeypatch.setattr(device_check, "_trusted", set())
    _, check = read_some(encoder, insects, 8)
    check.look()
    monkeypatch.setattr(device_check, "device_cosine", None)
    read_some(encoder, insects, 9)[1].look()  # trusted, and not computed again


def test_a_device_that_decodes_nothing_is_named(encoder, insects, monkeypatch):
    def refuse(data, device):
        raise RuntimeError("torchvision was built without nvJPEG")

    monkeypatch.setattr(device_decoding, "decode_jpegs", refuse)
    _, check = read_some(encoder, insects, 7)
    check.look()  # what so few have in common may be the pictures
    _, check = read_some(encoder, insects, 8)
    with pytest.raises(EngineError, match=r"decoded none of 8 JPEGs .*without nvJPEG"):
        check.look()


@pytest.mark.parametrize(("device", "quick", "pays"), [(221.0, 200.0, True), (219.0, 200.0, False)])
def test_it_pays_from_a_tenth_more_on(encoder, insects, monkeypatch, device, quick, pays):
    real = device_speed._rate

    def rated(encoder, read, n, threads):
        assert real(encoder, read, n, threads) > 0
        return device if isinstance(read, device_speed.DeviceReader) else quick

    monkeypatch.setattr(device_speed, "_rate", rated)
    monkeypatch.setattr(device_speed, "_BATCH", 8)
    assert device_pays(encoder, insects.select(np.arange(12)), 1) is pays


def test_what_is_fast_and_wrong_does_not_pay(encoder, insects, monkeypatch):
    monkeypatch.setattr(device_decoding, "decode_jpegs", altered(lambda one: one.roll(1, 0)))
    monkeypatch.setattr(device_speed, "_GAIN", 0.0)
    few = insects.select(np.arange(9))
    assert device_pays(encoder, few, 1) is False
    monkeypatch.undo()
    monkeypatch.setattr(device_speed, "_GAIN", 0.0)
    assert device_pays(encoder, few, 1) is True


def test_a_sample_with_an_unreadable_image_leaves_things_as_they_are(
    encoder, insects, tmp_path, monkeypatch
):
    monkeypatch.setattr(device_speed, "_GAIN", 0.0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(insects.sources[0].read())
    (tmp_path / "b" / "2.jpg").write_bytes(insects.sources[1].read()[:5000])
    assert device_pays(encoder, ImageTable.open(tmp_path), 1) is False

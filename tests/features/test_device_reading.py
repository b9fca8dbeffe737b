"""JPEGs decoded on the device that computes, here a processor: the quick way's pixels, nearly."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError
from cliptune.features import device_decoding, device_reading
from cliptune.features.ahead import read_ahead
from cliptune.features.device_reading import device_reader
from cliptune.features.reading import quick_reader
from cliptune.images import ImageTable

MODES = [
    Preprocess(),
    Preprocess(resize_mode="squash"),
    Preprocess(crop_fraction=0.875, interpolation="bilinear"),
    Preprocess(size=(192, 256)),
]
MOST_APART = 2  # levels of 255, between weights in floats and weights of 16 bits


def jpeg_of(picture, **how):
    file = io.BytesIO()
    picture.save(file, "JPEG", **how)
    return file.getvalue()


def an_encoder(preprocess, reduced=False):
    return SimpleNamespace(preprocess=preprocess, device="cpu", reduced_input=reduced)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture(scope="module")
def photograph(insects):
    return insects.load_image(0)


@pytest.fixture
def asked(monkeypatch):
    """Count how many JPEGs were given to the device, call by call."""
    counts, real = [], device_decoding.decode_jpegs

    def counting(data, device):
        counts.append(len(data))
        return real(data, device)

    monkeypatch.setattr(device_decoding, "decode_jpegs", counting)
    return counts


@pytest.fixture
def open_files(tmp_path):
    """Write files of two classes and open them, in the order given."""

    def make(files):
        for place, (name, data) in enumerate(files.items()):
            path = tmp_path / ("a", "b")[place % 2] / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        return ImageTable.open(tmp_path)

    return make


@pytest.mark.parametrize("preprocess", MODES, ids=lambda one: one.resize_mode)
def test_pixels_are_those_of_the_quick_way(insects, asked, preprocess):
    encoder = an_encoder(preprocess)
    reader, quick = device_reader(encoder, insects), quick_reader(encoder, insects)
    found = reader.finish([reader.begin(row) for row in range(len(insects))])
    assert asked == [len(insects)]
    wanted = np.stack([quick(row) for row in range(len(insects))])
    apart = np.abs(found - wanted.astype(int))
    assert apart.max() <= MOST_APART
    assert (apart > 0).mean() < 0.01
    assert (apart > 1).mean() < 1e-4
    for row in range(3):
        np.testing.assert_array_equal(reader(row), found[row])


def kinds_of(photograph):
    png = io.BytesIO()
    photograph.save(png, "PNG")
    plain = jpeg_of(photograph)
    return {
        "1-plain.jpg": plain,
        "2-progressive.jpg": jpeg_of(photograph, progressive=True),
        "3.png": png.getvalue(),
        "4-turned.jpg": jpeg_of(photograph, exif=turned()),
        "5-cmyk.jpg": jpeg_of(photograph.convert("CMYK")),
        "6-grey.jpg": jpeg_of(photograph.convert("L")),
        "7-rgb.jpg": jpeg_of(photograph, keep_rgb=True),
        "8-more-behind-its-end.jpg": plain + b"\0" * 9,
        "9-thin.jpg": jpeg_of(photograph.resize((4, 3000))),
    }


def test_only_plain_jpegs_go_to_the_device_and_all_others_are_read_as_before(
    photograph, open_files, asked
):
    table, encoder = open_files(kinds_of(photograph)), an_encoder(Preprocess())
    reader, quick = device_reader(encoder, table), quick_reader(encoder, table)
    found = reader.finish([reader.begin(row) for row in range(len(table))])
    assert asked == [2]
    assert [table.ids[row].split("/")[1][0] for row in sorted(reader.tally.first)] == ["1", "2"]
    for row, name in enumerate(table.ids):
        apart = np.abs(found[row] - quick(row).astype(int)).max()
        assert apart <= (MOST_APART if row in reader.tally.first else 0), name


def test_what_is_decoded_at_a_reduced_scale_stays_with_the_processor(photograph, open_files, asked):
    large = jpeg_of(photograph.resize((2500, 1900)))
    table = open_files({"1.jpg": large, "2.jpg": large})
    encoder = an_encoder(Preprocess(), reduced=True)
    np.testing.assert_array_equal(device_reader(encoder, table)(0), quick_reader(encoder, table)(0))
    assert asked == []


def test_batches_ahead_are_those_of_single_rows(insects, asked):
    encoder = an_encoder(Preprocess())
    reader = device_reader(encoder, insects)
    ahead = read_ahead(
        reader, np.arange(len(insects)), shape=(3, 224, 224), batch_size=8, workers=2, device="cuda"
    )
    found = np.concatenate([pixels.copy() for _, pixels, _ in ahead])
    assert asked == [8] * (len(insects) // 8) + [len(insects) % 8] * (len(insects) % 8 > 0)
    assert reader.tally.first == list(range(8))
    np.testing.assert_array_equal(found, np.stack([reader(n) for n in range(len(insects))]))


def test_who_wants_no_more_batches_waits_for_few(insects, asked):
    reader = device_reader(an_encoder(Preprocess()), insects)
    ahead = read_ahead(
        reader, np.arange(len(insects)), shape=(3, 224, 224), batch_size=2, workers=1
    )
    next(ahead)
    ahead.close()
    assert len(asked) <= 4


def test_large_pictures_are_decoded_a_few_at_once(insects, asked, monkeypatch):
    monkeypatch.setattr(device_decoding, "_MOST_LEVELS", 3 * 500 * 500)
    reader = device_reader(an_encoder(Preprocess()), insects)
    found = reader.finish([reader.begin(row) for row in range(7)])
    assert sum(asked) == 7
    assert 1 < len(asked) < 7
    monkeypatch.setattr(device_reading, "_MOST_PIXELS", 1000)
    apart = np.abs(found[0] - reader(0).astype(int)).max()
    assert (sum(asked), apart <= MOST_APART) == (7, True)


BROKEN = {
    "cut off": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-2],
    "no picture": lambda data: b"\xff\xd8\xff nothing",
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_jpeg_ends_as_it_does_the_quick_way(photograph, open_files, how):
    good = jpeg_of(photograph)
    broken = BROKEN[how](good)
    table = open_files({"1.jpg": good, "2.jpg": good, "3-broken.jpg": broken, "4.jpg": good})
    encoder = an_encoder(Preprocess())
    row = next(n for n, name in enumerate(table.ids) if "broken" in name)
    with pytest.raises(BadImageError, match=r"3-broken\.jpg") as wanted:
        quick_reader(encoder, table)(row)
    ahead = read_ahead(
        device_reader(encoder, table), np.arange(4), shape=(3, 224, 224), batch_size=4, workers=1
    )
    with pytest.raises(BadImageError) as found:
        list(ahead)
    assert str(found.value) == str(wanted.value)


def test_what_the_device_refuses_is_read_alone_and_then_as_before(insects, monkeypatch):
    real = device_decoding.decode_jpegs
    odd = insects.sources[2].read()

    def picky(data, device):
        if odd in data:
            raise RuntimeError("nvJPEG\n  does not like it")
        return real(data, device)

    monkeypatch.setattr(device_decoding, "decode_jpegs", picky)
    encoder = an_encoder(Preprocess())
    reader, quick = device_reader(encoder, insects), quick_reader(encoder, insects)
    found = reader.finish([reader.begin(row) for row in range(5)])
    tally = reader.tally
    assert (tally.first, tally.refused) == ([0, 1, 3, 4], 1)
    assert tally.reason == "nvJPEG does not like it"
    np.testing.assert_array_equal(found[2], quick(2))


def test_a_picture_of_another_shape_than_its_header_says_is_not_taken(insects, monkeypatch):
    real = device_decoding.decode_jpegs
    monkeypatch.setattr(
        device_decoding,
        "decode_jpegs",
        lambda data, device: [one[:, 1:] for one in real(data, device)],
    )
    reader = device_reader(an_encoder(Preprocess()), insects)
    np.testing.assert_array_equal(reader(0), quick_reader(an_encoder(Preprocess()), insects)(0))
    assert reader.tally.refused == 1

"""Every kind of file that people call an image, and what is none."""

import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from cliptune.errors import BadImageError
from cliptune.images.decode import _to_rgb, check_image, decode_image, reason_of


def decode(data, **options):
    return decode_image(data, name="x.png", **options)


def as_array(image):
    return np.asarray(image).astype(int)


def png_of_zeros(width, height):
    """A valid black PNG; its compressed rows repeat, so that a huge one is made at once."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    n_row_bytes = 1 + (width + 7) // 8
    packer = zlib.compressobj(9, wbits=-15)
    ten_rows = packer.compress(bytes(10 * n_row_bytes)) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (height * n_row_bytes % 65521) << 16 | 1
    rows = b"\x78\xda" + ten_rows * (height // 10) + b"\x03\0" + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA", "QOI", "PCX", "SGI"])
def test_lossless_formats_keep_every_pixel(kind, make_picture, encode_picture):
    image = make_picture(1)
    decoded = decode(encode_picture(image, kind))
    assert decoded.mode == "RGB"
    assert (as_array(decoded) == as_array(image)).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000"])
def test_lossy_formats_come_close(kind, make_picture, encode_picture):
    image = make_picture(1)
    decoded = decode(encode_picture(image, kind))
    assert np.abs(as_array(decoded) - as_array(image)).mean() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_from_exif_is_applied(orientation, kind, make_picture, encode_picture):
    image = make_picture(2)
    # What a camera would store so that a viewer, following the tag, shows ``image``.
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]
    stored = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if kind == "WEBP":
        options["lossless"] = True
    decoded = decode(encode_picture(stored, kind, exif=exif, **options))
    assert decoded.size == image.size
    assert np.abs(as_array(decoded) - as_array(image)).mean() < 10
    for other in Image.Transpose:
        turned = image.transpose(other)
        if turned.size == image.size:
            assert np.abs(as_array(decoded) - as_array(turned)).mean() > 20


def test_broken_exif_does_not_hide_whole_pixels(make_picture, encode_picture):
    data = encode_picture(make_picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        assert decode(data).size == (48, 32)


def test_transparency_is_laid_on_white(encode_picture):
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (200, 0, 0, 255))
    assert as_array(decode(encode_picture(half))).tolist() == [[[255] * 3, [200, 0, 0]]]
    grey = Image.new("LA", (1, 1), (0, 128))
    assert abs(as_array(decode(encode_picture(grey)))[0, 0, 0] - 127) <= 1


def test_a_palette_keeps_its_colours_and_its_transparency(make_picture, encode_picture):
    image = make_picture(3).quantize(16)
    assert (as_array(decode(encode_picture(image))) == as_array(image.convert("RGB"))).all()
    index = image.getpixel((0, 0))
    clear = decode(encode_picture(image, transparency=index))
    assert clear.getpixel((0, 0)) == (255, 255, 255)
    several = decode(encode_picture(image, transparency=bytes(16)))
    assert as_array(several).min() == 255


def test_a_transparent_colour_of_an_rgb_png_is_white(encode_picture):
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (1, 2, 3))
    decoded = decode(encode_picture(image, transparency=(1, 2, 3)))
    assert as_array(decoded).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_cmyk_of_a_jpeg_has_the_right_colours(make_picture, encode_picture):
    image = make_picture(4)
    data = encode_picture(image.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(as_array(decode(data)) - as_array(image)).mean() < 4


def test_16_bit_grey_is_scaled_by_its_full_range(encode_picture):
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        decoded = decode(encode_picture(Image.fromarray(values), kind))
        assert as_array(decoded)[0, :, 0].tolist() == [0, 1, 128, 255]
    big_endian = b"P5 4 1 65535\n" + values.astype(">u2").tobytes()
    assert as_array(decode(big_endian))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 200, 200], [0, 100, 200, 200]),
        ([0, 255, 0, 255], [0, 255, 0, 255]),
        ([0, 1024, 2048, 4095], [0, 64, 128, 255]),
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_integers_keep_their_contrast_whatever_type_they_are_stored_in(
    values, expected, kind, encode_picture
):
    image = Image.fromarray(np.array([values], dtype=kind))
    assert as_array(decode(encode_picture(image, "TIFF")))[0, :, 0].tolist() == expected


def tiff(values, **tags):
    """A grey TIFF of one row, written by hand: what Pillow reads but does not write."""
    bits, fmt, photometric, data = tags["bits"], tags.get("format", 1), tags["photometric"], values
    entries = [
        (256, tags.get("width", 2)), (257, 1), (258, bits), (259, 1), (262, photometric),
        (273, 8), (277, 1), (278, 1), (279, len(data)), (339, fmt),
    ]  # fmt: skip
    padded = data + bytes(-len(data) % 2)
    header = struct.pack("<2sHI", b"II", 42, 8 + len(padded)) + padded
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return header + struct.pack("<H", len(entries)) + body + struct.pack("<I", 0)


def test_a_tiff_that_says_12_bits_is_read_by_12_bits():
    data = tiff(bytes([0x0C, 0x80, 0x00]), bits=12, photometric=1)  # 200 and 0
    assert as_array(decode(data))[0, :, 0].tolist() == [12, 0]


def test_grey_where_white_is_zero_is_turned_over():
    data = tiff(struct.pack("<2H", 0, 65535), bits=16, photometric=0)
    assert as_array(decode(data))[0, :, 0].tolist() == [255, 0]


def test_a_transparent_value_of_16_bit_grey_is_white(encode_picture):
    values = np.array([[0, 32896, 65535]], dtype=np.uint16)
    data = encode_picture(Image.fromarray(values), "PNG", transparency=0)
    assert as_array(decode(data))[0, :, 0].tolist() == [255, 128, 255]


MODES = (
    *("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX"),
    *("RGBa", "La", "I;16", "I;16L", "I;16B", "I;16N"),
)


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_of_pillow_becomes_rgb(mode):
    assert _to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 500.0, 1000.0], [0, 128, 255]),
    ],
)
def test_float_grey_is_scaled_by_what_its_values_show(values, expected, encode_picture):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    decoded = as_array(decode(encode_picture(image, "TIFF")))[0, :, 0]
    assert np.abs(decoded - expected).max() <= 1


def test_a_float_image_with_pixels_that_are_no_numbers_is_bad(encode_picture):
    image = Image.fromarray(np.array([[0.0, np.nan]], dtype=np.float32))
    with pytest.raises(BadImageError, match="not finite"):
        decode(encode_picture(image, "TIFF"))


def test_32_bit_integers_become_grey(encode_picture):
    image = Image.fromarray(np.array([[0, 65535]], dtype=np.int32))
    assert as_array(decode(encode_picture(image, "TIFF")))[0, :, 0].tolist() == [0, 255]
    wide = Image.fromarray(np.array([[-100_000, 100_000]], dtype=np.int32))
    assert as_array(decode(encode_picture(wide, "TIFF")))[0, :, 0].tolist() == [0, 255]


def test_one_bit_images_are_black_and_white(encode_picture):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert as_array(decode(encode_picture(image))).tolist() == [[[0] * 3, [255] * 3]]


def test_lab_comes_back_as_the_colours_it_was_made_of(make_picture, encode_picture):
    from PIL import ImageCms

    image = make_picture(5)
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    data = encode_picture(ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB"), "TIFF")
    assert np.abs(as_array(decode(data)) - as_array(image)).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_or_page_stands_for_the_rest(kind, encode_picture):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encode_picture(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = as_array(decode(data))[4, 4]
    assert red > 240
    assert max(green, blue) < 15


def test_60000_by_60000_pixels_are_refused_by_the_header_alone():
    data = png_of_zeros(60_000, 60_000)
    assert len(data) < 1_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImageError, match=r"60000 x 60000 pixels .* limit of 178956970"):
            decode(data)


def test_the_pixel_limit_is_ours_and_not_pillows(monkeypatch):
    data = png_of_zeros(400, 300)
    assert decode(data, max_pixels=120_000).size == (400, 300)
    with pytest.raises(BadImageError, match="400 x 300"):
        decode(data, max_pixels=119_999)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(data).size == (400, 300)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (bytes(5000), "all bytes are zero"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"hello " * 100, "not an image"),
    ],
)
def test_what_is_no_image_says_what_it_is(data, reason):
    with pytest.raises(BadImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_bad(kind, share, make_picture, encode_picture):
    data = encode_picture(make_picture(6, (200, 150)), kind)
    cut = data[: int(len(data) * share)]
    with pytest.raises(BadImageError):
        decode(cut)
    with pytest.raises(BadImageError):
        check_image(cut, name="x")


def test_a_truncated_photograph_is_bad_however_little_is_missing(data_root):
    photo = next((data_root / "hymenoptera_data/val/bees").iterdir()).read_bytes()
    for missing in (3, 50, 1000, len(photo) // 2):
        for read in (decode_image, check_image):
            with pytest.raises(BadImageError, match="truncated"):
                read(photo[:-missing], name="photo")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "TGA", "JPEG2000"])
def test_damaged_bytes_give_a_picture_or_one_kind_of_error(kind, make_picture, encode_picture):
    data = encode_picture(make_picture(7), kind)
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            broken[place] = rng.integers(0, 256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about damaged metadata
            with contextlib.suppress(BadImageError):
                assert decode(bytes(broken), max_pixels=10**6).mode == "RGB"


def test_the_message_names_the_file_and_the_reason_can_be_had_alone():
    with pytest.raises(BadImageError) as caught:
        decode_image(b"", name="a: b/ü.png")
    assert "a: b/ü.png" in str(caught.value)
    assert reason_of(caught.value, "a: b/ü.png") == "the file is empty"


def test_decoding_in_threads_leaves_pillows_settings_alone(make_picture, encode_picture):
    before = (Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    data = encode_picture(make_picture(), "JPEG")
    sizes = []
    threads = [threading.Thread(target=lambda: sizes.append(decode(data).size)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [(48, 32)] * 16
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before


def test_real_photographs_decode_as_pillow_does(data_root):
    for path in sorted((data_root / "hymenoptera_data/val/ants").iterdir())[:10]:
        data = path.read_bytes()
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert (np.asarray(decode(data)) == expected).all()


def exif_block(*entries):
    """An EXIF block of entries as (tag, type, count, value)."""
    offset, extra, body = 8 + 2 + 12 * len(entries) + 4, b"", struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack("<HHI", tag, kind, count)
        if len(value) > 4:
            body += struct.pack("<I", offset + len(extra))
            extra += value
        else:
            body += value.ljust(4, b"\0")
    return b"Exif\0\0II*\0\x08\0\0\0" + body + b"\0\0\0\0" + extra


TURNED = (0x112, 3, 1, b"\6\0")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "entry",
    [
        (0x11A, 2, 8, b"72/1 in\0"),
        (0x11A, 1, 1, b"\5"),
        (0x829A, 10, 1, struct.pack("<ii", -1, 0)),
        (0x8769, 2, 8, b"no block"),
        (0x132, 3, 1, b"\5\0"),
    ],
)
def test_a_mistyped_tag_costs_nothing(kind, entry, make_picture, encode_picture):
    data = encode_picture(make_picture(), kind, exif=exif_block(TURNED, entry))
    assert decode(data).size == (32, 48)


@pytest.mark.parametrize("value", [(5, 1, struct.pack("<II", 6, 0)), (7, 1, b"\6")])
def test_an_orientation_that_cannot_be_read_is_said(value, make_picture, encode_picture, caplog):
    data = encode_picture(make_picture(), "JPEG", exif=exif_block((0x112, *value)))
    assert decode(data).size == (48, 32)
    assert "x.png: its EXIF block cannot be read" in caplog.text


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
def test_large_texts_and_profiles_do_not_cost_the_picture(kind, make_picture, encode_picture):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    whole = encode_picture(make_picture(), exif=exif)
    packed = zlib.compress(bytes(3 << 20))
    body = {
        b"zTXt": b"note\0\0" + packed,
        b"iTXt": b"note\0\1\0\0\0" + packed,
        b"iCCP": b"icc\0\0" + packed,
        b"tEXt": b"note\0" + b"x" * (20 << 20),
    }[kind]
    chunk = struct.pack(">I", len(body)) + kind + body
    chunk += struct.pack(">I", zlib.crc32(kind + body))
    data = whole[:33] + chunk * 5 + whole[33:]
    assert (as_array(decode(data)) == as_array(decode(whole))).all()
    assert decode(data).size == (32, 48)


def test_a_chunk_that_ends_too_soon_is_a_bad_image(make_picture, encode_picture):
    whole = encode_picture(make_picture())
    with pytest.raises(BadImageError, match="corrupt or truncated"):
        decode(whole[:33] + struct.pack(">I", 1 << 30) + b"zTXt" + whole[33:])

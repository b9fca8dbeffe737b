import io

import numpy as np
from PIL import Image

from cliptune.modality_gap.thumbnails import TILES_PER_SHEET, make_sheets, make_thumbnails


def colour(row):
    return (60 * (row % 4) + 30, 60 * (row // 4 % 4) + 30, 60 * (row // 16 % 4) + 30)


def test_thumbnails_are_square_whatever_came():
    images = [Image.new("RGB", (200, 50), "red"), Image.new("L", (10, 30), 128)]
    for data in make_thumbnails(images):
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.size, picture.mode) == ((64, 64), "RGB")


def test_a_tile_lies_where_its_number_says():
    thumbnails = make_thumbnails(Image.new("RGB", (64, 64), colour(row)) for row in range(150))
    (sheet,) = make_sheets(thumbnails)
    with Image.open(io.BytesIO(sheet.data)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for row in (0, 1, 63, 64, 149):
        top, left = row // sheet.columns * sheet.tile, row % sheet.columns * sheet.tile
        middle = pixels[top + sheet.tile // 2, left + sheet.tile // 2]
        assert np.abs(middle - colour(row)).max() < 12


def test_many_tiles_are_small_and_on_several_sheets():
    one = make_thumbnails([Image.new("RGB", (64, 64), "green")])[0]
    sheets = make_sheets([one] * (TILES_PER_SHEET + 3))
    assert [sheet.tile for sheet in sheets] == [32, 32]
    assert [sheet.n for sheet in sheets] == [TILES_PER_SHEET, 3]
    assert sheets[1].columns == 3


def test_no_pictures_make_no_sheets():
    assert make_sheets(()) == []

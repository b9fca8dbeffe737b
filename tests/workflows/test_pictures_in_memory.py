"""Pictures that are in no file are read as they are."""

import numpy as np
import pytest
from PIL import Image

from cliptune.workflows.pictures import gather_pictures

LEVELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("mode", "start"),
    [("RGB", b"P6"), ("L", b"P5"), ("RGBA", b"\x89PNG"), ("P", b"\x89PNG"), ("1", b"\x89PNG")],
)
def test_nothing_is_lost_in_any_mode(mode, start):
    picture = Image.fromarray(LEVELS).convert(mode)
    table = gather_pictures([picture])
    assert table.sources[0].read().startswith(start)
    np.testing.assert_array_equal(np.asarray(table.load_image(0)), picture.convert("RGB"))


def test_a_colour_that_stands_for_nothing_is_kept():
    picture = Image.new("RGB", (4, 4), (10, 20, 30))
    picture.info["transparency"] = (10, 20, 30)
    table = gather_pictures([picture])
    assert (np.asarray(table.load_image(0)) == 255).all()  # laid on white


def test_what_is_changed_later_changes_nothing():
    levels, picture = LEVELS.copy(), Image.fromarray(LEVELS.copy())
    table = gather_pictures([levels, picture])
    levels[:] = 0
    picture.paste(0, (0, 0, 40, 30))
    for row in range(2):
        np.testing.assert_array_equal(np.asarray(table.load_image(row)), LEVELS)

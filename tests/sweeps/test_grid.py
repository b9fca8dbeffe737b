"""Grids read from text: what is accepted, and what is refused in one line."""

import numpy as np
import pytest

from cliptune.errors import InputError, UnknownNameError
from cliptune.sweeps.grid import Axis, coarse_first, parse_grid
from cliptune.sweeps.options import SweepOptions, parse_bytes, parse_seconds, read_grid

KNOWN = ("lr", "wd")


def test_a_range_is_even_in_its_logarithm_and_a_list_is_sorted():
    grid = parse_grid("wd=1e-4,0 lr=1e-4..1e0:9", known=KNOWN)
    assert [axis.name for axis in grid.axes] == ["lr", "wd"]
    assert grid.axis("wd").values == (0.0, 1e-4)
    assert grid.axis("lr").values == pytest.approx(np.geomspace(1e-4, 1, 9), rel=1e-3)
    assert len(grid.points()) == 18
    assert grid.points()[:2] == ({"lr": 1e-4, "wd": 0.0}, {"lr": 1e-4, "wd": 1e-4})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e0..1e-4:9", "reversed"),
        ("lr=1e-4..1e-4:9", "empty"),
        ("lr=1e-4..1e0:1", "empty"),
        ("lr=0..1:5", "start above 0"),
        ("lr=1e-4..x:5", "'x' is no number"),
        ("lr=1e-4..1:few", "'few' is no count"),
        ("lr=", "not of the form"),
        ("lr", "not of the form"),
        ("lr=nan", "'nan' is no number"),
        ("lr=,", "holds no value"),
        ("lr=-1", "from 0"),
        ("lr=1e-4..1 lr=1", "twice"),
        ("", "holds no axis"),
    ],
)
def test_a_malformed_grid_is_one_line(text, expected):
    with pytest.raises(InputError, match=expected) as caught:
        parse_grid(text, known=KNOWN)
    assert "\n" not in str(caught.value)


def test_an_unknown_axis_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="lr"):
        parse_grid("rate=1", known=KNOWN)


def test_an_axis_goes_on_past_its_edge_in_its_own_steps():
    axis = Axis("lr", (0.01, 0.1, 1.0))
    assert axis.beyond(1.0, 2) == (10.0, 100.0)
    assert axis.beyond(0.01, 1) == (0.001,)
    assert axis.beyond(0.1, 2) == ()
    assert Axis("backbone", (0.0, 0.01, 0.1)).beyond(0.1, 1) == (1.0,)
    assert Axis("backbone", (0.0, 0.01, 0.1)).beyond(0.01, 1) == (0.001,)
    assert Axis("lr", (0.1,)).beyond(0.1, 2) == ()


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10])
def test_every_beginning_of_the_order_covers_the_range(n):
    order = coarse_first(n)
    assert sorted(order) == list(range(n))
    if n == 9:
        assert order[:3] == [0, 8, 4]


def test_each_method_has_a_default_grid_and_refuses_axes_that_it_lacks():
    assert len(read_grid(None, SweepOptions()).axis("lr").values) == 9
    linear = SweepOptions(method="linear")
    assert [a.name for a in read_grid(None, linear).axes] == ["penalty"]
    with pytest.raises(InputError, match="no learning rate"):
        read_grid("lr=1e-3..1:5", linear)
    with pytest.raises(InputError, match="moves no weight"):
        read_grid("backbone=0", SweepOptions(method="full"))
    with pytest.raises(InputError, match="trains nothing"):
        read_grid("lr=0,1", SweepOptions())
    with pytest.raises(InputError, match="successive halving"):
        SweepOptions(method="full", search="tpe")
    with pytest.raises(InputError, match="--seeds 0"):
        SweepOptions(seeds=0)


def test_times_and_amounts_are_read_with_their_units():
    assert [parse_seconds(t) for t in ("90s", "30m", "1.5h", "7")] == [90, 1800, 5400, 7]
    assert [parse_bytes(t) for t in ("512M", "2GB", "1GiB")] == [512 << 20, 2 << 30, 1 << 30]
    for bad in ("", "0s", "soon", "-3m"):
        with pytest.raises(InputError, match="no time"):
            parse_seconds(bad)
    with pytest.raises(InputError, match="no amount"):
        parse_bytes("much")

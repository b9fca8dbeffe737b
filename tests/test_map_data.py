from dataclasses import replace

import numpy as np
import pytest

import cliptune.workflows.map_data
from cliptune.errors import DataError, InputError
from cliptune.images import ImageTable
from cliptune.images.sources import FileSource
from cliptune.workflows.map_data import check_mappable, choose_images, describes_images


def make_table(labels, captions=None, names=("ant", "bee")):
    n = len(labels)
    return ImageTable(
        sources=[FileSource(f"{row}.png", f"{row}.png") for row in range(n)],
        labels=np.asarray(labels),
        splits=np.full(n, ""),
        class_names=names,
        root="data",
        captions=captions,
    )


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (make_table([0, 1]), "has 2 images; a map needs at least 3"),
        (make_table([0, 0, 0], names=("ant",)), r"has 1 class \('ant'\)"),
        (make_table([1, 1, 1, -1]), r"of 1 class \('bee'\)"),
        (make_table([-1, -1, -1]), r"of 0 class \(none\)"),
        (make_table([-1] * 3, captions=(("one",), (), ()), names=()), "1 of the 3 images"),
    ],
)
def test_refuses_what_gives_no_map(table, expected):
    with pytest.raises(DataError, match=expected):
        check_mappable(table)


def test_labels_come_before_captions():
    table = make_table([0, 1, -1], captions=(("one",), ("two",), ("three",)))
    assert not describes_images(table)
    assert describes_images(replace(table, labels=np.full(3, -1)))
    check_mappable(table)


def test_a_sample_is_drawn_class_by_class_and_said():
    table = make_table([0, 1] * 50)
    drawn, remarks = choose_images(table, dim=8, n_views=1, sample=10, seed=3)
    assert np.bincount(drawn.labels).tolist() == [5, 5]
    assert remarks == ("10 of 100 images, drawn class by class with seed 3.",)
    assert choose_images(table, dim=8, n_views=1, sample=500, seed=3) == (table, ())
    with pytest.raises(InputError, match="--sample 2 came"):
        choose_images(table, dim=8, n_views=1, sample=2, seed=3)


@pytest.mark.parametrize(("n_views", "captions_each"), [(1, 0), (3, 0), (1, 4)])
def test_more_than_memory_allows_is_sampled_and_said(n_views, captions_each, monkeypatch):
    labels = [-1] * 1000 if captions_each else [0, 1] * 500
    captions = (("text",) * captions_each,) * 1000 if captions_each else None
    table = make_table(labels, captions=captions)
    bytes_per_image = 64 * (24 + 4 * n_views) * (1 + captions_each)
    monkeypatch.setattr(
        cliptune.workflows.map_data, "available_memory", lambda: 2 * 400 * bytes_per_image
    )
    drawn, remarks = choose_images(table, dim=64, n_views=n_views, sample=None, seed=0)
    assert len(drawn) == 400
    assert "400 of 1000 images" in remarks[0]
    assert "memory does not allow 1000" in remarks[0]
    drawn, remarks = choose_images(table, dim=64, n_views=n_views, sample=100, seed=0)
    assert len(drawn) == 100
    assert "memory" not in remarks[0]


def test_where_no_system_tells_the_memory_all_are_taken(monkeypatch):
    monkeypatch.setattr(cliptune.workflows.map_data, "available_memory", lambda: None)
    table = make_table([0, 1] * 50)
    assert choose_images(table, dim=8, n_views=1, sample=None, seed=0) == (table, ())

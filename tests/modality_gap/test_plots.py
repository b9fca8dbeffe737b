import io
import warnings
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from cliptune.modality_gap.build import build_map
from cliptune.modality_gap.inputs import MapOptions
from cliptune.modality_gap.labels import place_labels
from cliptune.modality_gap.palette import CLASS_COLOURS, colour_numbers
from cliptune.modality_gap.pictures import spread_out
from cliptune.modality_gap.plots import plot_map, plot_shift
from cliptune.plots.figures import font_families, save_figure

NAMES = ("ant", "$x_1$ & <b>", "très long nom", "d", "e", "f")


@pytest.fixture(scope="module")
def result(make_class_inputs):
    inputs = make_class_inputs(n=60, offsets=(1.0, 0.5), noise=(0.5, 0.5), names=NAMES)
    return build_map(inputs, MapOptions(shift=True))


def texts_of(axes):
    return [child.get_text() for child in axes.texts]


def test_a_column_a_view_with_the_variance_on_the_axes(result):
    axes = plot_map(result).axes
    assert [a.get_title(loc="left") for a in axes] == [
        "before, by modality",
        "after, by modality",
        "before, by class",
        "after, by class",
    ]
    share = result.numbers["views"][1]["explained_variance"][0]
    assert axes[1].get_xlabel() == f"PC 1 ({100 * share:.1f} % of variance)"


def test_panels_share_their_limits_and_their_unit(result):
    for axes in plot_map(result).axes:
        frame = axes.get_window_extent()
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert frame.width / (right - left) == pytest.approx(frame.height / (top - bottom))
        for view in result.views:
            for places in (view.image_places, view.text_places):
                assert (places > (left, bottom)).all()
                assert (places < (right, top)).all()


def test_every_class_is_tied_to_the_centroid_of_its_images(result):
    axes = plot_map(result).axes[0]
    lines = np.asarray(axes.collections[0].get_segments())
    view = result.views[0]
    for group, (start, end) in enumerate(lines):
        assert start == pytest.approx(view.text_places[group])
        own = view.image_places[result.image_groups == group]
        assert end == pytest.approx(own.mean(axis=0), abs=1e-5)
    assert len(lines) == 6


def test_names_are_written_as_they_are(result):
    names = set(texts_of(plot_map(result).axes[2]))
    assert set(NAMES) <= {name.replace(r"\$", "$") for name in names}


def test_pictures_stand_at_their_points(result):
    axes = plot_map(result).axes[0]
    boxes = [a for a in axes.artists if hasattr(a, "xybox")]
    assert 3 <= len(boxes) <= 10
    places = {tuple(p) for p in result.views[0].image_places.tolist()}
    assert all(tuple(map(float, box.xy)) in places for box in boxes)


def test_many_names_do_not_cover_one_another():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = np.random.default_rng(0).uniform(size=(120, 2)).astype(np.float32)
    names = [f"name {n}" for n in range(120)]
    drawn = place_labels(axes, places, names, sizes=[5] * 120, colours=["black"] * 120)
    renderer = figure.canvas.get_renderer()
    boxes = [label.get_window_extent(renderer) for label in axes.texts]
    assert 20 < drawn == len(boxes) < 120
    overlaps = [a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :]]
    assert not any(overlaps)


def test_svg_and_png_are_files_of_their_kind_and_the_same_twice(result, tmp_path):
    first = save_figure(plot_map(result), tmp_path / "a" / "map")
    second = save_figure(plot_map(result), tmp_path / "b" / "map")
    assert ElementTree.parse(first["svg"]).getroot().tag.endswith("svg")
    with Image.open(first["png"]) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
    for kind in ("svg", "png"):
        assert first[kind].read_bytes() == second[kind].read_bytes()


def test_captions_are_coloured_by_success(make_caption_inputs):
    result = build_map(make_caption_inputs(n=20))
    axes = plot_map(result).axes
    assert axes[1].get_title(loc="left") == "before, by success"
    legend = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert "nearest caption is its own" in legend


def test_shift_is_drawn_over_the_signed_distance(result):
    views = result.numbers["views"]
    axes = plot_shift(views).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert [line.get_label() for line in curves] == ["before, accuracy", "after, accuracy"]
    assert list(curves[0].get_xdata()) == views[0]["shift"]["distance"]


def test_drawing_leaves_pyplot_and_global_settings_alone(result, tmp_path):
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    save_figure(plot_map(result), tmp_path / "map")
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_a_hundred_classes_are_drawn_and_the_names_counted(make_class_inputs):
    inputs = make_class_inputs(n=300, n_classes=100)
    figure = plot_map(build_map(inputs))
    (note,) = (text for text in texts_of(figure.axes[1]) if "of 100 classes in colour" in text)
    named = [text for text in texts_of(figure.axes[1]) if text.startswith("class ")]
    assert note == f"8 of 100 classes in colour, {len(named)} named"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.tell() > 10_000


def test_names_in_other_scripts_are_drawn_where_a_font_has_them(make_class_inputs):
    names = ("蚂蚁", "蜜蜂", "ants")
    missing = not any("CJK" in family or "Hei" in family for family in font_families()[1:])
    result = build_map(make_class_inputs(n=12, n_classes=3, names=names))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = plot_map(result)
        figure.savefig(io.BytesIO(), format="png")
    assert any("missing from font" in str(warning.message) for warning in caught) == missing
    assert set(names) <= set(texts_of(figure.axes[1]))


def test_few_classes_have_a_colour_each_and_many_share_them_apart():
    few = np.random.default_rng(0).normal(size=(len(CLASS_COLOURS), 2)).astype(np.float32)
    assert sorted(colour_numbers(few)) == list(range(len(CLASS_COLOURS)))
    angles = np.linspace(0, 2 * np.pi, 41)[:-1]
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    numbers = colour_numbers(circle)
    assert all(numbers[k] != numbers[k - 1] for k in range(1, 40))


def test_chosen_points_are_far_apart():
    places = np.random.default_rng(0).uniform(size=(500, 2))
    chosen = places[spread_out(places, 10, 0.15)]
    distances = np.linalg.norm(chosen[:, None] - chosen, axis=2)
    assert distances[np.triu_indices(len(chosen), 1)].min() > 0.15
    assert spread_out(np.zeros((5, 2)), 10) == [0]

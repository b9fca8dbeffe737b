"""The resize in a graph beside Pillow's: all modes, both filters, in both runtimes."""

import numpy as np
import pytest
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.exports.preparing import write_preparing_graph

onnx = pytest.importorskip("onnx", reason="needs cliptune[export]")

MODES = {
    "shortest": {},
    "cropped": {"crop_fraction": 0.875},
    "oblong": {"size": (48, 66)},
    "longest": {"size": (65, 48), "resize_mode": "longest", "fill": 127},
    "squash": {"resize_mode": "squash"},
    "cuts": {"crops": 12, "size": (32, 32)},
}
LEAST = {"bicubic": 0.9997, "bilinear": 0.993}
SIZES = [
    (500, 375), (375, 501), (240, 500), (300, 301), (64, 64), (61, 47), (64, 200), (200, 64),
    (33, 500), (500, 33), (1, 1), (1, 7), (7, 1), (2, 90), (90, 2), (1, 150), (150, 1), (9, 1200),
]  # fmt: skip


RUNTIMES = ("onnx", "openvino")
# OpenVINO takes seconds to compile a graph: the filter with fewer nodes only where sides are
# scaled alike and apart
CASES = [
    (name, mode, interpolation)
    for name in RUNTIMES
    for mode in MODES
    for interpolation in LEAST
    if (name, interpolation) != ("openvino", "bilinear") or mode in ("shortest", "squash")
]


@pytest.fixture(params=RUNTIMES)
def open_graph(request, tmp_path):
    """Return a function from a transform to one that runs its graph on a batch."""
    runtime = pytest.importorskip(
        {"onnx": "onnxruntime"}.get(request.param, request.param), reason="needs cliptune[export]"
    )

    def open_it(preprocess):
        file = write_preparing_graph(preprocess, tmp_path, request.param)
        if request.param == "onnx":
            session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
            return lambda batch: session.run(None, {"image": batch})[0]
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = runtime.Core().compile_model(file, "CPU", settings)
        return lambda batch: compiled({"image": batch})[0].copy()

    return open_it


@pytest.mark.parametrize(("open_graph", "mode", "interpolation"), CASES, indirect=["open_graph"])
def test_levels_are_those_of_pillow(open_graph, make_picture, mode, interpolation):
    preprocess = Preprocess(**{"size": (64, 64), **MODES[mode]}, interpolation=interpolation)
    run, apart = open_graph(preprocess), []
    for seed, size in enumerate(SIZES):
        picture = make_picture(seed, size)
        (found,), wanted = run(np.asarray(picture)[None]), preprocess(picture)
        assert found.shape == wanted.shape == preprocess.shape
        apart.append(np.abs(found.astype(int) - wanted).ravel())
        # what one direction rounds otherwise, the other may enlarge
        assert (apart[-1] <= 1).mean() > 0.9999, size
        assert apart[-1].max() <= 2, size
    # between few pixels the triangle's levels often end in a half, and the last bit decides
    assert (np.concatenate(apart) == 0).mean() > LEAST[interpolation]


@pytest.mark.parametrize("size", [(500, 375), (240, 500)], ids=["across-first", "down-first"])
def test_pictures_of_a_batch_are_scaled_alike(open_graph, make_picture, size):
    preprocess = Preprocess()
    pictures = [make_picture(seed, size) for seed in range(3)]
    found = open_graph(preprocess)(np.stack([np.asarray(picture) for picture in pictures]))
    apart = found.astype(int) - np.stack([preprocess(picture) for picture in pictures])
    assert np.abs(apart).max() <= 1
    assert (apart == 0).mean() > 0.9995


def test_sharp_edges_overshoot_as_in_pillow(open_graph):
    levels = np.random.default_rng(0).choice(np.uint8([0, 255]), (90, 70, 3))
    preprocess = Preprocess(size=(96, 96), resize_mode="squash")
    (found,) = open_graph(preprocess)(levels[None])
    apart = np.abs(found.astype(int) - preprocess(Image.fromarray(levels)))
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.9995


def test_a_very_thin_picture_is_that_of_pillow_but_for_the_order(open_graph, make_picture):
    preprocess = Preprocess(size=(32, 32))
    for size in ((3, 900), (5000, 1), (1, 5000)):
        picture = make_picture(0, size)
        (found,) = open_graph(preprocess)(np.asarray(picture)[None])
        assert np.abs(found.astype(int) - preprocess(picture)).max() <= 2


def test_a_graph_is_within_its_standard(tmp_path):
    file = write_preparing_graph(Preprocess(resize_mode="longest"), tmp_path, "onnx")
    onnx.checker.check_model(onnx.load(file), full_check=True)

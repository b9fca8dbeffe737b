"""The resize in an exported graph beside Pillow's, on 500 photographs of as many sizes.

    python bench/resize.py [DATA] [--quick]

A photograph of each size in Hymenoptera and Flickr8k, and crops of further ones at random places,
seed 0, until there are 500 sizes. The last column is the median time of a picture, each of a size
that is new to the graph. It prints and writes nothing.
"""

import io
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from harness import data_parser
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.exports.preparing import compare_pixels, write_preparing_graph

WAYS = {
    "bicubic to 224": Preprocess(),
    "bilinear to 256, crop of 224": Preprocess(crop_fraction=0.875, interpolation="bilinear"),
    "bicubic, longest side to 224": Preprocess(resize_mode="longest"),
    "bicubic, both sides to 224": Preprocess(resize_mode="squash"),
}


def main():
    options = data_parser(__doc__).parse_args()
    pictures = of_many_sizes(Path(options.data), 40 if options.quick else 500)
    sides = [side for picture in pictures for side in picture.shape[:2]]
    print(f"{len(pictures)} photographs of as many sizes, sides {min(sides)} to {max(sides)}")
    print("| resize | runtime | sizes | equal | within one level | mean | largest | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("onnx", "openvino"):
        for name, preprocess in WAYS.items():
            show(name, kind, preprocess, pictures)


def show(name, kind, preprocess, pictures):
    run = {"onnx": with_onnx, "openvino": with_openvino}[kind](preprocess)
    wanted = np.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    run(pictures[0][None])
    found, times = [], []
    for picture in pictures:
        start = time.perf_counter()
        found.append(run(picture[None])[0])
        times.append(1e3 * (time.perf_counter() - start))
    one = compare_pixels(np.stack(found), wanted, [p.shape[1::-1] for p in pictures])
    shares = f"{one.n_sizes} | {one.equal:.3%} | {one.within_one:.4%}"
    levels = f"{one.mean_difference:.5f} | {one.largest_difference}"
    took = f"{np.median(times):.2f}"
    print(f"| {name} | {kind} | {shares} | {levels} | {took} |", flush=True)


def of_many_sizes(data, n):
    """Return n photographs, uint8 (H, W, 3), no two of one size."""
    found, others, rng = {}, [], np.random.default_rng(0)
    for file in photographs(data):
        picture = np.asarray(Image.open(file).convert("RGB"))
        if len(found) >= n:
            break
        if picture.shape in found:
            others.append(picture)
        found.setdefault(picture.shape, picture)
    for picture in others:
        sides = [rng.integers(side // 2, side + 1) for side in picture.shape[:2]]
        top, left = (rng.integers(0, s - c + 1) for s, c in zip(picture.shape, sides, strict=False))
        crop = picture[top : top + sides[0], left : left + sides[1]]
        if len(found) < n:
            found.setdefault(crop.shape, crop)
    return list(found.values())


def photographs(data):
    yield from sorted(data.glob("hymenoptera_data/*/*/*.jpg"))
    for split in ("train", "test"):
        table = pq.read_table(data / f"flickr8k/{split}.parquet", columns=["image"])
        yield from (io.BytesIO(image["bytes"]) for image in table["image"].to_pylist())


def with_onnx(preprocess):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = write_preparing_graph(preprocess, Path(folder), "onnx")
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"image": batch})[0]


def with_openvino(preprocess):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        file = write_preparing_graph(preprocess, Path(folder), "openvino")
        core, settings = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = core.compile_model(core.read_model(file), "CPU", settings)
    return lambda batch: compiled({"image": batch})[0].copy()


if __name__ == "__main__":
    main()

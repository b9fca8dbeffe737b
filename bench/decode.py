"""JPEG files to the pixels of a model: ours beside open_clip's transform, on one core and on two.

    python bench/decode.py [DATA] [--runs 9] [--quick]

Hymenoptera's photographs of 500 x 375, from memory, to 224 x 224. Ways take turns on one core, and
what counts is processor time. ``exact`` gives open_clip's bytes, ``quick`` is what large jobs of
``embed --executor`` take; its cosines compare embeddings of ``lite`` in fp32 of open_clip's bytes
and of its own. Two processes and two threads are compared with one by the clock.
"""

import io
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from harness import at_most, data_parser, target, write
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.images.decode import decode_image, decode_levels

SIZE = (500, 375)


def main():
    parser = data_parser(__doc__)
    parser.set_defaults(runs=9)
    options = parser.parse_args()
    pictures = photographs(Path(options.data), 10 if options.quick else 74)
    runs = 1 if options.quick else options.runs
    cores = sorted(os.sched_getaffinity(0))[:2]
    found = on_one_core(pictures, runs, cores[0])
    scaled = on_two(pictures, runs, cores)
    apart = compare(pictures)
    rows = [as_row(way, values, "ms of one core") for way, values in found.items()]
    rows += [as_row(way, values, "times one") for way, values in scaled.items()]
    rows.append(as_row("quick beside open_clip's bytes", apart, "1 - cosine"))
    ratios = {way: over(found["open_clip"], found[way]) for way in ("exact", "quick")}
    targets = [
        target("quick over open_clip's transform, a core", ratios["quick"], 2.0),
        target("exact over open_clip's transform, a core", ratios["exact"], 1.0),
        at_most("1 - cosine of the picture that quick moves most", [max(apart)], 5e-4, ""),
        target("two processes over one", spread(scaled["two processes, quick"]), 1.8),
    ]
    about = f"{len(pictures)} JPEGs of {SIZE[0]} x {SIZE[1]}, {runs} runs in turn."
    write("decode", {"about": about}, targets, rows)


def photographs(data, n):
    """Read the files of one size and of usual colours."""
    found = []
    for path in sorted(data.glob("hymenoptera_data/*/*/*.jpg")):
        with Image.open(path) as image:
            if image.size == SIZE and image.mode == "RGB":
                found.append(path.read_bytes())
    return found[:n]


def ways():
    """Return each way from a file's bytes to pixels, and its two halves."""
    import simplejpeg
    import torch
    from open_clip.transform import image_transform
    from torchvision.io import ImageReadMode, decode_jpeg

    torch.set_num_threads(1)
    transform, own = image_transform(224, is_train=False), Preprocess()
    return {
        "open_clip": lambda data: transform(Image.open(io.BytesIO(data))),
        "exact": lambda data: own(decode_image(data, name="", min_side=own.min_side)),
        "quick": lambda data: own.quickly(decode_levels(data, name="", min_side=own.min_side)),
        "exact: decoding": lambda data: decode_image(data, name=""),
        "quick: decoding": lambda data: decode_levels(data, name=""),
        "simplejpeg, its fast transform: decoding": lambda data: simplejpeg.decode_jpeg(
            data, fastdct=True, fastupsample=True
        ),
        "torchvision: decoding": lambda data: decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB
        ),
    }


def on_one_core(pictures, runs, core):
    """Return milliseconds of processor time a picture, by way."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    found = {}
    for _ in range(runs + 1):
        for way, run in ways().items():
            start = time.thread_time()
            for data in pictures:
                run(data)
            found.setdefault(way, []).append(1e3 * (time.thread_time() - start) / len(pictures))
    os.sched_setaffinity(0, before)
    return {way: values[1:] for way, values in found.items()}


def on_two(pictures, runs, cores):
    """Return how many times the pictures of one process two processes do, and two threads."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for way in ("quick", "exact"):
        with context.Pool(2) as pool:
            work = [(way, pictures, core) for core in cores]
            pool.map(prepare, work * 4, chunksize=1)
            for _ in range(runs):
                alone = pool.map(prepare, work[:1])[0]
                both = max(pool.map(prepare, work, chunksize=1))
                found.setdefault(f"two processes, {way}", []).append(2 * alone / both)
    for way in ("quick", "exact"):
        run = ways()[way]
        with ThreadPoolExecutor(2) as threads:
            for _ in range(runs):
                seconds = []
                for n in (1, 2):
                    start = time.perf_counter()
                    list(threads.map(lambda _: [run(data) for data in pictures], range(n)))  # noqa: B023
                    seconds.append(time.perf_counter() - start)
                found.setdefault(f"two threads, {way}", []).append(2 * seconds[0] / seconds[1])
    return found


def prepare(work):
    """Prepare all pictures on one core, five times; return the seconds."""
    way, pictures, core = work
    os.sched_setaffinity(0, {core})
    run = ways()[way]
    start = time.perf_counter()
    for _ in range(5):
        for data in pictures:
            run(data)
    return time.perf_counter() - start


def compare(pictures):
    """Return how far each picture's two embeddings are from parallel: 1 - cosine."""
    from cliptune.encoders.engines import open_on_engine

    encoder = open_on_engine("lite", engine="openvino", precision="fp32")
    own = encoder.preprocess
    exact = np.stack([own(decode_image(data, name="")) for data in pictures])
    quick = np.stack([own.quickly(decode_levels(data, name="")) for data in pictures])
    one, other = encoder.encode_images(exact), encoder.encode_images(quick)
    return [1 - float(value) for value in np.sum(one.astype(float) * other, axis=1)]


def over(slow, fast):
    return spread([a / b for a, b in zip(slow, fast, strict=True)])


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def as_row(way, values, unit):
    return {"what": "500 x 375 to 224", "way": way, **spread(values), "unit": unit}


if __name__ == "__main__":
    main()

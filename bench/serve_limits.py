"""What no server can exceed here: the tower alone, and decoding and tower without HTTP.

    python bench/serve_limits.py [DATA] [--runs 3] [--quick]

Exports in float32, as ``serve.py`` serves them; a thread a core, batches of eight. Beside them, in
the same run, ours and LitServe at 32 clients.
"""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from harness import data_parser, picture_files, ratio, write
from serve import ours, peer, rate, row, serving
from serve_client import form
from serve_exports import prepare

from cliptune.images.decode import decode_image
from cliptune.serving.exports import open_export
from cliptune.serving.pace import Pace
from cliptune.system.processors import usable_cores

NAMES = {"lite": "lite", "vit": "ViT-B/32"}
BATCH = 8


def main():
    options = data_parser(__doc__).parse_args()
    runs, seconds = (1, 3) if options.quick else (options.runs, 10)
    files, _ = picture_files(options.data, 100, 1)
    images = [Path(file).read_bytes() for file in files]
    bodies = [form(image) for image in images]
    rows, shares = [], []
    for name, shown in NAMES.items():
        _, export = prepare(name, options.data, "openvino")
        served = open_export(name, export, Pace(BATCH))
        ways = {
            "tower alone": lambda served=served: alone(served, seconds),
            "decoding and tower": lambda served=served: with_decoding(served, images, seconds),
            "ours": lambda export=export: over_http(ours(export), bodies, seconds),
            "LitServe": lambda export=export: over_http(
                peer("litserve", export, "f32"), bodies, seconds
            ),
        }
        rates = {way: [] for way in ways}
        for run in range(runs):
            print(f"{shown}: run {run + 1} of {runs}", file=sys.stderr)
            for way in list(ways)[:: 1 if run % 2 == 0 else -1]:
                rates[way].append(ways[way]())
        rows += [row(shown, way, found, "images/s") for way, found in rates.items()]
        shares += [
            {"what": f"{shown}, over LitServe", "way": way, "unit": "times"}
            | ratio(rates[way], rates["LitServe"])
            for way in list(ways)[:3]
        ]
    about = f"{usable_cores()} threads; {len(images)} photographs; 32 clients where there are any."
    write("serve_limits", {"about": about}, [], rows + shares)


def alone(served, seconds):
    pixels = np.zeros((BATCH, *served.preprocess.shape), np.uint8)
    return images_a_second(lambda: served.answer(served.tower.run(pixels)), seconds)


def with_decoding(served, images, seconds):
    turn, lock = itertools.cycle(images), threading.Lock()

    def answer():
        with lock:
            some = [next(turn) for _ in range(BATCH)]
        pixels = [
            served.preprocess(decode_image(one, name="", min_side=served.min_side)) for one in some
        ]
        served.answer(served.tower.run(np.stack(pixels)))

    return images_a_second(answer, seconds)


def images_a_second(answer, seconds):
    """Let a thread a core answer batches, after one each that sets up."""
    threads = usable_cores()

    def work(until):
        n = 0
        while time.perf_counter() < until:
            answer()
            n += BATCH
        return n, time.perf_counter()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [time.perf_counter() + 0.01] * threads))
        start = time.perf_counter()
        found = list(pool.map(work, [start + seconds] * threads))
    return sum(n for n, _ in found) / (max(end for _, end in found) - start)


def over_http(command, bodies, seconds):
    with serving(command) as (_, port):
        return rate(port, bodies, seconds)


if __name__ == "__main__":
    main()

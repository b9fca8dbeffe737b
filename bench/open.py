"""Opening class folders of many files, beside a bare walk of the same files.

    python bench/open.py [--files 200000] [--runs 5] [--quick]

A walk with ``os.walk`` and a ``stat`` of each file is the least that any program does which looks
at every file. Runs alternate, each in a process of its own; memory is what a process takes above
one that holds the names alone. The first image is decoded in a fresh process, imports included.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import at_most, write
from PIL import Image

CLASSES = 200
WALK = """
import os, sys, time
start = time.perf_counter()
n = 0
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        os.stat(os.path.join(folder, name))
        n += 1
print(n, time.perf_counter() - start, 0)
"""
NAMES = """
import os, resource, sys
import numpy, PIL.Image
import cliptune.images
held = [names for _, _, names in os.walk(sys.argv[1])]
print(sum(map(len, held)), 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
OPEN = """
import resource, sys, time
from cliptune.images import ImageTable
start = time.perf_counter()
table = ImageTable.open(sys.argv[1])
seconds = time.perf_counter() - start
print(len(table), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
FIRST = """
import sys
from cliptune.images import ImageTable
ImageTable.open(sys.argv[1]).load_image(0)
print(1, 0, 0)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    files = 5_000 if options.quick else options.files
    runs = 1 if options.quick else options.runs
    with tempfile.TemporaryDirectory() as place:
        make_files(Path(place) / "data", files)
        result = measure(Path(place), files, runs)
    facts = {"about": f"{files} files in {CLASSES} class folders, {runs} runs", "files": files}
    write("open", facts, targets_of(result), rows_of(result))


def spread(values):
    return {"median": float(np.median(values)), "low": min(values), "high": max(values)}


def targets_of(rows):
    """What is asked for, at most, run by run beside the walk of the same run."""
    first = [row["first"][0] / row["walk"][0] for row in rows]
    above = [(row["first"][1] - row["names"][1]) / row["files"] for row in rows]
    image = [row["image"][2] for row in rows]
    return [
        at_most("a first opening beside a bare walk", first, 1.2, "times"),
        at_most("memory above the names", above, 200, "bytes an image"),
        at_most("start to the first image decoded", image, 2, "s"),
    ]


def rows_of(rows):
    """Seconds of each way."""
    ways = {
        "walk": "os.walk with stat",
        "first": "ours, first time",
        "second": "ours, second time",
    }
    return [
        {"what": "open", "way": ways[way], "unit": "s", **spread([row[way][0] for row in rows])}
        for way in ways
    ]


def make_files(folder, files):
    """Hard links of a few pictures: what is opened is names, and disk is spared."""
    originals = []
    for number in range(CLASSES):
        buffer = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(buffer, "JPEG")
        path = folder / f"class {number:03d}" / "image-000000.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(buffer.getvalue())
        originals.append(path)
    for number in range(CLASSES, files):
        original = originals[number % CLASSES]
        copy = original.with_name(f"image-{number // CLASSES:06d}.jpg")
        try:
            copy.hardlink_to(original)
        except OSError:
            shutil.copy(original, copy)


def measure(place, files, runs):
    def run(script, cache):
        environment = {**os.environ, "CLIPTUNE_CACHE": str(cache)}
        command = [sys.executable, "-c", script, str(place / "data")]
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
        n, seconds, memory = done.stdout.split()
        assert int(n) in (1, files), n
        return float(seconds), int(memory), time.perf_counter() - begin

    rows = []
    for number in range(-1, runs):
        cache = place / f"cache{number}"
        row = {
            "walk": run(WALK, cache),
            "first": run(OPEN, cache),
            "second": run(OPEN, cache),
            "names": run(NAMES, cache),
            "image": run(FIRST, cache),
            "files": files,
        }
        if number >= 0 or runs == 1:
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()

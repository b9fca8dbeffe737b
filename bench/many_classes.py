"""How long methods are compared where there are thousands of classes with few images.

    python bench/many_classes.py [--classes 5000] [--images 4]

Drawn rows around class centres, 384 columns and 1,280 before the projection, as ``lite`` has them.
Prints the seconds and the memory after each method, and what was not compared.
"""

import argparse
import time

import numpy as np

from cliptune.choosing import choose_methods
from cliptune.classifiers.head_data import HeadData
from cliptune.selection.methods import COMPARED
from cliptune.system.usage import Usage

DIM, BEHIND = 384, 1280


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def draw(n_classes, n_images):
    """Return a task whose classes can be told apart."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, DIM + BEHIND)).astype(np.float32)
    labels = np.repeat(np.arange(n_classes), n_images)
    rows = centres[labels] + 1.5 * rng.normal(size=(len(labels), DIM + BEHIND)).astype(np.float32)
    vectors = unit(rows[:, :DIM])
    texts = unit(centres[:, :DIM] + rng.normal(size=(n_classes, DIM)))
    names = tuple(f"class {c}" for c in range(n_classes))
    none = np.zeros(0, np.int64)
    return HeadData(
        vectors, None, labels, names, texts, 100.0, np.arange(len(labels)), none, 0,
        np.hstack([vectors, unit(rows[:, DIM:])]),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--images", type=int, default=4)
    options = parser.parse_args()
    task, began = draw(options.classes, options.images), time.perf_counter()

    def show(done, total):
        print(f"{done} of {total} methods, {time.perf_counter() - began:.0f} s", flush=True)

    with Usage() as usage:
        chosen = choose_methods(task, COMPARED, options={}, progress=show)
    print(*chosen.notes, sep="\n")
    print(f"{usage.seconds:.0f} s, {(usage.peak_bytes or 0) / 1e9:.1f} GB beside the rows")


if __name__ == "__main__":
    main()

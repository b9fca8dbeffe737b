"""Which depth pays: accuracy against how many of the last blocks move.

    python bench/depth_accuracy.py [DATA ...] [--seeds 3] [--images 600] [--epochs 6]

``lite``, ``head-then-full``: a linear head is fitted on frozen features first, then the head and
the last blocks of the image tower train (light augmentation, what frozen blocks give is kept).
Depth 0 is that head alone; each depth is compared with it on the same locked test images, and
nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import RESULTS, machine

import cliptune as ct

DEPTHS = ("head", "image.last1,head", "image.last2,head", "image.last4,head", "image,head")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=["cifar10", "textile", "hymenoptera"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    found = {"machine": machine(), **{k: getattr(arguments, k) for k in ("images", "epochs")}}
    RESULTS.mkdir(exist_ok=True)
    for data in arguments.data:
        name = Path(data).name
        found[name] = measure(data, arguments)
        print(as_markdown({name: found[name]}), flush=True)
        (RESULTS / "depth_accuracy.json").write_text(json.dumps(found, indent=2) + "\n")


def measure(data: str, arguments: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    rows: dict[str, dict[str, list[float]]] = {}
    for seed in range(arguments.seeds):
        table = draw(ct.open_images(data), arguments.images, seed)
        for depth in DEPTHS:
            began = time.perf_counter()
            settings = options(depth, arguments, seed)
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "run"
                result = ct.finetune(table, check=False, out=out, options=settings)
            row = rows.setdefault(depth, {"accuracy": [], "seconds": []})
            row["accuracy"].append(result.test.accuracy.value)
            row["seconds"].append(time.perf_counter() - began)
    return rows


def options(depth: str, arguments: argparse.Namespace, seed: int) -> ct.FinetuneOptions:
    return ct.FinetuneOptions(
        method="head-then-full",
        epochs=arguments.epochs,
        interpolate=False,
        seed=seed,
        trainable=ct.TrainableOptions(train=tuple(depth.split(","))),
    )


def draw(table: ct.ImageTable, n_images: int, seed: int) -> ct.ImageTable:
    """Take as many images of every class to learn from, and as many again for the test."""
    rng = np.random.default_rng(seed)
    each = n_images // len(table.class_names)
    test = np.isin(table.splits, ["test", "val"])
    parts = [
        rng.permutation(np.flatnonzero((test == held) & (table.labels == label)))[:each]
        for held in (False, True)
        for label in range(len(table.class_names))
    ]
    return table.select(np.sort(np.concatenate(parts)))


def as_markdown(found: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    lines = [
        "| data | moves | test accuracy | against the head alone | seconds |",
        "|---|---|---|---|---|",
    ]
    for data, rows in found.items():
        base = np.array(rows["head"]["accuracy"])
        for depth, row in rows.items():
            accuracy = 100 * np.array(row["accuracy"])
            gains = accuracy - 100 * base
            spread = f"{gains.mean():+.1f} ({gains.min():+.1f} to {gains.max():+.1f})"
            seconds = statistics.median(row["seconds"])
            lines.append(
                f"| {data} | {depth} | {accuracy.mean():.1f} % | {spread} | {seconds:.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

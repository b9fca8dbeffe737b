"""Views of an image averaged in feature space, beside one look at it: accuracy on the test.

    python bench/choice_views.py DATA_ROOT [--only textile,pacs] [--shots 4,8,16,32] [--seeds 3]

Views are taken of the file's own pixels, before the encoder's preprocessing: the whole picture, its
mirror image, and crops of 0.875 of either side (centre and four corners), each mirrored too. Their
embeddings, and likewise their features before the projection, are averaged and brought to norm 1.

- one look: the whole picture, to learn from and to be answered.
- mirrored at prediction: learned from one look; whole and mirrored picture averaged to answer.
- mirrored: both averaged, for learning and answering alike.
- twelve views: whole, centre and corners, each with its mirror image, likewise.

Draws, tests and methods are those of choice.py; the blend is compared, and zero-shot, which needs
no label. Writes bench/results/choice_views.json and choice_views.md.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import choice
import numpy as np
from PIL import ImageOps

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.encoders.engines import open_on_engine
from cliptune.features import FeatureStore
from cliptune.system.paths import cache_dir

SETS = ("hymenoptera", "textile", "pacs", "cifar100-a")
METHODS = ("zero-shot", "discriminant", "linear", "blend")
CROP, BATCH = 0.875, 48
VIEWS = {"one look": [0], "mirrored": [0, 1], "twelve views": list(range(12))}


def crops(image):
    """Return six pictures: the whole, and crops at the centre and the corners."""
    width, height = image.size
    w, h = max(1, round(CROP * width)), max(1, round(CROP * height))
    corners = [(0, 0), (width - w, 0), (0, height - h), (width - w, height - h)]
    places = [((width - w) // 2, (height - h) // 2), *corners]
    return [image, *(image.crop((x, y, x + w, y + h)) for x, y in places)]


def look(table, row, preprocess):
    """Return the pixels of twelve views, uint8 (12, 3, H, W), each before its mirror image."""
    return np.stack(
        [
            preprocess(picture)
            for crop in crops(table.load_image(row))
            for picture in (crop, ImageOps.mirror(crop))
        ]
    )


def embed_views(table, encoder):
    """Return embeddings and features of all views: float32 (12, N, dim + E)."""
    found = []
    with ThreadPoolExecutor(2) as pool:
        few = BATCH // 12
        for start in range(0, len(table), few):
            rows = range(start, min(start + few, len(table)))
            pixels = list(pool.map(lambda row: look(table, row, encoder.preprocess), rows))
            vectors = encoder.encode_trunk(np.concatenate(pixels))
            found.append(vectors.reshape(len(rows), 12, -1))
            if start % (20 * BATCH) == 0:
                print(f"{start} of {len(table)}", file=sys.stderr, flush=True)
    return np.concatenate(found).transpose(1, 0, 2)


def unit_rows(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def average(views, which, dim):
    """Average chosen views part by part: embedding, then features behind it, each of norm 1."""
    mean = views[which].mean(axis=0)
    return np.concatenate([unit_rows(mean[:, :dim]), unit_rows(mean[:, dim:])], axis=1)


def with_rows(task, trunk, dim):
    return replace(task, vectors=np.ascontiguousarray(trunk[:, :dim]), trunk=trunk)


def run_case(task, kinds, rows, test, seed, dim):
    """Fit on the drawn labels for each kind of views, and score on the test."""
    found = {}
    for kind, trunk in kinds.items():
        own = replace(with_rows(task, trunk, dim), train=rows, val=rows[:0], seed=seed)
        chosen = choose_methods(own, METHODS, options={})
        asked = {kind: own}
        if kind == "one look":
            both = kinds["mirrored"].copy()
            both[rows] = trunk[rows]
            asked["mirrored at prediction"] = with_rows(own, both, dim)
        for name, seen in asked.items():
            found[name] = {
                method: score_fitted(seen, fitted, test)[0].accuracy.value
                for method, fitted in chosen.fitted.items()
            }
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--shots", default="4,8,16,32")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    encoder, store = open_on_engine("lite"), FeatureStore(cache_dir())
    cases, seconds = [], {}
    for name in options.only.split(","):
        table, pool, test = choice.load_set(name, options.root)
        task = choice.embed(table, encoder, store)
        dim = task.vectors.shape[1]
        began = time.perf_counter()
        views = embed_views(table, encoder)
        seconds[name] = time.perf_counter() - began
        kinds = {kind: average(views, which, dim) for kind, which in VIEWS.items()}
        for shots in map(int, options.shots.split(",")):
            for seed in range(options.seeds):
                rows = choice.draw(task.labels, pool, shots, seed)
                if rows is None:
                    continue
                found = run_case(task, kinds, rows, test, seed, dim)
                cases.append({"set": name, "shots": shots, "seed": seed, "accuracy": found})
                print(name, shots, seed, found, file=sys.stderr, flush=True)
    text = render(cases)
    kept = {"cases": cases, "seconds": seconds}
    (choice.RESULTS / "choice_views.json").write_text(json.dumps(kept, indent=1) + "\n")
    (choice.RESULTS / "choice_views.md").write_text(text)
    print(text)


def render(cases):
    sets = list(dict.fromkeys(case["set"] for case in cases))
    lines = [f"| views | method | {' | '.join(sets)} | all | worst against one look |"]
    lines += ["|---" * (len(sets) + 4) + "|"]
    for kind in cases[0]["accuracy"]:
        for method in ("zero-shot", "blend"):
            own = [c["accuracy"][kind][method] for c in cases]
            plain = [c["accuracy"]["one look"][method] for c in cases]
            gains = np.asarray(own) - plain
            means = [
                np.mean([v for v, c in zip(own, cases, strict=True) if c["set"] == s]) for s in sets
            ]
            shown = " | ".join(f"{100 * m:.1f} %" for m in means)
            worst = f"{100 * gains.min():+.1f}" if kind != "one look" else ""
            lines.append(f"| {kind} | {method} | {shown} | {100 * np.mean(own):.1f} % | {worst} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

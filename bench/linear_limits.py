"""What limits a linear head on ``lite``: the penalty, the views of an image, or the space.

    python bench/linear_limits.py CIFAR10 [--most 8000]      # about ten minutes on two cores

Images of the training file only, three quarters to learn from, a quarter held out. Rows are the
embeddings (384 dimensions), the same with each image's mirror image beside it or averaged with it,
and the image tower's 1,280 pooled features before they are mapped into the space of the texts. Each
is tried with several penalties 1 / (C N) of the linear head, and with Gaussian classes in closed
form. Results go to bench/results/linear_limits.md.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from cliptune.encoders import load_encoder
from cliptune.heads import HEADS
from cliptune.heads.linear import LinearHead
from cliptune.images import ImageTable
from cliptune.system.allocator import keep_freed_memory

RESULTS = Path(__file__).parent / "results"
STRENGTHS = (3, 10, 30, 100)
BATCH = 64


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def encode(table):
    """Return pooled features before the maps and embeddings, of images and of their mirrors."""
    encoder = load_encoder("lite", precision="fp32")
    tower, preprocess = encoder.model.visual, encoder.preprocess
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (preprocess.mean, preprocess.std))
    found = {name: [] for name in ("trunk", "space", "trunk mirrored", "space mirrored")}
    with torch.inference_mode():
        for first in range(0, len(table), BATCH):
            rows = range(first, min(first + BATCH, len(table)))
            pixels = np.stack([preprocess(table.load_image(row)) for row in rows])
            images = (torch.from_numpy(pixels).float().div_(255) - mean) / std
            for suffix, view in (("", images), (" mirrored", images.flip(3))):
                pooled = tower.cells(view).mean(1)
                found["trunk" + suffix].append(pooled.numpy())
                found["space" + suffix].append(tower.projection(pooled).numpy())
    return {name: unit(np.concatenate(parts)) for name, parts in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--most", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_freed_memory()
    table = ImageTable.open(options.data).split("train")
    chosen = np.random.default_rng(0).permutation(len(table))[: options.most]
    table = table.select(chosen)
    y, n = table.labels, len(table) * 3 // 4
    rows = encode(table)
    space, mirrored = rows["space"], rows["space mirrored"]
    both = unit(space + mirrored)
    tries = {
        "embeddings": (space[:n], y[:n], space[n:]),
        "embeddings, mirror images learned too": (
            np.concatenate([space[:n], mirrored[:n]]),
            np.concatenate([y[:n], y[:n]]),
            space[n:],
        ),
        "embeddings, mean with the mirror image": (both[:n], y[:n], both[n:]),
        "features before the maps": (rows["trunk"][:n], y[:n], rows["trunk"][n:]),
    }
    lines = [
        "| rows | dimensions | "
        + " | ".join(f"linear, C = {c}" for c in STRENGTHS)
        + " | Gaussian classes |",
        "|---" * (len(STRENGTHS) + 3) + "|",
    ]
    for name, (X, labels, X_out) in tries.items():
        heads = [LinearHead(1 / (c * len(X))) for c in STRENGTHS] + [HEADS["discriminant"]()]
        cells = []
        for head in heads:
            head.fit(X, labels, n_classes=len(table.class_names))
            cells.append(f"{100 * np.mean(head.predict_logits(X_out).argmax(axis=1) == y[n:]):.1f}")
        lines.append(f"| {name} | {X.shape[1]} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    error = 100 * np.sqrt(0.25 * 0.75 / (len(y) - n))
    lines += [
        "",
        f"Held-out accuracy in percent; {n:,} images to learn from, {len(y) - n:,} held out: a "
        f"standard error of about {error:.1f} points.",
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "linear_limits.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

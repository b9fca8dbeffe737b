"""Fit the maps of the encoder ``lite`` and write them into the package.

No image is used. The classifier of EfficientNet-Lite0 has one row for each of 1,000 ImageNet
classes: these rows, centred and at unit length, are image-space prototypes of class names that
MiniLM can embed. Everything that had to be chosen was chosen by held-out class names: five
folds of 200 names, told apart by a map that was fitted on the other 800.

    python scripts/align_lite.py            fit and write
    python scripts/align_lite.py --check    fit and compare with the shipped file
    python scripts/align_lite.py --select   the table of choices, on held-out names
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cliptune.encoders.lite import MAPS, LiteTokenizer, build_image_trunk, build_text_tower
from cliptune.prompts import ensemble_rows, published_class_names

TEMPLATES = (
    "{}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}.",
    "a close-up photo of a {}.",
)
N_FOLDS = 5
# Stands in for an image of an unseen class: its own prototype, so sure of its nearest classes.
PSEUDO_IMAGE_SCALE = 15.0

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """What could be chosen otherwise."""

    templates: tuple[str, ...] = TEMPLATES
    ridge: float = 1.0
    top_classes: int = 10
    convex_weight: float = 1.0


def main() -> None:
    """Read the option and do what it says."""
    parser = argparse.ArgumentParser(description="Fit the maps of the encoder lite.")
    parser.add_argument("--check", action="store_true", help="compare with the shipped file")
    parser.add_argument("--select", action="store_true", help="show choices on held-out names")
    arguments = parser.parse_args()
    if arguments.select:
        show_selection()
        return
    maps = fit_maps(Choice())
    if arguments.check:
        shipped = load_file(MAPS)
        apart = {name: float(np.abs(maps[name] - shipped[name]).max()) for name in maps}
        print(apart)
        sys.exit(None if max(apart.values()) < 1e-2 else "the shipped maps are not a refit")
    facts = {"made_by": "scripts/align_lite.py", "choice": repr(Choice())}
    save_file(maps, MAPS, metadata=facts)
    print(f"wrote {MAPS} ({MAPS.stat().st_size / 2**20:.1f} MiB)")


def fit_maps(choice: Choice) -> dict[str, NDArray[np.float16] | Rows]:
    """Fit on all 1,000 names."""
    names = embed_names(choice.templates)
    image_map = ridge_map(names, prototypes(), choice.ridge)
    return {
        "image_map": image_map.astype(np.float16),
        "class_names": names.astype(np.float16),
        "logit_scale": np.asarray(held_out(choice).scale, dtype=np.float32),
    }


def prototypes() -> Rows:
    """Return the classifier's rows, centred and at unit length: (1000, 1280)."""
    rows = build_image_trunk().classifier.weight.detach().numpy()
    return unit(rows - rows.mean(axis=0))


def embed_names(templates: Sequence[str]) -> Rows:
    """Embed the published ImageNet class names: (1000, 384)."""
    tower, tokenizer = build_text_tower(), LiteTokenizer()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Rows:
        rows = []
        for start in range(0, len(texts), 256):
            tokens = tokenizer(texts[start : start + 256])
            mask = (tokens != tokenizer.PAD).unsqueeze(-1)
            hidden = tower(input_ids=tokens, attention_mask=mask[..., 0].long()).last_hidden_state
            rows.append(unit(((hidden * mask).sum(1) / mask.sum(1)).numpy()))
        return np.concatenate(rows)

    return ensemble_rows(encode, published_class_names(), templates)


def ridge_map(names: Rows, targets: Rows, ridge: float) -> Rows:
    """Regress image-space rows on names: argmin |names @ M - targets|^2 + ridge |M|^2."""
    gram = names.T @ names + ridge * np.eye(names.shape[1], dtype=np.float32)
    fitted: Rows = np.linalg.solve(gram, names.T @ targets)
    return fitted


@dataclass(frozen=True)
class HeldOut:
    """How well held-out names are found, and the scale with the lowest loss."""

    linear: float
    convex: float
    both: float
    scale: float


def held_out(choice: Choice) -> HeldOut:
    """Tell 200 names apart with maps fitted on the other 800, five times."""
    from scipy.optimize import minimize_scalar

    names, targets = embed_names(choice.templates), prototypes()
    order = np.random.default_rng(0).permutation(len(names))
    hits, cosines = [], []
    for fold in range(N_FOLDS):
        out = order[fold::N_FOLDS]
        kept = np.setdiff1d(order, out)
        linear = unit(targets[out] @ ridge_map(names[kept], targets[kept], choice.ridge).T)
        logits = PSEUDO_IMAGE_SCALE * targets[out] @ targets[kept].T
        cut = -np.sort(-logits, axis=1)[:, [choice.top_classes - 1]]
        convex = unit(np.where(logits >= cut, np.exp(logits), 0) @ names[kept])
        both = unit(linear + choice.convex_weight * convex)
        right = np.arange(len(out))
        hits.append(
            [((rows @ names[out].T).argmax(1) == right).mean() for rows in (linear, convex, both)]
        )
        cosines.append(both @ names[out].T)
    found = minimize_scalar(lambda s: name_loss(cosines, s), bounds=(1, 200), method="bounded")
    return HeldOut(*np.mean(hits, axis=0), float(found.x))


def name_loss(cosines: Sequence[Rows], scale: float) -> float:
    """Mean negative log-probability of the right held-out name at a scale."""
    losses = []
    for part in cosines:
        logits = scale * part.astype(np.float64)
        losses.append(np.log(np.exp(logits).sum(axis=1)) - logits.diagonal())
    return float(np.mean(losses))


def show_selection() -> None:
    """Print the held-out accuracy of the choice and of its neighbours, one change at a time."""
    chosen = Choice()
    neighbours = [
        chosen,
        replace(chosen, templates=("{}",)),
        replace(chosen, templates=("a photo of a {}.",)),
        *(replace(chosen, ridge=ridge) for ridge in (0.1, 0.3, 3.0, 10.0)),
        *(replace(chosen, top_classes=k) for k in (3, 5, 20, 50)),
        *(replace(chosen, convex_weight=w) for w in (0.25, 0.5, 2.0)),
    ]
    print("| templates | ridge | top classes | convex weight | linear | convex | both |")
    print("|---|---|---|---|---|---|---|")
    for c in neighbours:
        score = held_out(c)
        cells = (len(c.templates), c.ridge, c.top_classes, c.convex_weight)
        scores = (f"{100 * s:.1f}" for s in (score.linear, score.convex, score.both))
        print("| " + " | ".join([*map(str, cells), *scores]) + " |")


def unit(rows: Rows) -> Rows:
    """Scale rows to norm 1."""
    scaled: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


if __name__ == "__main__":
    main()

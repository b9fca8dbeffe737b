"""Fit the maps of the encoder ``lite`` and write them into the package.

No image is used. The classifier of EfficientNet-Lite0 has one row for each of 1,000 ImageNet
classes: these rows, centred and at unit length, are image-space prototypes of classes whose
names and WordNet definitions MiniLM can embed. Everything that had to be chosen was chosen by
held-out class names, see ``lite_heldout.py``.

    python scripts/align_lite.py            fit and write
    python scripts/align_lite.py --check    fit and compare with the shipped file
    python scripts/align_lite.py --select   the table of choices, on held-out names
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from lite_heldout import HeldOut, Labels, Rows, judge, unit
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from cliptune.encoders.lite import TextTower
from cliptune.encoders.lite_wheels import LiteTokenizer, load_classifier, load_sentence_encoder
from cliptune.encoders.wheel_files import MAPS_PATH, WHEEL_FILES
from cliptune.prompts import published_class_names

Maps = Mapping[str, NDArray[np.float16] | Rows]
NAMES = ("{name}", "a photo of a {name}.")
DEFINITIONS = ("a photo of a {name}, {definition}.", "a photo of {definition}.")
# A refit on another machine differs by rounding: to half precision, and in the fit before it.
TOLERANCE = 5e-3


@dataclass(frozen=True)
class Choice:
    """What could be chosen otherwise.

    Attributes:
        names: Templates of the class names; all their embeddings are averaged.
        definitions: Templates of names with definitions, averaged by themselves.
        definition_weight: Weight of that average, where the names' has weight 1.
        other_names: Weight of the average over WordNet's synonyms.
        centre: Take the mean off all texts.
        ridge: Penalty of the regression.
        top_classes: Classes that the convex route averages.
        convex_weight: Weight of the convex route.
        linear_weight: Weight of the linear route.
    """

    names: tuple[str, ...] = NAMES
    definitions: tuple[str, ...] = DEFINITIONS
    definition_weight: float = 1.0
    other_names: float = 0.0
    centre: bool = True
    ridge: float = 1.0
    top_classes: int = 1000
    convex_weight: float = 1.0
    linear_weight: float = 1.0


def main() -> None:
    """Read the option and do what it says."""
    parser = argparse.ArgumentParser(description="Fit the maps of the encoder lite.")
    parser.add_argument("--check", action="store_true", help="compare with the shipped file")
    parser.add_argument("--select", action="store_true", help="show choices on held-out names")
    parser.add_argument("--maps", type=Path, default=MAPS_PATH, help="the file to write or check")
    arguments = parser.parse_args()
    if arguments.select:
        show_selection()
    elif arguments.check:
        apart = differences(fit_maps(), load_file(arguments.maps))
        print(apart)
        sys.exit(None if max(apart.values()) < TOLERANCE else "the file is not a refit")
    else:
        write(fit_maps(), arguments.maps)


def fit_maps() -> Maps:
    """Fit on all 1,000 classes."""
    labels, mean, linear = fit(Choice(), np.arange(1000))
    return {
        "ridge": linear.astype(np.float16),
        "labels": labels.astype(np.float16),
        "text_mean": mean,
        "logit_scale": np.array(np.log(held_out(Choice()).scale), dtype=np.float32),
    }


def differences(refit: Maps, shipped: Maps) -> dict[str, float]:
    """Largest difference of each map's values, as a share of the map's largest value.

    A map that only one of the two has, or of another shape, differs infinitely.
    """
    apart = {}
    for name in sorted({*refit, *shipped}):
        ours, theirs = refit.get(name), shipped.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            apart[name] = float("inf")
        else:
            values = ours.astype(np.float32), theirs.astype(np.float32)
            apart[name] = float(np.abs(values[0] - values[1]).max() / np.abs(values[0]).max())
    return apart


def write(maps: Maps, path: Path) -> None:
    """Write maps and how they were made, at once."""
    _, lemmas, definitions = classes()
    known = "\n".join([*published_class_names(), *map(str, lemmas), *definitions])
    facts = {
        "made_by": "scripts/align_lite.py",
        "choice": repr(Choice()),
        "class_texts_sha256": hashlib.sha256(known.encode()).hexdigest(),
        **{f"sha256 {package}/{name}": digest for (package, name), digest in WHEEL_FILES.items()},
    }
    temporary = path.with_name(path.name + ".part")
    save_file(dict(maps), temporary, metadata=facts)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.chmod(0o644)
    temporary.replace(path)
    print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")


def fit(choice: Choice, kept: Labels) -> tuple[Rows, Rows, Rows]:
    """Fit on some classes.

    Returns:
        Embedded labels (K, 384), the mean text (384,), and the linear map (384, 1280), which
        is argmin_M |labels M - prototypes|^2 + ridge |M|^2.
    """
    weight, _ = classifier()
    prototypes = unit(weight - weight.mean(axis=0))[kept]
    texts = class_texts(choice)[kept]
    mean = texts.mean(axis=0) if choice.centre else np.zeros_like(texts[0])
    labels = unit(texts - mean)
    gram = labels.T @ labels + choice.ridge * np.eye(labels.shape[1], dtype=np.float32)
    return labels, mean, np.linalg.solve(gram, labels.T @ prototypes)


def held_out(choice: Choice) -> HeldOut:
    """Judge a choice by names that its maps were not fitted to."""
    weight, bias = classifier()

    def fit_kept(kept: Labels) -> tuple[Callable[[Rows], Rows], Rows]:
        labels, mean, linear = fit(choice, kept)

        def to_rows(features: Rows) -> Rows:
            logits = features @ weight[kept].T + bias[kept]
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            if choice.top_classes < len(kept):
                weights[weights < -np.sort(-weights, axis=1)[:, [choice.top_classes - 1]]] = 0
            convex = unit(weights @ labels)
            straight = unit(features @ linear.T)
            return choice.linear_weight * straight + choice.convex_weight * convex

        return to_rows, mean

    return judge(fit_kept, encode, classes(), weight)


def class_texts(choice: Choice) -> Rows:
    """Embed the classes' names and definitions, (1000, 384), of unit length."""
    names, lemmas, definitions = classes()
    rows = _mean_rows([[t.format(name=n) for t in choice.names] for n in names])
    if choice.definition_weight:
        described = [
            [t.format(name=n, definition=d) for t in choice.definitions]
            for n, d in zip(names, definitions, strict=True)
        ]
        rows = rows + choice.definition_weight * _mean_rows(described)
    if choice.other_names:
        others = [[t.format(name=x) for x in some for t in choice.names] for some in lemmas]
        rows = rows + choice.other_names * _mean_rows(others)
    return unit(rows)


def _mean_rows(texts: Sequence[Sequence[str]]) -> Rows:
    rows = encode([text for some in texts for text in some])
    ends = np.cumsum([len(some) for some in texts])
    return np.stack([unit(part.mean(axis=0)) for part in np.split(rows, ends[:-1])])


@cache
def classes() -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return names (open_clip's), synonyms and definitions (WordNet's, from timm), in order."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    brief, detailed = info.label_descriptions(), info.label_descriptions(detailed=True)
    lemmas = tuple(tuple(text.split(", ")) for text in brief)
    definitions = tuple(
        full.removeprefix(f"{text}: ") for text, full in zip(brief, detailed, strict=True)
    )
    return published_class_names(), lemmas, definitions


@cache
def classifier() -> tuple[Rows, Rows]:
    """Return the ImageNet classifier's weight (1000, 1280) and bias (1000,)."""
    _, layer = load_classifier()
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@torch.inference_mode()
def encode(texts: Sequence[str]) -> Rows:
    """Embed texts as unit rows (T, 384), each distinct one once in this process."""
    tower, tokenizer, known = _sentences()
    missing = sorted({text for text in texts if text not in known}, key=len)
    for start in range(0, len(missing), 128):
        part = missing[start : start + 128]
        known.update(zip(part, tower(tokenizer(part)).numpy(), strict=True))
    return np.stack([known[text] for text in texts])


@cache
def _sentences() -> tuple[TextTower, LiteTokenizer, dict[str, Rows]]:
    bert, tokenizer = load_sentence_encoder()
    return TextTower(bert, torch.zeros(384)).eval(), tokenizer, {}


def show_selection() -> None:
    """Print the held-out shares of the choice and of its neighbours, one change at a time."""
    chosen = Choice()
    only_names = replace(chosen, definition_weight=0.0)
    variants = {
        "as shipped": chosen,
        "names only, not centred, top 10 (the classic way)": replace(
            only_names, centre=False, top_classes=10
        ),
        "names only": only_names,
        "linear route only": replace(chosen, convex_weight=0.0),
        "convex route only": replace(chosen, linear_weight=0.0),
        "not centred": replace(chosen, centre=False),
        "bare names": replace(chosen, names=NAMES[:1]),
        "definitions with the name only": replace(chosen, definitions=DEFINITIONS[:1]),
        "definitions without the name only": replace(chosen, definitions=DEFINITIONS[1:]),
        **{f"definitions x {w}": replace(chosen, definition_weight=w) for w in (0.5, 2.0)},
        "synonyms x 0.5": replace(chosen, other_names=0.5),
        **{f"ridge {r}": replace(chosen, ridge=r) for r in (0.1, 0.3, 3.0, 10.0)},
        **{f"top {k} classes": replace(chosen, top_classes=k) for k in (5, 10, 50)},
        **{f"convex route x {w}": replace(chosen, convex_weight=w) for w in (0.5, 2.0)},
    }
    print("| maps | names | kinds | mean of both | kinds of seen classes | scale |")
    print("|---|---|---|---|---|---|")
    for name, choice in variants.items():
        score = held_out(choice)
        both = (score.names + score.kinds) / 2
        shares = (f"{100 * s:.1f}" for s in (score.names, score.kinds, both, score.seen))
        print("| " + " | ".join([name, *shares, f"{score.scale:.1f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()

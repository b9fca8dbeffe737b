"""Which penalty the linear head should have: three rules on real features, few rows to all.

    python bench/linear_penalties.py DATA... [--model lite] [--cache-dir DIR]

Of each data set's training images a quarter is held out: the rules are compared there, and the
default of the head is the one that is best there. The test split is scored for the reader and
decides nothing. From the rest, K images a class to learn from and min(K, 4) to choose the
``validation`` rule's penalty on; "all" takes four fifths and one fifth. Means over seeds.
Writes bench/results/linear_penalties.json and linear_penalties.md.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from cliptune.encoders import load_encoder
from cliptune.features import FeatureStore
from cliptune.heads.arrays import accuracy, log_loss
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.linear import LinearHead
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.images import ImageTable
from cliptune.prompts import DEFAULT_TEMPLATE_SET, ensemble_rows, load_template_set
from cliptune.system.paths import cache_dir

RESULTS = Path(__file__).parent / "results"
SHOTS = (1, 4, 16, None)


def make_heads(n_rows, n_classes, scale):
    """Return the rules, and for the strength of ``one-over-n`` a few neighbours."""
    own_unit = 2 * n_classes / n_rows / scale**2  # ProLIP's 1 / shots in the unit of its paper
    return {
        "zero-shot": ZeroShotHead(),
        "validation": LinearHead("validation"),
        "class-adaptive": LinearHead("class-adaptive"),
        "one-over-n": LinearHead("one-over-n"),
        "1 / (3 N)": LinearHead(1 / (3 * n_rows)),
        "1 / (30 N)": LinearHead(1 / (30 * n_rows)),
        "1 / shots, per row of W": LinearHead(own_unit),
    }


def load(data, encoder, store, most):
    """Return features and labels of the training and test images, and the text rows."""
    table = ImageTable.open(data)
    test_name = "test" if (table.splits == "test").any() else "val"
    parts = []
    for split, n in (("train", most), (test_name, most // 4)):
        part = table.split(split)
        rows = np.sort(np.random.default_rng(0).permutation(len(part))[:n])
        part = part.select(rows)
        parts.append((store.features(encoder, part).vectors, part.labels))
    templates = load_template_set(DEFAULT_TEMPLATE_SET).templates
    texts = ensemble_rows(
        lambda prompts: store.text_features(encoder, prompts), table.class_names, templates
    )
    return parts[0], parts[1], texts


def draw(y, shots, n_classes, rng):
    """Return held-out rows, training rows and validation rows."""
    order = rng.permutation(len(y))
    cut = len(y) // 4
    held_out, pool = order[:cut], order[cut:]
    if shots is None:
        cut = len(pool) // 5
        return held_out, pool[cut:], pool[:cut]
    own = [pool[y[pool] == label] for label in range(n_classes)]
    train = np.concatenate([rows[:shots] for rows in own])
    val = np.concatenate([rows[shots : shots + min(shots, 4)] for rows in own])
    return held_out, train, val


def score(parts, texts, scale, shots, seed):
    """Return the scores of every rule for one draw."""
    (X, y), (X_test, y_test) = parts
    held_out, train, val = draw(y, shots, len(texts), np.random.default_rng(seed))
    found = {}
    for name, head in make_heads(len(train), len(texts), scale).items():
        arguments = {"text_rows": texts, "logit_scale": scale}
        head.fit(X[train], y[train], **arguments, validation=(X[val], y[val]))
        logits = head.predict_logits(X[held_out])
        found[name] = {
            "accuracy": accuracy(logits, y[held_out]),
            "log_loss": log_loss(logits, y[held_out]),
            "calibrated_log_loss": calibrated_log_loss(logits, y[held_out]),
            "test_accuracy": accuracy(head.predict_logits(X_test), y_test),
        }
    return found


def render(results):
    rules = list(next(iter(results["cells"].values()))[0])
    lines = [
        "# Penalties of the linear head",
        "",
        f"`{results['command']}`; {results['model']}, mean and standard deviation over "
        f"{results['seeds']} seeds, in percent. Held-out accuracy decides; test is shown.",
        "",
        "| data | shots | " + " | ".join(rules) + " |",
        "|---" * (len(rules) + 2) + "|",
    ]
    for cell, seeds in results["cells"].items():
        texts = []
        for rule in rules:
            held, test = (
                np.array([100 * seed[rule][key] for seed in seeds])
                for key in ("accuracy", "test_accuracy")
            )
            texts.append(f"{held.mean():.1f} ± {held.std():.1f} (test {test.mean():.1f})")
        lines.append(f"| {cell.replace('/', ' | ')} | " + " | ".join(texts) + " |")
    for key, label in (
        ("accuracy", "mean held-out accuracy"),
        ("calibrated_log_loss", "mean held-out log-loss at the best temperature"),
        ("test_accuracy", "mean test accuracy"),
    ):
        means = [
            np.mean([seed[rule][key] for seeds in results["cells"].values() for seed in seeds])
            for rule in rules
        ]
        shown = [f"{m:.3f}" if key.endswith("loss") else f"{100 * m:.2f}" for m in means]
        lines.append(f"| {label} | | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--cache-dir", type=Path, default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--most", type=int, default=12_000, help="training images of a data set")
    options = parser.parse_args()
    encoder = load_encoder(options.model)
    store = FeatureStore(options.cache_dir or cache_dir())
    names = " ".join(Path(data).name for data in options.data)
    cells = {}
    for data in options.data:
        train, test, texts = load(data, encoder, store, options.most)
        for shots in SHOTS:
            cell = f"{Path(data).name}/{shots or 'all'}"
            cells[cell] = [
                score((train, test), texts, encoder.logit_scale, shots, seed)
                for seed in range(options.seeds)
            ]
            means = {
                rule: np.mean([s[rule]["accuracy"] for s in cells[cell]]) for rule in cells[cell][0]
            }
            print(cell, {rule: round(float(mean), 4) for rule, mean in means.items()}, flush=True)
    results = {
        "command": f"python bench/linear_penalties.py {names} --most {options.most}",
        "model": options.model,
        "seeds": options.seeds,
        "cells": cells,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "linear_penalties.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "linear_penalties.md").write_text(render(results))
    print(render(results))


if __name__ == "__main__":
    main()

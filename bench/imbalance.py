"""What ``--balance``, ``--select`` and ``--class-thresholds`` do for rare classes.

    python bench/imbalance.py DATA_ROOT [--only pacs,cifar10,cifar100-a] [--seeds 3]

Sets, features and tests are those of choice.py. Classes have from 100 labels down to 5, along a
geometric series whose order is drawn anew for each seed. What ``fit`` recommends is scored on the
test by accuracy, by balanced accuracy (the mean recall), by macro F1 and by the recall of the third
of the classes that has the fewest labels; beside it stands how often thresholds were moved. What
held-out images said that this adds is in bench/results/imbalance.json, the table in imbalance.md.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import choice
import numpy as np

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.encoders.engines import open_on_engine
from cliptune.features import FeatureStore
from cliptune.selection.criteria import grade_answers
from cliptune.selection.methods import COMPARED
from cliptune.system.paths import cache_dir

MOST, LEAST = 100, 5
SELECT = ("accuracy", "balanced-accuracy", "macro-f1")
WAYS = tuple(
    (balance, select, moved)
    for balance in ("none", "loss", "prior")
    for select in SELECT
    for moved in (False, True)
)


def long_tail(labels, rows, seed):
    """Return rows of each class, from MOST down to LEAST, and the classes from many to few."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(labels.max() + 1)
    sizes = np.geomspace(MOST, LEAST, len(order)).round().astype(int)
    drawn = [
        rng.choice(rows[labels[rows] == c], size, replace=False)
        for c, size in zip(order, sizes, strict=True)
    ]
    return np.sort(np.concatenate(drawn)), order


def run_case(task, pool, test, seed):
    rows, order = long_tail(task.labels, pool, seed)
    own = replace(task, train=rows, val=rows[:0], seed=seed)
    rare = order[-(len(order) // 3) :]
    found = []
    for balance, select, moved in WAYS:
        began = time.perf_counter()
        chosen = choose_methods(
            own, COMPARED, options={}, balance=balance, select=select, class_thresholds=moved
        )
        thresholds = chosen.thresholds
        shipped = chosen.answer.method or "zero-shot"
        seconds = time.perf_counter() - began
        _, probabilities = score_fitted(own, chosen.fitted[shipped], test)
        answers, labels = probabilities.argmax(axis=1), task.labels[test]
        right = answers == labels
        recalls = np.array([right[labels == c].mean() for c in np.unique(task.labels)])
        found.append(
            {
                "balance": balance,
                "select": select,
                "class_thresholds": moved,
                "kept": bool(thresholds and thresholds.kept),
                "expected": thresholds.gain.difference if thresholds and thresholds.gain else None,
                "recommended": shipped,
                "accuracy": float(right.mean()),
                "balanced_accuracy": float(recalls.mean()),
                "macro_f1": float(
                    grade_answers(answers, labels, task.labels.max() + 1, "macro-f1").mean()
                ),
                "rare_recall": float(recalls[rare].mean()),
                "seconds": seconds,
            }
        )
    return found


def table(cases):
    """Return Markdown: means over all cases, one line a way."""
    scores = ("accuracy", "balanced_accuracy", "macro_f1", "rare_recall")
    lines = [
        "| `--balance` | `--select` | `--class-thresholds` | accuracy | balanced accuracy "
        "| macro F1 | recall of the rare third |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for place, (balance, select, moved) in enumerate(WAYS):
        ways = [case["ways"][place] for case in cases]
        means = [f"{100 * np.mean([way[score] for way in ways]):.1f} %" for score in scores]
        kept = f"kept {sum(way['kept'] for way in ways)} of {len(ways)}" if moved else ""
        lines.append(f"| {balance} | {select} | {kept} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", default="pacs,cifar10,cifar100-a")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    encoder, store, cases = open_on_engine("lite"), FeatureStore(cache_dir()), []
    for name in options.only.split(","):
        images, pool, test = choice.load_set(name, options.root)
        task = choice.embed(images, encoder, store)
        for seed in range(options.seeds):
            ways = run_case(task, pool, test, seed)
            cases.append({"set": name, "seed": seed, "ways": ways})
            print(name, seed, *(f"{w['balanced_accuracy']:.3f}" for w in ways), flush=True)
    text = table(cases)
    print(text)
    (choice.RESULTS / "imbalance.json").write_text(json.dumps(cases, indent=1) + "\n")
    (choice.RESULTS / "imbalance.md").write_text(text + "\n")


if __name__ == "__main__":
    main()

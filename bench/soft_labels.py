"""What soft labels are worth: annotators who err, their majority against their votes.

    python bench/soft_labels.py DATA_ROOT [--data pacs,hymenoptera_data] [--draws 5]

Each training image is labelled by three annotators, each of whom names another class, drawn at
random, with the probability that is given; ties are settled by chance. ``cliptune fit`` learns from
the majority alone, and from the majority with the votes as ``--label-confidence`` takes them; the
labels of the locked test are the true ones. Writes bench/results/soft_labels.json and .md.
"""

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import harness
import numpy as np

import cliptune as ct

ANNOTATORS = 3
ERRORS = (0.2, 0.4)
METHODS = ("prototype", "discriminant", "linear", "blend")


def annotate(table, error, rng):
    """Return the table as annotators label what is not in its test."""
    n_classes = len(table.class_names)
    labels, shares = table.labels.copy(), [None] * len(table)
    held = next(s for s in ("test", "val") if (table.splits == s).any())
    for row in np.flatnonzero(table.splits != held):
        wrong = rng.random(ANNOTATORS) < error
        said = (table.labels[row] + wrong * rng.integers(1, n_classes, ANNOTATORS)) % n_classes
        votes = Counter(said.tolist())
        most = max(votes.values())
        labels[row] = rng.choice([code for code, n in votes.items() if n == most])
        shares[row] = {code: n / ANNOTATORS for code, n in votes.items()}
    return replace(table, labels=labels), tuple(shares)


def measure(table, error, draws, compute):
    found = {kind: [] for kind in ("majority", "votes")}
    wrong = []
    for seed in range(draws):
        noisy, shares = annotate(table, error, np.random.default_rng(seed))
        wrong.append(float((noisy.labels != table.labels)[table.splits == "train"].mean()))
        for kind, one in (("majority", noisy), ("votes", replace(noisy, confidence=shares))):
            with tempfile.TemporaryDirectory() as folder:
                result = ct.fit(one, out=Path(folder) / "run", compute=compute)
            scores = {m: result.methods[m].test.accuracy.value for m in METHODS}
            found[kind].append({**scores, "recommended": result.test.accuracy.value})
    return float(np.mean(wrong)), found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--data", default="pacs,hymenoptera_data")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    columns = (*METHODS, "recommended")
    lines = [f"| data | an annotator errs | majority wrong | learns from | {' | '.join(columns)} |"]
    lines.append("|---" * (4 + len(columns)) + "|")
    results = {}
    for name in arguments.data.split(","):
        table = ct.open_images(arguments.root / name)
        for error in ERRORS:
            wrong, found = measure(table, error, arguments.draws, ct.ComputeOptions())
            results[f"{name}, {error:.0%}"] = {"majority_wrong": wrong, **found}
            for kind, draws in found.items():
                means = [f"{100 * np.mean([d[c] for d in draws]):.1f} %" for c in columns]
                start = f"{name} | {error:.0%} | {wrong:.0%} | {kind}"
                lines.append(f"| {start} | {' | '.join(means)} |")
            print("\n".join(lines), flush=True)
    harness.RESULTS.mkdir(exist_ok=True)
    (harness.RESULTS / "soft_labels.json").write_text(json.dumps(results, indent=1) + "\n")
    (harness.RESULTS / "soft_labels.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

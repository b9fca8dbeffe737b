"""Crops of an image averaged in feature space, beside one look at it: accuracy on the test.

    python bench/choice_crops.py DATA_ROOT [--only textile,pacs] [--shots 4,8,16,32] [--seeds 3]

What is seen of an image are the crops of ``picture_crops``, as ``--crops`` takes them; embeddings,
and likewise features before the projection, are averaged and brought to norm 1.

- one look: the whole picture, to learn from and to be answered.
- mirrored at prediction: learned from one look; two crops (the picture and its mirror image)
  to answer.
- 2, 6 and 12 crops: averaged for learning and answering alike.
- 12 where kept: 12 crops where ``fit`` keeps them, else one look, which it takes where held-out
  answers show that it loses no more than a point.

Draws, tests and methods are those of choice.py; the blend is compared, and zero-shot, which needs
no label. Writes bench/results/choice_crops.json and choice_crops.md.
"""

import json
import sys
import time
from dataclasses import replace

import choice
import numpy as np

from cliptune.choosing import choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.encoders.engines import open_on_engine
from cliptune.features import FeatureStore
from cliptune.selection.judging import compare
from cliptune.selection.weighing import MARGIN, is_shown
from cliptune.system.paths import cache_dir

SETS = "hymenoptera,textile,pacs,cifar100-a"
METHODS = ("zero-shot", "discriminant", "linear", "blend")
CROPS = (1, 2, 6, 12)


def name_of(crops):
    return "one look" if crops == 1 else f"{crops} crops"


def run_case(tasks, rows, test, seed):
    """Fit on the drawn labels for each number of crops, and score on the test."""
    accuracy, judged = {}, {}
    for crops, task in tasks.items():
        own = replace(task, train=rows, val=rows[:0], seed=seed)
        chosen = choose_methods(own, METHODS, options={})
        judged[crops] = chosen.judged["blend"]
        asked = {name_of(crops): own}
        if crops == 1:
            asked["mirrored at prediction"] = with_answers(own, tasks[2], rows)
        for name, seen in asked.items():
            accuracy[name] = {
                method: score_fitted(seen, fitted, test)[0].accuracy.value
                for method, fitted in chosen.fitted.items()
            }
    kept = not is_shown(compare(judged[1], judged[12]), MARGIN)
    accuracy["12 where kept"] = accuracy[name_of(12 if kept else 1)]
    held_out = {
        name_of(crops): {"accuracy": one.score, "log_loss": one.log_loss}
        for crops, one in judged.items()
    }
    return {"accuracy": accuracy, "held_out": held_out, "kept": kept}


def with_answers(task, other, rows):
    """Return a task whose rows are another's but for those that are learned from."""
    vectors, trunk = other.vectors.copy(), other.trunk.copy()
    vectors[rows], trunk[rows] = task.vectors[rows], task.trunk[rows]
    return replace(task, vectors=vectors, trunk=trunk)


def main():
    parser = choice.draws_parser(__doc__.splitlines()[0], sets=SETS, shots="4,8,16,32")
    options = parser.parse_args()
    store = FeatureStore(cache_dir())
    encoders = {n: open_on_engine("lite" if n == 1 else f"lite?crops={n}") for n in CROPS}
    cases, seconds = [], {}
    for name in options.only.split(","):
        table, pool, test = choice.load_set(name, options.root)
        tasks = {}
        for crops, encoder in encoders.items():
            began = time.perf_counter()
            tasks[crops] = choice.embed(table, encoder, store)
            seconds[f"{name}, {name_of(crops)}"] = time.perf_counter() - began
        for shots in map(int, options.shots.split(",")):
            for seed in range(options.seeds):
                rows = choice.draw(tasks[1].labels, pool, shots, seed)
                if rows is None:
                    continue
                found = run_case(tasks, rows, test, seed)
                cases.append({"set": name, "shots": shots, "seed": seed, **found})
                print(name, shots, seed, found, file=sys.stderr, flush=True)
    text = render(cases)
    kept = {"cases": cases, "seconds": seconds}
    (choice.RESULTS / "choice_crops.json").write_text(json.dumps(kept, indent=1) + "\n")
    (choice.RESULTS / "choice_crops.md").write_text(text)
    print(text)


def render(cases):
    sets = list(dict.fromkeys(case["set"] for case in cases))
    lines = [f"| what is seen | method | {' | '.join(sets)} | all | worst against one look |"]
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

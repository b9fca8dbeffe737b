"""Heads on cached features: the linear head against scikit-learn, grids at once and one by one.

    python bench/heads.py                 # everything, about 15 minutes on two cores
    python bench/heads.py --only linear   # one part: linear, grid or dual

Clustered rows, N = 50,000, D = 512, C = 100, and 10,000 for validation. Every measurement is a
process of its own, so that its peak memory is its own; the ways of one part take turns, and
only the ratio of their medians counts. What was measured goes to bench/results/heads.json and
heads.md.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

N_TRAIN, N_VAL, DIM, N_CLASSES = 50_000, 10_000, 512, 100
RATES = np.geomspace(1e-3, 10, 32)
DUAL_RATES = np.geomspace(1e-4, 1, 32)
RESULTS = Path(__file__).parent / "results"
LINEAR = ("linear", "scikit-learn")
GRID = ("stacked-fp32", "one-by-one-fp32", "stacked-bf16")
DUAL = ("dual-stacked-fp32", "dual-one-by-one-fp32", "dual-stacked-bf16")


def make_rows(seed=0):
    """Unit rows around class centres, with a common mean and a falling spectrum as CLIP's have."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, DIM + 1) ** -0.5
    mean = 0.6 * rng.normal(size=DIM)
    centres = rng.normal(size=(N_CLASSES, DIM)) * spectrum
    y = rng.integers(0, N_CLASSES, N_TRAIN + N_VAL)
    X = mean + centres[y] + 4.4 * rng.normal(size=(len(y), DIM)) * spectrum
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    texts = mean + centres + 2 * rng.normal(size=centres.shape) * spectrum
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    return X.astype(np.float32), y, texts.astype(np.float32)


def measure(way, folder, options):
    """Run one way in this process and return what it took and found."""
    arrays = {name: np.load(Path(folder) / f"{name}.npy") for name in ("X", "y", "texts")}
    X, y = arrays["X"][:N_TRAIN], arrays["y"][:N_TRAIN]
    validation = arrays["X"][N_TRAIN:], arrays["y"][N_TRAIN:]
    before = peak_mb()
    if way in LINEAR:
        found = measure_linear(way, X, y, validation, options.c)
    else:
        found = measure_grid(way, X, y, validation, arrays["texts"], options)
    return {"way": way, **found, "rows_mb": before}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mean_loss(head, X, y):
    probabilities = head.predict_proba(X).astype(np.float64)
    return float(-np.log(probabilities[np.arange(len(y)), y]).mean())


def measure_linear(way, X, y, validation, c):
    from sklearn.linear_model import LogisticRegression

    from cliptune.heads.linear import LinearHead

    if way == "linear":
        head = LinearHead(1 / (c * len(y)))
    else:
        head = LogisticRegression(C=c, max_iter=1000)
    began = time.perf_counter()
    head.fit(X, y)
    seconds, peak = time.perf_counter() - began, peak_mb()
    weight = head.weight_ if way == "linear" else head.coef_
    pull = 0.5 / (c * len(y)) * float((weight.astype(np.float64) ** 2).sum())
    predicted = head.predict_proba(validation[0]).argmax(axis=1)
    return {
        "seconds": seconds,
        "peak_mb": peak,
        "objective": mean_loss(head, X, y) + pull,
        "val_loss": mean_loss(head, *validation),
        "val_accuracy": float((predicted == validation[1]).mean()),
        "passes": head.history_[-1].epoch if way == "linear" else int(head.n_iter_[0]),
    }


def measure_grid(way, X, y, validation, texts, options):
    from cliptune.heads import HEADS, Member, TrainingPlan
    from cliptune.heads.grids import fit_grid

    dual = way.startswith("dual")
    plan = TrainingPlan(
        epochs=options.dual_epochs if dual else 5,
        patience=None,
        products="bf16" if way.endswith("bf16") else "fp32",
        max_memory_bytes=options.max_memory,
    )
    rates, seeds = (DUAL_RATES, (0, 1, 2)) if dual else (RATES, (0,))
    members = [Member(float(rate), seed=seed) for rate in rates for seed in seeds]
    head = HEADS["dual-linear" if dual else "linear-sgd"](plan=plan)
    arguments = {"validation": validation, "n_classes": N_CLASSES}
    if dual:
        arguments |= {"text_rows": texts, "logit_scale": 20.0}
    groups = [[member] for member in members] if "one-by-one" in way else [members]
    began = time.perf_counter()
    trained = [t for group in groups for t in fit_grid(head, X, y, members=group, **arguments)]
    seconds = time.perf_counter() - began
    losses = {}
    for one in trained:
        best = min(record.val_loss for record in one.history if np.isfinite(record.val_loss))
        losses.setdefault(one.member.lr, []).append(best)
    best_rate = min(losses, key=lambda rate: np.mean(losses[rate]))
    accuracies = [
        one.history[one.best_epoch].val_accuracy for one in trained if one.member.lr == best_rate
    ]
    return {
        "seconds": seconds,
        "peak_mb": peak_mb(),
        "best_rate": best_rate,
        "best_val_loss": float(np.mean(losses[best_rate])),
        "best_val_accuracy": float(np.mean(accuracies)),
        "diverged": sum(one.diverged for one in trained),
        "heads": len(trained),
    }


def take_turns(ways, folder, repeats, arguments):
    found = {way: [] for way in ways}
    for turn in range(repeats):
        for way in ways:
            command = [sys.executable, __file__, *arguments, "--measure", way, "--rows", folder]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[way].append(json.loads(output.stdout.splitlines()[-1]))
            print(
                f"  {turn + 1}/{repeats} {way:22s} {found[way][-1]['seconds']:8.2f} s", flush=True
            )
    return found


def summarise(found, ours, peer):
    seconds = {way: median(run["seconds"] for run in runs) for way, runs in found.items()}
    peaks = {way: median(run["peak_mb"] for run in runs) for way, runs in found.items()}
    last = {way: runs[-1] for way, runs in found.items()}
    return {
        "ways": {
            way: {
                **last[way],
                "seconds": seconds[way],
                "peak_mb": peaks[way],
                "all_seconds": [run["seconds"] for run in found[way]],
            }
            for way in found
        },
        "ratio": {f"{peer} / {way}": seconds[peer] / seconds[way] for way in ours},
    }


def has_bfloat16():
    """Whether this processor multiplies bfloat16 itself; elsewhere it is emulated and slow."""
    import torch

    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def render(results):
    lines = [
        "# Heads on cached features",
        "",
        f"`python bench/heads.py`; N = {N_TRAIN:,}, D = {DIM}, C = {N_CLASSES}, clustered rows. "
        f"{results['machine']}; bfloat16 instructions: {'yes' if results['bf16'] else 'no'}. "
        "Medians of processes that took turns; only ratios carry over to another machine.",
    ]
    for name, part in results["parts"].items():
        columns = [
            c
            for c in next(iter(part["ways"].values()))
            if c not in ("way", "all_seconds", "rows_mb")
        ]
        lines += [
            "",
            f"## {name}",
            "",
            "| way | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for way, run in part["ways"].items():
            cells = [f"{run[c]:.4g}" if isinstance(run[c], float) else str(run[c]) for c in columns]
            lines.append(f"| {way} | " + " | ".join(cells) + " |")
        lines += ["", *(f"- {k}: **{v:.2f}**" for k, v in part["ratio"].items())]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("linear", "grid", "dual"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--c", type=float, default=1.0, help="scikit-learn's C")
    parser.add_argument("--dual-epochs", type=int, default=1)
    parser.add_argument("--max-memory", type=int, default=1 << 30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.rows, options)))
        return
    passed = [
        "--c",
        str(options.c),
        "--dual-epochs",
        str(options.dual_epochs),
        "--max-memory",
        str(options.max_memory),
    ]
    parts = {
        "linear": (LINEAR, options.repeats),
        "grid": (GRID, options.repeats),
        "dual": (DUAL, 1),
    }
    results = {
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        "bf16": has_bfloat16(),
        "parts": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, array in zip(("X", "y", "texts"), make_rows(), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        for part, (ways, repeats) in parts.items():
            if options.only in (None, part):
                print(part)
                found = take_turns(ways, folder, repeats, passed)
                ours = [way for way in ways if way != ways[1]]
                results["parts"][part] = summarise(found, ours, ways[1])
    options.out.mkdir(parents=True, exist_ok=True)
    name = "heads" if options.only is None else f"heads_{options.only}"
    (options.out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / f"{name}.md").write_text(render(results))
    print(render(results))


if __name__ == "__main__":
    main()

"""Heads on cached features: the linear head against scikit-learn, a grid at once and one by one.

    python bench/heads.py                 # everything, about 25 minutes on two cores
    python bench/heads.py --only linear   # one part: linear or grid

Clustered rows, N = 50,000, D = 512, C = 100, and 10,000 for validation. Every measurement is a
process of its own, so that its peak memory, beyond rows and imports, is its own; the ways of one
part take turns, and only the ratio of their medians counts. The linear heads are compared at an
equal objective: scikit-learn's default tolerance of 1e-4 ends early on unit rows under a light
penalty (findings/logistic_regression_tolerance.sh). A run beforehand finds the loosest tolerance
at which its objective is no more than a hundred-thousandth above ours; the default is shown too.
One by one is our own trainer on a stack of one, and what a user writes in PyTorch: ``nn.Linear``,
autograd, ``torch.optim.SGD``. What was measured goes to bench/results/heads.json and heads.md;
bench/sweep.py is about dual-linear.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from harness import RESULTS, result_path

N_TRAIN, N_VAL, DIM, N_CLASSES = 50_000, 10_000, 512, 100
RATES = np.geomspace(1e-3, 10, 32)
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # the first is scikit-learn's default
EQUAL = 1e-5
GRID = ("stacked-fp32", "stacked-bf16", "one-by-one-fp32", "pytorch-one-by-one-fp32")
EPOCHS, BATCH, MOMENTUM, SCALE = 5, 256, 0.9, 20.0


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
    if way == "linear" or way.startswith("scikit-learn"):
        return {"way": way, **measure_linear(way, X, y, validation, options.c[0])}
    if way.startswith("pytorch"):
        return {"way": way, **measure_pytorch(X, y, validation)}
    return {"way": way, **measure_grid(way, X, y, validation, options)}


def megabytes(usage):
    return (usage.peak_bytes or 0) / 2**20


def processor_seconds():
    """Of all cores together: on a busy machine they tell more than a clock does."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def mean_loss(head, X, y):
    probabilities = head.predict_proba(X).astype(np.float64)
    return float(-np.log(probabilities[np.arange(len(y)), y]).mean())


def measure_linear(way, X, y, validation, c):
    from sklearn.linear_model import LogisticRegression

    from cliptune.heads.linear import LinearHead
    from cliptune.system.usage import Usage

    if way == "linear":
        head = LinearHead(1 / (c * len(y)))
    else:
        head = LogisticRegression(C=c, max_iter=100_000, tol=float(way.split()[-1]))
    began = processor_seconds()
    with Usage() as usage:
        head.fit(X, y)
    own = processor_seconds() - began
    weight = head.weight_ if way == "linear" else head.coef_
    pull = 0.5 / (c * len(y)) * float((weight.astype(np.float64) ** 2).sum())
    predicted = head.predict_proba(validation[0]).argmax(axis=1)
    return {
        "seconds": usage.seconds,
        "processor_seconds": own,
        "peak_mb": megabytes(usage),
        "objective": mean_loss(head, X, y) + pull,
        "val_loss": mean_loss(head, *validation),
        "val_accuracy": float((predicted == validation[1]).mean()),
        "passes": head.history_[-1].epoch if way == "linear" else int(head.n_iter_[0]),
    }


def measure_grid(way, X, y, validation, options):
    from cliptune.heads import HEADS, Member, TrainingPlan
    from cliptune.heads.grids import fit_grid
    from cliptune.system.allocator import keep_freed_memory
    from cliptune.system.usage import Usage

    keep_freed_memory()
    plan = TrainingPlan(
        epochs=EPOCHS,
        batch_size=BATCH,
        momentum=MOMENTUM,
        patience=None,
        products="bf16" if way.endswith("bf16") else "fp32",
        max_memory_bytes=options.max_memory,
    )
    members = [Member(float(rate)) for rate in RATES]
    groups = [[member] for member in members] if way.startswith("one") else [members]
    head, trained = HEADS["linear-sgd"](plan=plan), []
    with Usage() as usage:
        for group in groups:
            trained += fit_grid(
                head,
                X,
                y,
                members=group,
                logit_scale=SCALE,
                n_classes=N_CLASSES,
                validation=validation,
            )
    losses = {one.member.lr: [record.val_loss for record in one.history] for one in trained}
    return {"seconds": usage.seconds, "peak_mb": megabytes(usage), **best_of(losses)}


def measure_pytorch(X, y, validation):
    """Train every rate as a user writes it in PyTorch; the allocator is left as it comes."""
    import torch

    from cliptune.system.usage import Usage

    tensors = [torch.from_numpy(array) for array in (X, y, *validation)]
    with Usage() as usage:
        losses = {float(rate): train_in_pytorch(*tensors, float(rate)) for rate in RATES}
    return {"seconds": usage.seconds, "peak_mb": megabytes(usage), **best_of(losses)}


def train_in_pytorch(X, y, X_val, y_val, rate):
    """Return the validation losses, before training and after each epoch."""
    import torch
    from torch.nn.functional import cross_entropy

    layer = torch.nn.Linear(DIM, N_CLASSES)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * -(-len(X) // BATCH))

    def validate():
        with torch.no_grad():
            return float(cross_entropy(SCALE * layer(X_val), y_val))

    losses = [validate()]
    for epoch in range(1, EPOCHS + 1):
        order = np.random.default_rng([0, epoch]).permutation(len(X))
        for batch in torch.from_numpy(order).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(SCALE * layer(X[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
        losses.append(validate())
    return losses


def best_of(losses):
    """Return the rate with the lowest validation loss of any epoch."""
    lowest = {rate: min(x for x in found if np.isfinite(x)) for rate, found in losses.items()}
    rate = min(lowest, key=lowest.get)
    return {"best_rate": rate, "best_val_loss": lowest[rate], "heads": len(losses)}


def take_turns(ways, folder, repeats, arguments):
    found = {way: [] for way in ways}
    for turn in range(repeats):
        for way in ways:
            found[way].append(measure_apart(way, folder, arguments))
            print(
                f"  {turn + 1}/{repeats} {way:22s} {found[way][-1]['seconds']:8.2f} s", flush=True
            )
    return found


def measure_apart(way, folder, arguments):
    """Run one way in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--measure", way, "--rows", folder]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout.splitlines()[-1])


def sklearn_way(tolerance):
    return f"scikit-learn, tol {tolerance:g}"


def equal_tolerance(folder, arguments):
    """Return the loosest tolerance at which scikit-learn reaches our objective."""
    ours = measure_apart("linear", folder, arguments)["objective"]
    for tolerance in TOLERANCES:
        way = sklearn_way(tolerance)
        objective = measure_apart(way, folder, arguments)["objective"]
        print(f"  {way}: objective {objective / ours - 1:+.2%} against ours", flush=True)
        if objective <= ours * (1 + EQUAL):
            break
    return tolerance


def medians(runs):
    """Return the median of what differs from run to run beside the clock and the memory."""
    name = "processor_seconds"
    return {name: median(run[name] for run in runs)} if name in runs[0] else {}


def summarise(found, peers):
    seconds = {way: median(run["seconds"] for run in runs) for way, runs in found.items()}
    peaks = {way: median(run["peak_mb"] for run in runs) for way, runs in found.items()}
    last = {way: runs[-1] for way, runs in found.items()}
    return {
        "ways": {
            way: {
                **last[way],
                **medians(found[way]),
                "seconds": seconds[way],
                "peak_mb": peaks[way],
                "all_seconds": [run["seconds"] for run in found[way]],
            }
            for way in found
        },
        "ratio": {
            f"{peer} / {way}": seconds[peer] / seconds[way]
            for peer in peers
            for way in found
            if way not in peers
        },
    }


def of_linear(part):
    """Say how far each way's objective is above the lowest, and compare processor time too."""
    ways = part["ways"]
    lowest = min(run["objective"] for run in ways.values())
    for run in ways.values():
        run["above_lowest"] = f"{run['objective'] / lowest - 1:.3%}"
    own = ways["linear"]["processor_seconds"]
    for way, run in ways.items():
        if way != "linear":
            part["ratio"][f"{way} / linear, processor time"] = run["processor_seconds"] / own
    return part


def has_bfloat16():
    """Whether this processor multiplies bfloat16 itself; elsewhere it is emulated and slow."""
    import torch

    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def render(results):
    lines = [
        "# Heads on cached features",
        "",
        f"`{results['command']}`; N = {N_TRAIN:,}, D = {DIM}, C = {N_CLASSES}, clustered rows. "
        f"{results['machine']}; bfloat16 instructions: {'yes' if results['bf16'] else 'no'}. "
        "peak_mb is beyond rows and imports. Medians of "
        f"{results['turns']} process(es) each that took turns; only ratios carry over to another "
        "machine. The linear heads: scikit-learn at its default tolerance, and at the loosest one "
        f"at which its objective is no more than {EQUAL:g} (relative) above ours.",
    ]
    for name, part in results["parts"].items():
        columns = [c for c in next(iter(part["ways"].values())) if c not in ("way", "all_seconds")]
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
    parser.add_argument("--only", choices=("linear", "grid"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--c", type=float, nargs="+", default=[1.0, 100.0], help="scikit-learn's C")
    parser.add_argument("--tolerance", type=float, help="scikit-learn's, instead of looking for it")
    parser.add_argument("--max-memory", type=int, default=1 << 30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.rows, options)))
        return
    passed = [f"--max-memory={options.max_memory}"]
    results = {
        "command": " ".join(["python bench/heads.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        "bf16": has_bfloat16(),
        "turns": options.repeats,
        "parts": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, array in zip(("X", "y", "texts"), make_rows(), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        if options.only in (None, "linear"):
            for c in options.c:
                print(f"linear, C = {c:g}")
                with_c = [*passed, "--c", str(c)]
                equal = options.tolerance or equal_tolerance(folder, with_c)
                ways = ("linear", *(sklearn_way(t) for t in {TOLERANCES[0]: 0, equal: 0}))
                found = take_turns(ways, folder, options.repeats, with_c)
                results["parts"][f"linear, C = {c:g}"] = of_linear(summarise(found, ways[1:]))
        if options.only in (None, "grid"):
            print("grid")
            ways = [way for way in GRID if has_bfloat16() or not way.endswith("bf16")]
            found = take_turns(ways, folder, options.repeats, passed)
            results["parts"]["grid"] = summarise(found, GRID[2:])
    name = "heads" if options.only is None else f"heads_{options.only}"
    kept = json.dumps(results, indent=1) + "\n"
    result_path(name, "json", options.out).write_text(kept)
    result_path(name, "md", options.out).write_text(render(results))
    print(render(results))


if __name__ == "__main__":
    main()

"""A sweep of dual-linear at once against the same trainings one after another.

    python bench/sweep.py            # everything; about half an hour on two quiet cores
    python bench/sweep.py --quick    # a tenth of the rows, a quarter of the rates

32 rates x 3 seeds on 50,000 x 512 clustered rows of 100 classes, 10,000 more for validation, five
epochs: as one batched training in fp32 and with bfloat16 products, and one after another in fp32.
Each way trains all members, once, in a process of its own, so that its peak memory is its own.
The best rate is that of the lowest mean validation loss. Results go to bench/results/sweep.json
and sweep.md.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from heads import has_bfloat16, make_rows

RATES, SEEDS = np.geomspace(1e-4, 1.0, 32), (0, 1, 2)
RESULTS = Path(__file__).parent / "results"
WAYS = ("batched-fp32", "batched-bf16", "one-by-one-fp32")


def members_of(options):
    from cliptune.heads import Member

    rates = RATES[::4] if options.quick else RATES
    return [Member(float(rate), seed=seed) for seed in SEEDS for rate in rates]


def measure(way, folder, options):
    """Run one way in this process and return what it took and found."""
    from cliptune.allocator import keep_freed_memory
    from cliptune.heads import HEADS, TrainingPlan
    from cliptune.heads.grids import fit_grid
    from cliptune.usage import Usage

    keep_freed_memory()
    rows, labels, texts = (np.load(Path(folder) / f"{name}.npy") for name in ("X", "y", "texts"))
    n_train = len(rows) * 5 // 6
    plan = TrainingPlan(
        epochs=options.epochs,
        patience=None,
        products="bf16" if way.endswith("bf16") else "fp32",
        max_memory_bytes=options.max_memory,
    )
    head = HEADS["dual-linear"](plan=plan)
    members = members_of(options)
    groups = [[member] for member in members] if way.startswith("one") else [members]
    found = []
    with Usage() as usage:  # its peak is what the training takes beyond rows and imports
        for group in groups:
            found += fit_grid(
                head,
                rows[:n_train],
                labels[:n_train],
                members=group,
                text_rows=texts,
                logit_scale=20.0,
                validation=(rows[n_train:], labels[n_train:]),
            )
    return {
        "way": way,
        "seconds": usage.seconds,
        "trained": len(found),
        "peak_mb": (usage.peak_bytes or 0) / 2**20,
        "diverged": sum(one.diverged for one in found),
        "losses": {f"{t.member.lr:.6g} {t.member.seed}": best_loss(t) for t in found},
    }


def best_loss(trained):
    return min(record.val_loss for record in trained.history if np.isfinite(record.val_loss))


def best_rate(losses):
    by_rate = {}
    for key, loss in losses.items():
        by_rate.setdefault(float(key.split()[0]), []).append(loss)
    return min(by_rate, key=lambda rate: np.mean(by_rate[rate]))


def compare(found):
    """Ratios of times, and whether the ways agree on what they share."""
    peer = found["one-by-one-fp32"]
    result = {}
    for way in WAYS[:-1]:
        if way not in found:  # bfloat16 without the instructions would measure emulation
            continue
        ours = found[way]
        result[way] = {
            "ratio": peer["seconds"] / ours["seconds"],
            "same_best_rate": best_rate(ours["losses"]) == best_rate(peer["losses"]),
            "largest_loss_difference": max(
                abs(loss - peer["losses"][key]) for key, loss in ours["losses"].items()
            ),
        }
    return result


def render(results):
    lines = [
        "# A sweep at once against one training after another",
        "",
        f"`{results['command']}`; {results['machine']}. N = {results['n_train']:,}, D = 512, "
        f"C = 100, {results['epochs']} epochs, batch 256, --max-memory "
        f"{results['max_memory'] >> 20} MiB. Only ratios carry over to another machine.",
        "",
        "| way | seconds | trained | diverged | MB beyond rows and imports | ratio | best rate |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, run in results["ways"].items():
        own = results["compared"].get(way)
        ratio = f"**{own['ratio']:.2f}**" if own else "1"
        lines.append(
            f"| {way} | {run['seconds']:.1f} | {run['trained']} | {run['diverged']} | "
            f"{run['peak_mb']:.0f} | {ratio} | "
            f"{best_rate(run['losses']):.4g} |"
        )
    lines.append("")
    for way, own in results["compared"].items():
        lines.append(
            f"- {way}: {'the same' if own['same_best_rate'] else 'another'} best rate; the lowest "
            f"validation losses of a member differ by at most {own['largest_loss_difference']:.2g}."
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--max-memory", type=int, default=1 << 30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.rows, options)))
        return
    ways = [way for way in WAYS if has_bfloat16() or not way.endswith("bf16")]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        X, y, texts = make_rows()
        if options.quick:
            X, y = X[:6000], y[:6000]
        for name, array in zip(("X", "y", "texts"), (X, y, texts), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        passed = [f"--epochs={options.epochs}", f"--max-memory={options.max_memory}"]
        passed += ["--quick"] * options.quick
        for way in ways:
            command = [sys.executable, __file__, *passed, "--measure", way, "--rows", folder]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[way] = json.loads(output.stdout.splitlines()[-1])
            print(f"{way:18s} {found[way]['seconds']:9.1f} s", flush=True)
    results = {
        "command": " ".join(["python bench/sweep.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}, "
        f"bfloat16 instructions: {'yes' if has_bfloat16() else 'no'}",
        "n_train": len(X) * 5 // 6,
        "epochs": options.epochs,
        "max_memory": options.max_memory,
        "ways": found,
        "compared": compare(found),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    name = "sweep_quick" if options.quick else "sweep"
    (options.out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / f"{name}.md").write_text(render(results))
    print(render(results))


if __name__ == "__main__":
    main()

"""The study of rates: what is frozen, one rate or two, SGD or AdamW, how added layers begin.

It runs ``cliptune sweep`` on real data and makes the tables of docs/rates_study.md.

    python bench/rates_study.py DATA_ROOT                          # everything, about an hour
    python bench/rates_study.py DATA_ROOT --only hymenoptera_data --part heads

DATA_ROOT holds hymenoptera_data, cifar10 and cifar100. Five epochs, as in the study that the
project began with; 5,000 training images of the CIFAR sets for heads, 2,000 for moving weights.
Every judgement is on validation images cut from training; no test image is looked at. Sweeps are
kept in the cache, so that the same command again only makes the tables.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
SETS = ("hymenoptera_data", "cifar10", "cifar100")
HEADS = {
    "dual-linear, SGD, identity": ["--method", "dual-linear"],
    "dual-linear, SGD, random": ["--method", "dual-linear", "--start", "random"],
    "dual-linear, AdamW, identity": ["--method", "dual-linear", "--optimizer", "adamw"],
    "dual-linear, AdamW, random": [
        *("--method", "dual-linear", "--optimizer", "adamw", "--start", "random"),
    ],
    "linear, SGD": ["--method", "linear-sgd"],
    "linear, AdamW": ["--method", "linear-sgd", "--optimizer", "adamw"],
}
# Two points of the grid have the same rate for both parts.
TOWERS = {
    "full, AdamW": ["--method", "full", "--grid", "backbone=0,1e-5,1e-4,1e-3 head=1e-4,1e-3,1e-2"],
    "full, SGD": [
        *("--method", "full", "--optimizer", "sgd"),
        *("--grid", "backbone=0,1e-4,1e-3,1e-2 head=1e-3,1e-2,1e-1"),
    ],
}


def sweep(data, arguments):
    """Run one sweep and return its result with the command."""
    command = ["cliptune", "sweep", data, *arguments, "--epochs", "5", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", *command, "--out", f"{folder}/run"]
        output = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(output.stdout)
    shown = [Path(data).name if word == data else word for word in command[:-1]]
    result["shown"] = " ".join(f"'{word}'" if " " in word else word for word in shown)
    print(result["shown"], f"{result['seconds']:.0f} s", flush=True)
    return result


def percent(value):
    return f"{100 * value:.1f}"


def render_heads(name, results):
    first = next(iter(results.values()))
    start = percent(first["before_training"]["val_accuracy"])
    lines = [
        f"### {name}: {first['n_train']} training, {first['n_val']} validation images",
        "",
        f"Before training {start} %. Each line is three seeds of every rate.",
        "",
        "| layers | best rate | validation %, 95 % interval | within noise | diverges from "
        "| against untrained, points | s a trial |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, result in results.items():
        best, band = result["best"], result["within_noise"]
        gain = result["recommendation"]["against_untrained"]
        broken = [t["lr"] for t in result["trials"] if t["diverged"] and t["purpose"] == "grid"]
        lines.append(
            f"| {title} | {best['lr']:g} | {percent(best['val_accuracy'])}, "
            f"{percent(best['interval'][0])} to {percent(best['interval'][1])} | "
            f"{band['low']:g} to {band['high']:g} | {f'{min(broken):g}' if broken else 'none'} | "
            f"{100 * gain['difference']:+.1f} (p = {gain['p_value']:.2g}) | "
            f"{result['recommendation']['seconds_a_trial']:.2f} |"
        )
    return [*lines, "", *commands_of(results)]


def render_towers(name, results):
    first = next(iter(results.values()))
    lines = [
        f"### {name}: moving the model, {first['n_train']} training, {first['n_val']} "
        "validation images",
        "",
        "| what | frozen head % | best moving % (backbone, head) | difference, 95 % interval "
        "| one rate %, two rates % | s of all epochs |",
        "|---|---|---|---|---|---|",
    ]
    for title, result in results.items():
        advice = result["recommendation"]
        moving, gain = advice["best_moving"], advice["against_frozen"]
        one, two = one_and_two(result["trials"])
        lines.append(
            f"| {title} | {percent(advice['frozen']['val_accuracy'])} | "
            f"{percent(moving['val_accuracy'])} ({moving['backbone']:g}, {moving['head']:g}) | "
            f"{100 * gain['difference']:+.1f}, {100 * gain['low']:+.1f} to "
            f"{100 * gain['high']:+.1f} (p = {gain['p_value']:.2g}) | {one}, {two} | "
            f"{advice['cost']['seconds_of_all_epochs']:.0f} |"
        )
    lines += ["", *(f"{title}: {r['recommendation']['text']}" for title, r in results.items())]
    return [*lines, "", *commands_of(results)]


def one_and_two(trials):
    """The best point with one rate and the best of all, after the first round of halving."""
    moving = [t for t in trials if t["backbone"] > 0 and t["purpose"] == "grid"]
    steps = min((t["steps"] for t in moving), default=0)
    first = [t for t in moving if t["steps"] == steps]
    same = [t["val_accuracy"] for t in first if t["backbone"] == t["head"]]
    return (percent(max(same)) if same else "none tried"), percent(
        max(t["val_accuracy"] for t in first)
    )


def commands_of(results):
    return ["```", *(result["shown"] for result in results.values()), "```", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", choices=SETS, action="append")
    parser.add_argument("--part", choices=("heads", "towers"), action="append")
    parser.add_argument("--budget", default="10m", help="of each sweep that moves the model")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    parts = options.part or ("heads", "towers")
    lines, kept = ["# Tables of the study of rates", ""], {}
    for name in options.only or SETS:
        data, small = str(options.root / name), name == "hymenoptera_data"
        if "heads" in parts:
            images = [] if small else ["--train-images", "5000"]
            found = {title: sweep(data, [*words, *images]) for title, words in HEADS.items()}
            kept[f"{name} heads"] = found
            lines += render_heads(name, found)
        if "towers" in parts and name != "cifar100":
            images = [] if small else ["--train-images", "2000"]
            extra = [*images, "--budget", options.budget]
            found = {title: sweep(data, [*words, *extra]) for title, words in TOWERS.items()}
            kept[f"{name} towers"] = found
            lines += render_towers(name, found)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rates_study.json").write_text(json.dumps(kept) + "\n")
    (options.out / "rates_study.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()

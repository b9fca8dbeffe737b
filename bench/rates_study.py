"""The study of rates: what is frozen, one rate or two, SGD or AdamW, how added layers begin.

It runs ``cliptune sweep`` on real data and makes the tables and figures of docs/rates_study.md.

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
from collections import defaultdict
from pathlib import Path

import numpy as np

from cliptune.plots.figures import COLOURS, new_figure, save_figure

RESULTS = Path(__file__).parent / "results"
FIGURES = Path(__file__).parent.parent / "docs" / "images"
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


def draw_heads(name, results, folder):
    """Accuracy over the rate, a line a kind of layers: mean and range of the seeds."""
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for (title, result), colour in zip(results.items(), COLOURS, strict=False):
        by_rate = defaultdict(list)
        for trial in result["trials"]:
            if trial["purpose"] in ("grid", "extension"):
                by_rate[trial["lr"]].append(100 * trial["val_accuracy"])
        rates = sorted(by_rate)
        style = "-" if "identity" in title else "--" if "random" in title else ":"
        axes.plot(rates, [np.mean(by_rate[r]) for r in rates], style, color=colour, label=title)
        low, high = ([end(by_rate[r]) for r in rates] for end in (min, max))
        axes.fill_between(rates, low, high, color=colour, alpha=0.15, lw=0)
    first = next(iter(results.values()))
    start = 100 * first["before_training"]["val_accuracy"]
    axes.axhline(start, color="grey", lw=1, label="before training")
    axes.set(xscale="log", xlabel="learning rate", ylabel=f"validation %, n = {first['n_val']}")
    axes.legend(frameon=False, fontsize=7)
    save_figure(figure, folder / f"rates_{name}_heads")


def draw_towers(name, results, folder):
    """Accuracy over the backbone's rate, a line a rate of the head; frozen ones are level."""
    figure = new_figure(6.4, 3.2)
    for axes, (title, result) in zip(
        figure.subplots(1, len(results), sharey=True, squeeze=False)[0],
        results.items(),
        strict=True,
    ):
        lines = defaultdict(dict)
        for trial in result["trials"]:  # the longest training of a point comes last
            if trial["purpose"] in ("grid", "extension"):
                lines[trial["head"]][trial["backbone"]] = trial
        for (head, trials), colour in zip(sorted(lines.items()), COLOURS, strict=False):
            moving = {rate: trial for rate, trial in sorted(trials.items()) if rate > 0}
            if not moving:
                continue  # the budget left this head rate to the frozen row
            values = [100 * trial["val_accuracy"] for trial in moving.values()]
            axes.plot(list(moving), values, "o-", color=colour, label=f"head {head:g}")
            crossed = [r for r, trial in moving.items() if trial["diverged"]]
            axes.plot(crossed, [100 * moving[r]["val_accuracy"] for r in crossed], "x", color="red")
        frozen = 100 * result["recommendation"]["frozen"]["val_accuracy"]
        axes.axhline(frozen, color="grey", lw=1, label="frozen, solved head")
        axes.set_title(f"{title}; cross: diverged", fontsize=8)
        axes.set(
            xscale="log", xlabel="backbone rate", ylabel=f"validation %, n = {result['n_val']}"
        )
        axes.label_outer()
        axes.legend(frameon=False, fontsize=7)
    save_figure(figure, folder / f"rates_{name}_towers")


def commands_of(results):
    return ["```", *(result["shown"] for result in results.values()), "```", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--only", choices=SETS, action="append")
    parser.add_argument("--part", choices=("heads", "towers"), action="append")
    parser.add_argument("--budget", default="10m", help="of each sweep that moves the model")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figures", type=Path, default=FIGURES)
    options = parser.parse_args()
    parts = options.part or ("heads", "towers")
    for folder in (options.out, options.figures):
        folder.mkdir(parents=True, exist_ok=True)
    lines, kept = ["# Tables of the study of rates", ""], {}
    for name in options.only or SETS:
        data, small = str(options.root / name), name == "hymenoptera_data"
        if "heads" in parts:
            images = [] if small else ["--train-images", "5000"]
            found = {title: sweep(data, [*words, *images]) for title, words in HEADS.items()}
            kept[f"{name} heads"] = found
            lines += render_heads(name, found)
            draw_heads(name, found, options.figures)
        if "towers" in parts and name != "cifar100":
            images = [] if small else ["--train-images", "2000"]
            extra = [*images, "--budget", options.budget]
            found = {title: sweep(data, [*words, *extra]) for title, words in TOWERS.items()}
            kept[f"{name} towers"] = found
            lines += render_towers(name, found)
            draw_towers(name, found, options.figures)
    (options.out / "rates_study.json").write_text(json.dumps(kept) + "\n")
    (options.out / "rates_study.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""A sweep of dual-linear at once against the same trainings one after another.

    python bench/sweep.py            # everything; about 25 minutes on two quiet cores
    python bench/sweep.py --quick    # a tenth of the rows, a quarter of the rates

32 rates x 3 seeds on 50,000 x 512 clustered rows of 100 classes, 10,000 more for validation, five
epochs: as one batched training in fp32 and with bfloat16 products, and one after another in fp32,
both as a user writes it in PyTorch (two ``nn.Linear``, autograd, ``torch.optim.SGD``) and with our
own trainer on a stack of one. Each way trains all members, once, in a process of its own, so that
its peak memory is its own; the processes take turns of a few seconds, stopped meanwhile, since a
shared machine may be twice as slow a minute later. A turn is about as long as the way's share of
the whole, so that all are at work to the end and go through the same minutes. The same batches come
in the same order everywhere, so that losses must agree. The best rate is that of the lowest mean
validation loss. The peak is that of the fp32 matrix product, measured before and after. Results go
to bench/results/sweep.json and sweep.md.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import RESULTS, result_path

from heads import has_bfloat16, make_rows

RATES, SEEDS = np.geomspace(1e-4, 1.0, 32), (0, 1, 2)
PEERS = ("pytorch-one-by-one-fp32", "one-by-one-fp32")
# Seconds of a turn: in proportion to what the whole way took in an earlier run.
TURN_SECONDS = {
    "batched-fp32": 6.0,
    "batched-bf16": 3.5,
    "pytorch-one-by-one-fp32": 12.0,
    "one-by-one-fp32": 8.5,
}
WAYS = tuple(TURN_SECONDS)
MOMENTUM, BATCH, SCALE = 0.9, 256, 20.0


def members_of(options):
    from cliptune.heads import Member

    rates = RATES[::4] if options.quick else RATES
    return [Member(float(rate), seed=seed) for seed in SEEDS for rate in rates]


def take_turns(commands):
    """Run processes of which one computes at a time; give each one's output and its seconds."""
    running, outputs, seconds = {}, {}, dict.fromkeys(commands, 0.0)
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            _, status = os.waitpid(running[name].pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):  # it stops itself when it is ready
                raise SystemExit(f"{name} ended before its turn")
        while running:
            for name, process in list(running.items()):
                outcome, spent = take_turn(process, TURN_SECONDS[name])
                seconds[name] += spent
                if outcome is None:
                    continue
                del running[name]
                if process.returncode:
                    raise SystemExit(f"{name} failed")
                outputs[name] = outcome
                print(f"{name:24s} {seconds[name]:9.1f} s", flush=True)
    finally:
        for process in running.values():
            process.kill()
    return outputs, seconds


def take_turn(process, turn_seconds):
    """Let a process go on for a while; give its output, None before the end, and the seconds."""
    began = time.perf_counter()
    process.send_signal(signal.SIGCONT)
    try:
        output, _ = process.communicate(timeout=turn_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGSTOP)
        output = None
    return output, time.perf_counter() - began


def wait_for_a_turn():
    """Stop until whoever started this process lets it go on."""
    os.kill(os.getpid(), signal.SIGSTOP)


def measure(way, folder, options):
    """Run one way in this process and return what it took and found."""
    from cliptune.heads import HEADS, TrainingPlan
    from cliptune.heads.grids import fit_grid
    from cliptune.system.allocator import keep_freed_memory
    from cliptune.system.usage import Usage

    if way.startswith("pytorch"):
        return measure_pytorch(folder, options)
    keep_freed_memory()
    rows, labels, texts = (np.load(Path(folder) / f"{name}.npy") for name in ("X", "y", "texts"))
    n_train = len(rows) * 5 // 6
    plan = TrainingPlan(
        epochs=options.epochs,
        patience=None,
        momentum=MOMENTUM,
        batch_size=BATCH,
        products="bf16" if way.endswith("bf16") else "fp32",
        max_memory_bytes=options.max_memory,
    )
    head = HEADS["dual-linear"](plan=plan)
    members = members_of(options)
    groups = [[member] for member in members] if way.startswith("one") else [members]
    found = []
    wait_for_a_turn()
    with Usage() as usage:  # its peak is what the training takes beyond rows and imports
        for group in groups:
            found += fit_grid(
                head,
                rows[:n_train],
                labels[:n_train],
                members=group,
                text_rows=texts,
                logit_scale=SCALE,
                validation=(rows[n_train:], labels[n_train:]),
            )
    return {
        "way": way,
        "trained": len(found),
        "peak_mb": (usage.peak_bytes or 0) / 2**20,
        "diverged": sum(one.diverged for one in found),
        "losses": {f"{t.member.lr:.6g} {t.member.seed}": best_loss(t) for t in found},
    }


def measure_pytorch(folder, options):
    """Train every member as a user writes it in PyTorch; the allocator is left as it comes."""
    import torch

    from cliptune.system.usage import Usage

    rows, labels, texts = (
        torch.from_numpy(np.load(Path(folder) / f"{name}.npy")) for name in ("X", "y", "texts")
    )
    n_train = len(rows) * 5 // 6
    train, validation = (rows[:n_train], labels[:n_train]), (rows[n_train:], labels[n_train:])
    losses, diverged = {}, 0
    wait_for_a_turn()
    with Usage() as usage:
        for member in members_of(options):
            found = train_in_pytorch(train, validation, texts, member, options.epochs)
            finite = [loss for loss in found if np.isfinite(loss)]
            losses[f"{member.lr:.6g} {member.seed}"] = min(finite)
            diverged += len(finite) < len(found)
    return {
        "way": "pytorch-one-by-one-fp32",
        "trained": len(losses),
        "peak_mb": (usage.peak_bytes or 0) / 2**20,
        "diverged": diverged,
        "losses": losses,
    }


def train_in_pytorch(train, validation, texts, member, epochs):
    """Return the validation losses, before training and after each epoch."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy, normalize

    (X, y), dim = train, texts.shape[1]
    image, text = nn.Linear(dim, dim), nn.Linear(dim, dim)
    for layer in (image, text):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    parameters = [*image.parameters(), *text.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=member.lr, momentum=MOMENTUM)
    n_steps = epochs * -(-len(X) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)

    def loss_of(rows, labels):
        cosines = normalize(image(rows), dim=1) @ normalize(text(texts), dim=1).T
        return cross_entropy(SCALE * cosines, labels)

    def validate():
        with torch.no_grad():
            return float(loss_of(*validation))

    losses = [validate()]
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([member.seed, epoch]).permutation(len(X))
        for batch in torch.from_numpy(order).split(BATCH):
            optimizer.zero_grad()
            loss_of(X[batch], y[batch]).backward()
            optimizer.step()
            schedule.step()
        losses.append(validate())
    return losses


def best_loss(trained):
    return min(record.val_loss for record in trained.history if np.isfinite(record.val_loss))


def best_rate(losses):
    by_rate = {}
    for key, loss in losses.items():
        by_rate.setdefault(float(key.split()[0]), []).append(loss)
    return min(by_rate, key=lambda rate: np.mean(by_rate[rate]))


def compare(found):
    """Ratios of times to both peers, and whether the ways agree on what they share."""
    own = found["one-by-one-fp32"]
    result = {}
    for way in WAYS:
        if way not in found or way == "one-by-one-fp32":
            continue  # bfloat16 without the instructions would measure emulation
        other = found[way]
        result[way] = {
            "ratios": {peer: found[peer]["seconds"] / other["seconds"] for peer in PEERS},
            "same_best_rate": best_rate(other["losses"]) == best_rate(own["losses"]),
            "largest_loss_difference": max(
                abs(loss - own["losses"][key])
                for key, loss in other["losses"].items()
                if float(key.split()[0]) <= best_rate(own["losses"])
            ),
        }
    return result


def step_flop():
    """Return the operations of the matrix products of one step of plain PyTorch."""
    dim, n_classes = 512, 100
    layers = 2 * 2 * (BATCH + n_classes) * dim * dim  # both layers, forward and their gradients
    return layers + 3 * 2 * BATCH * n_classes * dim


def measure_peak():
    """Return the GFLOP/s of an fp32 matrix product here and now."""
    import torch

    a, best = torch.randn(2048, 2048), 0.0
    for _ in range(20):
        began = time.perf_counter()
        a @ a
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began) / 1e9)
    return best


def render(results):
    lines = [
        "# A sweep at once against one training after another",
        "",
        f"`{results['command']}`; {results['machine']}. N = {results['n_train']:,}, D = 512, "
        f"C = 100, {results['epochs']} epochs, batch 256, --max-memory "
        f"{results['max_memory'] >> 20} MiB. Only ratios carry over to another machine.",
        "",
        "| way | seconds | trained | diverged | MB beyond rows and imports | times plain PyTorch "
        "| times our own one by one | best rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for way, run in results["ways"].items():
        ratios = [results["ways"][peer]["seconds"] / run["seconds"] for peer in PEERS]
        lines.append(
            f"| {way} | {run['seconds']:.1f} | {run['trained']} | {run['diverged']} | "
            f"{run['peak_mb']:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} | "
            f"{best_rate(run['losses']):.4g} |"
        )
    lines.append("")
    for way, own in results["compared"].items():
        lines.append(
            f"- {way}: {'the same' if own['same_best_rate'] else 'another'} best rate; the lowest "
            "validation losses of members up to the best rate differ from our own one by one by at "
            f"most {own['largest_loss_difference']:.2g}."
        )
    peak, least = results["peak_gflops"], results["least_seconds"]
    lines += [
        "",
        f"The products of plain PyTorch's steps alone take {least:.0f} s at the measured fp32 peak "
        f"of {peak:.0f} GFLOP/s: {least / results['ways'][PEERS[0]]['seconds']:.0%} of its time, "
        "so that no way that multiplies as much in fp32 can be faster than "
        f"{results['ways'][PEERS[0]]['seconds'] / least:.2f} times.",
    ]
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
    found, peaks = {}, [measure_peak()]
    with tempfile.TemporaryDirectory() as folder:
        X, y, texts = make_rows()
        if options.quick:
            X, y = X[:6000], y[:6000]
        for name, array in zip(("X", "y", "texts"), (X, y, texts), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        passed = [f"--epochs={options.epochs}", f"--max-memory={options.max_memory}"]
        passed += ["--quick"] * options.quick
        program = [sys.executable, __file__, *passed, "--rows", folder]
        outputs, seconds = take_turns({way: [*program, "--measure", way] for way in ways})
        for way in ways:
            found[way] = {**json.loads(outputs[way].splitlines()[-1]), "seconds": seconds[way]}
    peaks.append(measure_peak())
    n_steps = options.epochs * -(-(len(X) * 5 // 6) // BATCH)
    results = {
        "command": " ".join(["python bench/sweep.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {platform.processor() or platform.system()}, "
        f"bfloat16 instructions: {'yes' if has_bfloat16() else 'no'}",
        "n_train": len(X) * 5 // 6,
        "epochs": options.epochs,
        "max_memory": options.max_memory,
        "peak_gflops": max(peaks),
        "least_seconds": len(members_of(options)) * n_steps * step_flop() / max(peaks) / 1e9,
        "ways": found,
        "compared": compare(found),
    }
    name = "sweep_quick" if options.quick else "sweep"
    kept = json.dumps(results, indent=1) + "\n"
    result_path(name, "json", options.out).write_text(kept)
    result_path(name, "md", options.out).write_text(render(results))
    print(render(results))


if __name__ == "__main__":
    main()

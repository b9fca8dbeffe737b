"""One contrastive training step, three ways, in turns: the study's, open_clip's, ours.

    python bench/finetune_step.py [--precision fp32 bf16] [--device cpu] [--rounds 3]

ViT-B/32 with random weights (time does not depend on them), a batch of 64 images of CIFAR-100's
100 classes, so that prompts repeat in it. Every way has a process of its own and takes the whole
step: forward, backward and update of all 151 million weights. The study tokenises and encodes one
caption an image at every step, always in fp32; open_clip's is its own training step at the same
precision with captions tokenised and pixels normalised beforehand; ours encodes each distinct
prompt once at its true length, and keeps freed memory as ``cliptune fit`` does. Ratios of
medians; loss and gradients are compared with open_clip's first. All three together take about
18 GB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from finetune_ways import SIZE, agreement, serve
from harness import result_path

N_CLASSES = 100
WAYS = ("study", "open_clip", "cliptune")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=Path, help="class names, one a line; else invented ones")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for the share of it")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    labels = np.random.default_rng(0).integers(0, N_CLASSES, arguments.batch)
    prompts = [f"a photo of a {name}." for name in class_names(arguments.names)]
    pixels = torch.randint(0, 256, (arguments.batch, 3, SIZE, SIZE), dtype=torch.uint8)
    found = {"machine": platform.processor() or platform.machine(), "device": arguments.device}
    found["threads"], found["batch"] = torch.get_num_threads(), arguments.batch
    found["distinct_prompts"] = len(set(labels.tolist()))
    found["agreement"] = agreement(pixels[:8], labels[:8], prompts, arguments.device)
    print(json.dumps(found["agreement"]), flush=True)
    for precision in arguments.precision:
        if precision == "bf16" and arguments.device == "cpu" and not has_bf16():
            print("bf16: skipped, this CPU does not multiply in it natively")
            found[precision] = "skipped: no native bf16"
            continue
        found[precision] = measure(pixels, labels, prompts, precision, arguments)
        print(json.dumps(found[precision]), flush=True)
    name = f"finetune_step_{arguments.device.replace(':', '')}"
    result_path(name, "json").write_text(json.dumps(found, indent=2) + "\n")
    result_path(name, "md").write_text(as_markdown(found, arguments.precision))


def as_markdown(found, precisions) -> str:
    lines = [
        "| precision | study, s | open_clip, s | cliptune, s | times study | times open_clip |",
        "|---|---|---|---|---|---|",
    ]
    for precision in precisions:
        if isinstance(found[precision], str):
            continue
        seconds = found[precision]["seconds"]
        cells = [f"{seconds[way]:.2f}" for way in ("study", "open_clip", "cliptune")]
        cells += [
            str(found[precision][f"times_faster_than_{way}"]) for way in ("study", "open_clip")
        ]
        lines.append(f"| {precision} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"One step of {found['batch']} images with {found['distinct_prompts']} distinct prompts, "
        f"ViT-B/32, {found['threads']} threads of {found['machine']} ({found['device']}); loss "
        f"differs from open_clip's by {found['agreement']['loss_difference']:.1e}, the worst "
        f"gradient by {found['agreement']['worst_gradient']:.1e} of its norm.",
    ]
    return "\n".join([*lines, ""])


def class_names(path: Path | None) -> list[str]:
    """CIFAR-100's names have one to three tokens; invented ones keep to that."""
    if path is not None:
        return path.read_text().split("\n")[:N_CLASSES]
    words = ["apple", "beaver", "bicycle", "bottle", "camel", "castle", "crab", "dolphin", "fox"]
    return [
        f"{words[i % 9]} {words[i // 9 % 9]}" if i >= 50 else words[i % 9] + str(i)
        for i in range(N_CLASSES)
    ]


def has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def measure(pixels, labels, prompts, precision, arguments) -> dict[str, object]:
    """Run all ways in turns and return medians, ratios and, on a GPU, throughput."""
    batch, seconds = (pixels, labels, prompts), {way: [] for way in WAYS}
    with workers(batch, arguments.device, precision) as pipes:
        flops = {way: ask(pipe, "flops") for way, pipe in pipes.items()}  # also the warm-up
        for _ in range(arguments.rounds):
            for way, pipe in pipes.items():
                seconds[way].append(ask(pipe, "step"))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result: dict[str, object] = {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "tflop": {name: round(value / 1e12, 4) for name, value in flops.items()},
        "times_faster_than_study": round(medians["study"] / medians["cliptune"], 2),
        "times_faster_than_open_clip": round(medians["open_clip"] / medians["cliptune"], 2),
    }
    if arguments.peak_tflops:
        patches = (SIZE // 32) ** 2 + 1
        result["image_tokens_per_second"] = round(len(pixels) * patches / medians["cliptune"])
        rate = flops["cliptune"] / medians["cliptune"] / 1e12
        result["share_of_peak"] = round(rate / arguments.peak_tflops, 3)
    return result


@contextmanager
def workers(batch, device: str, precision: str) -> Iterator[dict[str, Connection]]:
    """Start a process for each way; all are alive at once and wait while one works."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for way in WAYS:
        pipes[way], other = context.Pipe()
        processes.append(context.Process(target=serve, args=(way, batch, device, precision, other)))
        processes[-1].start()
    yield pipes
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()


def ask(pipe: Connection, what: str) -> float:
    pipe.send(what)
    return pipe.recv()


if __name__ == "__main__":
    main()

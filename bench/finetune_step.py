"""One contrastive training step, three ways, in turns: the study's, open_clip's, ours.

    python bench/finetune_step.py [--precision fp32 bf16] [--device cpu] [--rounds 3]

ViT-B/32 with random weights (time does not depend on them), a batch of 64 images of CIFAR-100's
100 classes, so that prompts repeat in it. Every way takes the whole step: forward, backward and
update of all 151 million weights. The study tokenises and encodes one caption an image at every
step, always in fp32 on a CPU; open_clip's is its own training step at the same precision with
captions tokenised beforehand; ours encodes each distinct prompt once at its true length. Ratios
of medians; loss and gradients are compared with open_clip's first.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cliptune.allocator import keep_freed_memory
from cliptune.encoders.preprocess import Preprocess
from cliptune.finetune.attention import fused_attention
from cliptune.finetune.gradcache import Side
from cliptune.finetune.groups import name_groups, plan_groups
from cliptune.finetune.options import OptimizerOptions, TrainableOptions
from cliptune.finetune.schedule import build_optimizer, set_rates
from cliptune.finetune.step import StepInput, compute_gradients, update
from cliptune.finetune.towers import (
    encode_images,
    encode_tokens,
    normalize_pixels,
    precision_context,
)
from cliptune.finetune.trainee import Trainee

MODEL, N_CLASSES, SIZE = "ViT-B-32", 100, 224
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--names", type=Path, help="class names, one a line; else invented ones")
    parser.add_argument("--peak-tflops", type=float, help="of the device, for the share of it")
    arguments = parser.parse_args()
    keep_freed_memory()
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
    RESULTS.mkdir(exist_ok=True)
    name = f"finetune_step_{arguments.device.replace(':', '')}.json"
    (RESULTS / name).write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / name).with_suffix(".md").write_text(as_markdown(found, arguments.precision))


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
    device = arguments.device
    ways = {
        "study": study_step(pixels, labels, prompts, device),
        "open_clip": open_clip_step(pixels, labels, prompts, device, precision),
        "cliptune": our_step(pixels, labels, prompts, device, precision),
    }
    flops = {name: count_flops(step) for name, step in ways.items()}  # also the warm-up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, step in ways.items():
            synchronize(device)
            began = time.perf_counter()
            step()
            synchronize(device)
            seconds[name].append(time.perf_counter() - began)
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


def count_flops(step: Callable[[], object]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def study_step(pixels, labels, prompts, device) -> Callable[[], object]:
    """OpenAI's model, captions tokenised in the step, Adam at 5e-5."""
    import clip
    from clip.model import CLIP

    model = CLIP(512, SIZE, 12, 768, 32, 77, 49408, 512, 8, 12).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5)
    images = normalize_pixels(pixels.to(device), Preprocess(), channels_last=False)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        texts = torch.cat([clip.tokenize(prompts[label]) for label in labels]).to(device)
        optimizer.zero_grad()
        per_image, per_text = model(images, texts)
        truth = torch.arange(len(images), device=device)
        ((criterion(per_image, truth) + criterion(per_text, truth)) / 2).backward()
        optimizer.step()

    return step


def open_clip_step(pixels, labels, prompts, device, precision) -> Callable[[], object]:
    """The body of open_clip's ``train_one_epoch``, with its optimiser's settings."""
    from open_clip import get_tokenizer
    from open_clip.loss import ClipLoss

    model = new_model(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=5e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2
    )
    texts = get_tokenizer(MODEL)([prompts[label] for label in labels]).to(device)
    images = normalize_pixels(pixels.to(device), Preprocess(), channels_last=False)
    loss = ClipLoss()

    def step() -> None:
        optimizer.zero_grad()
        with precision_context(device, precision):
            total = loss(*model(images, texts)[:3])
        total.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))

    return step


def our_step(pixels, labels, prompts, device, precision) -> Callable[[], object]:
    """The step of ``cliptune fit --method full``, with its default loss and optimiser."""
    from open_clip import get_tokenizer

    model, tokenizer = new_model(device), get_tokenizer(MODEL)
    trainee = Trainee(model)
    plans = plan_groups(name_groups(trainee), TrainableOptions(), default_rates={"all": 5e-5})
    optimizer = build_optimizer(plans, OptimizerOptions())
    fused_attention(model).__enter__()  # for as long as the benchmark runs

    def step() -> None:
        set_rates(optimizer, 0, n_steps=1, steps_a_epoch=1, warmup=0.0)
        inputs = make_input(model, tokenizer, pixels, labels, prompts, device, precision)
        loss = compute_gradients(inputs, trainee, "class-aware", n_processes=1)
        update(trainee, optimizer, loss=loss, clip_norm=1.0)

    return step


def make_input(model, tokenizer, pixels, labels, prompts, device, precision) -> StepInput:
    present, text_of_image = np.unique(labels, return_inverse=True)
    tokens = tokenizer([prompts[label] for label in present])

    def encode_pixels(part: torch.Tensor) -> torch.Tensor:
        images = normalize_pixels(part.to(device), Preprocess(), channels_last=False)
        with precision_context(device, precision):
            return encode_images(model, images)

    def encode_ids(part: torch.Tensor) -> torch.Tensor:
        with precision_context(device, precision):
            return encode_tokens(model, part)

    return StepInput(
        sides=[Side([pixels], encode_pixels, trains=True), Side([tokens], encode_ids, trains=True)],
        sizes=[[len(pixels)], [len(tokens)]],
        text_of_image=torch.from_numpy(text_of_image).to(device),
        labels=torch.from_numpy(labels).to(device),
    )


def new_model(device: str) -> nn.Module:
    import open_clip

    return open_clip.create_model(MODEL, device=device)


def agreement(pixels, labels, prompts, device) -> dict[str, float]:
    """Compare the published loss and its gradients with open_clip's, on equal weights."""
    from open_clip import get_tokenizer
    from open_clip.loss import ClipLoss

    model, tokenizer = new_model(device).eval(), get_tokenizer(MODEL)
    images = normalize_pixels(pixels.to(device), Preprocess(), channels_last=False)
    texts = tokenizer([prompts[label] for label in labels]).to(device)
    theirs = ClipLoss()(*model(images, texts)[:3])
    theirs.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    inputs = make_input(model, tokenizer, pixels, labels, prompts, device, "fp32")
    with fused_attention(model):
        ours = compute_gradients(inputs, Trainee(model), "clip", n_processes=1)
    worst = max(
        float((p.grad - expected[name]).norm() / expected[name].norm().clamp_min(1e-12))
        for name, p in model.named_parameters()
    )
    return {"loss_difference": abs(ours - float(theirs.detach())), "worst_gradient": worst}


if __name__ == "__main__":
    main()

"""The three steps that ``finetune_step.py`` compares, each in a process of its own.

``serve`` builds one of them and takes a step whenever it is asked to.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from cliptune.encoders.preprocess import Preprocess
from cliptune.finetuning.attention import fused_attention
from cliptune.finetuning.gradcache import Side
from cliptune.finetuning.groups import name_groups, plan_groups
from cliptune.finetuning.options import OptimizerOptions, TrainableOptions
from cliptune.finetuning.schedule import build_optimizer, set_rates
from cliptune.finetuning.scoring import remember_tokens
from cliptune.finetuning.step import StepInput, compute_gradients, update
from cliptune.finetuning.towers import (
    encode_images,
    encode_tokens,
    normalize_pixels,
    precision_context,
    to_device,
)
from cliptune.finetuning.trainee import Trainee
from cliptune.system.allocator import keep_freed_memory

MODEL, SIZE = "ViT-B-32", 224


def serve(way: str, batch: tuple, device: str, precision: str, pipe: Connection) -> None:
    """Answer ``flops`` with those of a step and ``step`` with its seconds, until ``None`` comes."""
    torch.manual_seed(0)
    if way == "cliptune":
        keep_freed_memory()  # as ``cliptune fit`` does; the others run as they come
        step = our_step(*batch, device, precision)
    elif way == "open_clip":
        step = open_clip_step(*batch, device, precision)
    else:
        step = study_step(*batch, device)
    while (asked := pipe.recv()) is not None:
        if asked == "flops":
            pipe.send(count_flops(step))
            continue
        synchronize(device)
        began = time.perf_counter()
        step()
        synchronize(device)
        pipe.send(time.perf_counter() - began)


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
    import packaging.version

    # OpenAI's package asks setuptools for a module that newer releases lack.
    sys.modules.setdefault("pkg_resources", SimpleNamespace(packaging=packaging))
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
    images = normalize_pixels(pixels, Preprocess(), channels_last=False)
    if device != "cpu":
        images = images.pin_memory()  # as its DataLoader does
    loss = ClipLoss()

    def step() -> None:
        batch = images.to(device, non_blocking=True)
        optimizer.zero_grad()
        with precision_context(device, precision):
            total = loss(*model(batch, texts)[:3])
        total.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))

    return step


def our_step(pixels, labels, prompts, device, precision) -> Callable[[], object]:
    """The step of ``cliptune fit --method full``, with its default loss and optimiser."""
    from open_clip import get_tokenizer

    model, tokenizer = new_model(device), remember_tokens(get_tokenizer(MODEL))
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
        images = normalize_pixels(to_device(part, device), Preprocess(), channels_last=False)
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

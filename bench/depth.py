"""A step of fine-tuning that moves the last blocks only: from kept hidden states, and not.

    python bench/depth.py [--precision fp32 bf16] [--blocks 3] [--rounds 3]

ViT-B/32 with random weights (time does not depend on them), batches of 64 of 256 generated
pictures of 100 classes, steps of every way in turns in one process, each after a step that is
not counted. ``full`` moves both towers; ``last`` moves the last blocks of the image tower,
through the frozen ones at every step or from what they gave in the first epoch. open_clip's way
is its own model with ``lock_image_tower`` and captions tokenised and pixels normalised
beforehand, once with the text tower moving, as ``--lock-image`` alone does, and once with it
locked too. Prints ratios of medians, and how far the losses of the first step are apart.

What limits the kept step is measured beside it: the same step with the moving blocks compiled by
torch, and the matrix products of their linear layers alone, forth and back, on random numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
from harness import machine, model_folder, result_path
from PIL import Image

from cliptune.encoders import load_encoder
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.options import FinetuneOptions, TrainableOptions
from cliptune.finetuning.schedule import set_rates, set_trainable
from cliptune.finetuning.setup import open_session
from cliptune.finetuning.step import compute_gradients, update
from cliptune.finetuning.towers import normalize_pixels

torch._dynamo.config.recompile_limit = 64  # blocks share their code, and each is one to compile
N_IMAGES, N_CLASSES, BATCH, SIZE = 256, 100, 64, 224
RATE = 1e-6  # losses of later steps stay comparable


@dataclass(frozen=True)
class Pictures:
    """Generated pictures, of the model's size, each of a class."""

    captions: None = None
    class_names: tuple[str, ...] = tuple(f"thing {number}" for number in range(N_CLASSES))

    @property
    def labels(self) -> np.ndarray:
        return np.arange(N_IMAGES, dtype=np.int64) % N_CLASSES

    def __len__(self) -> int:
        return N_IMAGES

    def load_image(self, row: int) -> Image.Image:
        pixels = np.random.default_rng(row).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        return Image.fromarray(pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = {"machine": machine(), "blocks": arguments.blocks}
    for precision in arguments.precision:
        found[precision] = measure(precision, arguments.blocks, arguments.rounds)
        print(json.dumps(found[precision], indent=2), flush=True)
    result_path("depth", "json").write_text(json.dumps(found, indent=2) + "\n")


def measure(precision: str, n_blocks: int, rounds: int) -> dict[str, object]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = ActivationPlace(folder, lambda images: [str(row) for row in range(len(images))])
        last = (f"image.last{n_blocks}",)
        ways = {
            "full": ours(stack, precision, (), None),
            "last": ours(stack, precision, last, None),
            "last, kept": ours(stack, precision, last, place),
            "last, kept, compiled": ours(stack, precision, last, place, compiled=n_blocks),
            "open_clip, image locked": peer(precision, n_blocks, lock_text=False),
            "open_clip, image and text locked": peer(precision, n_blocks, lock_text=True),
        }
        losses = {name: step() for name, step in ways.items()}  # fills what is kept
        ways["the products of the last blocks alone"] = products(precision, n_blocks)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, step in ways.items():
                began = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    kept = medians["last, kept"]
    return {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "times_faster": {name: round(value / kept, 2) for name, value in medians.items()},
        "loss_differs_by": max(losses.values()) - min(losses.values()),
    }


def ours(
    stack: ExitStack,
    precision: str,
    train: tuple[str, ...],
    place: ActivationPlace | None,
    compiled: int = 0,
) -> Callable[[], float]:
    encoder = load_encoder(str(model_folder()), device="cpu", precision="fp32")
    for block in list(encoder.model.visual.transformer.resblocks)[-compiled:] if compiled else ():
        block.compile()
    data = TrainingData(Pictures(), Pictures(), ("a photo of a {}.",))
    options = FinetuneOptions(
        loss="clip", batch_size=BATCH, augment="none", precision=precision, learning_rate=RATE,
        trainable=TrainableOptions(train=train),
    )  # fmt: skip
    session = stack.enter_context(
        open_session(encoder, data, options, watch={}, trackers=(), folder=None, activations=place)
    )
    set_trainable(session.plans, 0)
    steps = endless(session)

    def step() -> float:
        set_rates(session.optimizer, 1, n_steps=100, steps_a_epoch=4, warmup=0.0)
        _, given = next(steps)
        loss = compute_gradients(given, session.trainee, session.loss, n_processes=1)
        update(session.trainee, session.optimizer, loss=loss, clip_norm=1.0, scaler=None)
        return loss

    return step


def products(precision: str, n_blocks: int) -> Callable[[], float]:
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    width, tokens = 768, BATCH * (1 + (SIZE // 32) ** 2)
    layers = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    given = [
        (torch.randn(tokens, into, dtype=dtype), torch.randn(out, into, dtype=dtype))
        for into, out in layers
    ]

    def step() -> float:
        for x, weight in given * n_blocks:
            y = x @ weight.T
            y @ weight
            y.T @ x
        return 0.0

    step()
    return step


def endless(session) -> Iterator:
    epoch = 0
    while True:
        yield from session.source.steps(
            epoch,
            skip=0,
            image_trains=session.tower_trains("image"),
            text_trains=session.tower_trains("text"),
        )
        epoch = 0  # the same batches again


def peer(precision: str, n_blocks: int, *, lock_text: bool) -> Callable[[], float]:
    encoder = load_encoder(str(model_folder()), device="cpu", precision="fp32")
    model = encoder.model
    model.lock_image_tower(unlocked_groups=n_blocks + 1)  # the projection is a group
    if lock_text:
        model.lock_text_tower()
        model.logit_scale.requires_grad_(False)
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=RATE, weight_decay=0.05)
    from cliptune.finetuning.batches import epoch_batches

    pictures = Pictures()
    rows = epoch_batches(pictures.labels, batch_size=BATCH, balance=False, seed=0, epoch=0)[0]
    stacked = np.stack([encoder.preprocess(pictures.load_image(int(row))) for row in rows])
    pixels = normalize_pixels(torch.from_numpy(stacked), encoder.preprocess, channels_last=False)
    texts = [f"a photo of a {pictures.class_names[pictures.labels[row]]}." for row in rows]
    tokens = encoder.tokenizer(texts)
    loss_of = open_clip.ClipLoss()

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            images, captions, scale = model(pixels, tokens)[:3]
        loss = loss_of(images.float(), captions.float(), scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


if __name__ == "__main__":
    main()

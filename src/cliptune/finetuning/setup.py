"""From model, data and options to a session: checks, devices, layers, groups, sizes.

It knows nothing about epochs or checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.finetuning.attention import fused_attention
from cliptune.finetuning.border import trains_ever
from cliptune.finetuning.data import TrainingData, WatchData, settle_options
from cliptune.finetuning.entry import (
    ActivationPlace,
    open_entry,
    remember_prompts,
    settle_views,
)
from cliptune.finetuning.groups import GroupPlan, name_groups, plan_groups
from cliptune.finetuning.head import zero_shot_head
from cliptune.finetuning.inputs import BatchSource
from cliptune.finetuning.lora import LoraUpdate, add_lora, drop_lora
from cliptune.finetuning.memory import largest_that_fits
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.preflight import default_rates, require_model_fits
from cliptune.finetuning.processes import Processes, start_processes
from cliptune.finetuning.schedule import build_optimizer, set_trainable
from cliptune.finetuning.scoring import Embedder, make_embedder
from cliptune.finetuning.session import Session
from cliptune.finetuning.text_entry import open_texts
from cliptune.finetuning.towers import training_precision
from cliptune.finetuning.trainee import Trainee
from cliptune.prompts import fill_template
from cliptune.system.allocator import freed_memory_kept

__all__ = ["open_session"]

_NO_GRAPH = 64  # images at once through a tower that does not train


@contextmanager
def open_session(
    encoder: TorchEncoder,
    data: TrainingData,
    options: FinetuneOptions,
    *,
    watch: Mapping[str, WatchData],
    trackers: Sequence[str],
    folder: Path | None,
    activations: ActivationPlace | None = None,
    head: nn.Linear | None = None,
) -> Iterator[Session]:
    """Put a run's parts together; at the end the module has its own layout again.

    Args:
        encoder: Its module trains.
        data: Images.
        options: As asked for.
        watch: Images that are only looked at.
        trackers: Who is told of numbers.
        folder: Where trackers that write files put them.
        activations: Where hidden states may be kept.
        head: What a linear head starts as, a copy of it; the class texts otherwise.

    Raises:
        InputError: The options contradict each other, the model or the data.
        DataError: Images lack labels.
    """
    processes = start_processes(encoder.device, trackers, folder=folder, config=asdict(options))
    precision = training_precision(options.precision, processes.device, encoder.model)
    settled = settle_options(options, data, encoder, precision=precision)
    require_model_fits(encoder.model, settled)
    digest = encoder.fingerprint
    encoder.model.to(processes.device)
    embedder = make_embedder(encoder, processes, precision)
    start = {f"model.{name}": p.detach().clone() for name, p in encoder.model.named_parameters()}
    with ExitStack() as stack:
        stack.enter_context(freed_memory_kept())
        lora = stack.enter_context(_trainable_layers(encoder.model, settled))
        trainee = _make_trainee(encoder, data, settled, embedder, head)
        plans = plan_groups(
            name_groups(trainee), settled.trainable, default_rates=default_rates(settled)
        )
        settled = settle_views(settled, plans, keeps=activations is not None)
        embedder = _with_known_prompts(embedder, data, plans, settled, activations)
        settled, source = _make_source(encoder, data, settled, processes, embedder, plans)
        entry = stack.enter_context(
            open_entry(encoder, data.train, plans, settled, embedder, activations, source.draw)
        )
        image_bytes = 0 if entry is None else entry.n_bytes
        embedder, text_bytes = stack.enter_context(
            open_texts(
                encoder, _repeated_texts(data, plans, settled), plans, settled, embedder,
                activations, taken_bytes=image_bytes,
            )
        )  # fmt: skip
        source = replace(source, embedder=embedder, entry=entry)
        yield Session(
            encoder=encoder,
            data=data,
            watch=watch,
            options=settled,
            processes=processes,
            embedder=embedder,
            trainee=trainee,
            plans=plans,
            optimizer=build_optimizer(plans, settled.optimizer),
            scaler=torch.amp.GradScaler(processes.device) if precision == "fp16" else None,
            lora=lora,
            start=start if lora is not None else _changing(start, plans),
            source=source,
            encoder_digest=digest,
            kept_bytes=image_bytes + text_bytes,
        )
    processes.close()


@contextmanager
def _trainable_layers(model: nn.Module, options: FinetuneOptions) -> Iterator[LoraUpdate | None]:
    """Prepare the model's layers for the method, and leave it in its own layout."""
    if options.method != "lora":
        with fused_attention(model):
            yield None
        return
    lora = add_lora(model, options.lora, seed=options.seed)
    try:
        yield lora
    finally:
        drop_lora(lora)


def _make_trainee(
    encoder: TorchEncoder,
    data: TrainingData,
    options: FinetuneOptions,
    embedder: Embedder,
    head: nn.Linear | None,
) -> Trainee:
    own = None
    if options.method == "head-then-full":
        if head is None:
            rows = embedder.class_rows(data.train.class_names, data.templates)
            head = zero_shot_head(rows, encoder.logit_scale)
        own = deepcopy(head).to(embedder.device)
    return Trainee(encoder.model, head=own, sigmoid=options.loss == "sigmoid")


def _with_known_prompts(
    embedder: Embedder,
    data: TrainingData,
    plans: Sequence[GroupPlan],
    options: FinetuneOptions,
    activations: ActivationPlace | None,
) -> Embedder:
    """Embed the prompts of classes once where nothing of the text tower ever trains."""
    has_prompts = not data.has_captions and options.method != "head-then-full"
    if activations is None or not has_prompts or trains_ever(plans, "text"):
        return embedder
    return remember_prompts(embedder, _prompts(data))


def _prompts(data: TrainingData) -> list[str]:
    names = data.train.class_names
    return [fill_template(template, name) for name in names for template in data.templates]


def _repeated_texts(
    data: TrainingData, plans: Sequence[GroupPlan], options: FinetuneOptions
) -> list[str]:
    """Return what the text tower sees again and again; nothing where rows are known already."""
    if options.method == "head-then-full":
        return []
    if data.has_captions:
        return [
            text
            for images in (data.train, data.val)
            for own in images.captions or ()
            for text in own
        ]
    return _prompts(data) if trains_ever(plans, "text") else []


def _changing(start: Mapping[str, Tensor], plans: Sequence[GroupPlan]) -> dict[str, Tensor]:
    """Keep the starting weights of what will train, the head's among them."""
    return {
        name: start[name] if name in start else parameter.detach().clone()
        for plan in plans
        if plan.start_epoch is not None
        for name, parameter in plan.group.parameters
    }


def _make_source(
    encoder: TorchEncoder,
    data: TrainingData,
    options: FinetuneOptions,
    processes: Processes,
    embedder: Embedder,
    plans: Sequence[GroupPlan],
) -> tuple[FinetuneOptions, BatchSource]:
    """Settle the sizes with all open that will ever train, and make the steps of them."""
    set_trainable(plans, max(plan.start_epoch or 0 for plan in plans))
    largest = partial(_most_images, encoder, embedder)
    batch_size, micro_batch_size = _settle_sizes(options, len(data.train), processes, largest)
    source = BatchSource(
        images=data.train,
        templates=data.templates,
        embedder=embedder,
        preprocess=encoder.preprocess,
        augment=options.augment,
        balance=options.balance,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        every_class=options.loss == "cross-entropy",
        with_texts=options.method != "head-then-full",
        seed=options.seed,
        views=options.views or options.epochs,
    )
    return replace(options, batch_size=batch_size, micro_batch_size=micro_batch_size), source


def _settle_sizes(
    options: FinetuneOptions,
    n_train: int,
    processes: Processes,
    largest: Callable[[int], int],
) -> tuple[int, int]:
    """Return images a step and images encoded at once; what is ``auto`` is found by trying."""
    if options.batch_size == "auto":
        fits = processes.least(largest(-(-n_train // processes.count)))
        return min(n_train, fits * processes.count), fits
    assert options.batch_size is not None, "settle_options filled it in"
    share = -(-options.batch_size // processes.count)
    if options.micro_batch_size == "auto":
        return options.batch_size, largest(share)
    return options.batch_size, min(options.micro_batch_size, share)


def _most_images(encoder: TorchEncoder, embedder: Embedder, limit: int) -> int:
    """Find how many images go through the image tower at once, with its graph if it trains."""
    side = encoder.preprocess.side
    picture = torch.from_numpy(encoder.preprocess(Image.new("RGB", (side, side))))

    def encode(n_images: int) -> Tensor:
        return embedder.encode_pixels(picture.expand(n_images, -1, -1, -1))

    def run(n_images: int) -> None:
        encode(n_images).sum().backward()  # type: ignore[no-untyped-call]  # torch's own method
        encoder.model.zero_grad(set_to_none=True)

    if not encode(1).requires_grad:
        return min(limit, _NO_GRAPH)
    return largest_that_fits(run, limit, device=embedder.device)

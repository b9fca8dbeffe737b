"""Everything a fine-tuning run holds while it lasts: module, optimiser, processes, data.

It knows nothing about epochs, checkpoints or the order of things; ``loop.py`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.finetuning.batches import Images
from cliptune.finetuning.data import TrainingData, WatchData
from cliptune.finetuning.groups import GroupPlan
from cliptune.finetuning.inputs import BatchSource
from cliptune.finetuning.lora import LoraUpdate
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.processes import Processes
from cliptune.finetuning.scoring import Embedder
from cliptune.finetuning.trainee import Trainee

__all__ = ["Session"]


@dataclass(frozen=True)
class Session:
    """A run's parts; ``setup.open_session`` makes one.

    Attributes:
        encoder: Its module trains.
        data: Images.
        watch: Images that are only looked at.
        options: As asked for, with loss, precision and sizes settled.
        processes: Who this process is.
        embedder: The model as functions.
        trainee: What trains.
        plans: Groups, rates and starts.
        optimizer: Over all groups that ever train.
        scaler: Of fp16, else nothing.
        lora: Updates of ``lora``, else nothing.
        start: Starting weights of all that may change, by name, in the model's own layout.
        source: The steps.
        encoder_digest: Fingerprint of the encoder before training.
        kept_bytes: What hidden states of training views and of texts take on disk.
    """

    encoder: TorchEncoder
    data: TrainingData
    watch: Mapping[str, WatchData]
    options: FinetuneOptions
    processes: Processes
    embedder: Embedder
    trainee: Trainee
    plans: tuple[GroupPlan, ...]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    lora: LoraUpdate | None
    start: dict[str, Tensor]
    source: BatchSource
    encoder_digest: str
    kept_bytes: int

    @property
    def loss(self) -> str:
        """The loss's name."""
        assert self.options.loss is not None, "open_session settles it"
        return self.options.loss

    @property
    def steps_an_epoch(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.data.train) // self.source.batch_size)

    @property
    def n_steps(self) -> int:
        """Steps of the whole run."""
        return self.options.epochs * self.steps_an_epoch

    def embed_images(self, images: Images, rows: NDArray[np.int64]) -> Tensor:
        """Return float32 unit rows (n, D) of images without augmentation, on the host."""
        entry = self.source.entry
        embed = self.embedder.embed_images if entry is None else entry.embed
        return embed(images, rows)

    def trained_weights(self) -> dict[str, Tensor]:
        """Return, by name, the parameters that ever train; they are views, not copies."""
        return {
            name: parameter.detach()
            for plan in self.plans
            if plan.start_epoch is not None
            for name, parameter in plan.group.parameters
        }

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into parameters of these names."""
        own = dict(self.trainee.named_parameters())
        for name, tensor in weights.items():
            own[name].copy_(tensor)

    @torch.no_grad()
    def load_moments(self, moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Give the optimiser the moments of a saved run, in the parameters' memory layout."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state = {
            index: {key: _laid_out_as(value, parameters[index]) for key, value in entry.items()}
            for index, entry in moments.items()
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

    def tower_trains(self, tower: str) -> bool:
        """Say whether gradients flow into a tower at present."""
        return any(
            parameter.requires_grad
            for plan in self.plans
            if tower in plan.group.name.split(".")
            for _, parameter in plan.group.parameters
        )

    def identity(self) -> dict[str, object]:
        """Return all that a resumed run must share with the one it takes up."""
        images = self.data.identity
        return {
            **asdict(self.options),
            "model": self.encoder_digest,
            "templates": list(self.data.templates),
            "class_names": list(self.data.train.class_names),
            "images": None if images is None else images.digest,
        }


def _laid_out_as(value: Tensor, parameter: Tensor) -> Tensor:
    if value.shape != parameter.shape:  # a count of steps
        return value
    return torch.empty_like(parameter).copy_(value)

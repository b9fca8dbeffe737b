"""The module that trains: a dual model, perhaps a linear head, perhaps a bias.

It knows nothing about data or optimisers.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from cliptune.encoders.torch_encoder import DualModel

__all__ = ["Trainee"]

_MAX_LOG_SCALE = math.log(100.0)


class Trainee(nn.Module):
    """A dual model and what a loss adds to it.

    Args:
        model: Follows ``DualModel``.
        head: Replaces the text tower: unit rows to classes.
        sigmoid: The loss needs a bias; a model without one gets it.
    """

    def __init__(
        self, model: nn.Module, *, head: nn.Linear | None = None, sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.logit_bias: nn.Parameter | None = None
        if sigmoid and getattr(model, "logit_bias", None) is None:
            device = cast(DualModel, model).logit_scale.device
            self.logit_bias = nn.Parameter(torch.zeros((), device=device))
        start = float(cast(DualModel, model).logit_scale.detach().max())
        self._max_log_scale = max(_MAX_LOG_SCALE, start)
        self._sigmoid = sigmoid

    def scale(self) -> Tensor:
        """Return the factor on cosines."""
        return cast(DualModel, self.model).logit_scale.exp()

    def bias(self) -> Tensor | None:
        """Return the bias of the sigmoid loss."""
        if not self._sigmoid:
            return None
        own = self.logit_bias
        return own if own is not None else cast(Tensor, self.model.logit_bias)

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Keep the factor on cosines at 100 or less, as CLIP does (arXiv:2103.00020, 2.5)."""
        cast(DualModel, self.model).logit_scale.clamp_(max=self._max_log_scale)

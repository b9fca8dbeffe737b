"""Many attention heads over one batch of tokens.

It knows nothing about training: it turns parameters and tokens into logits and gradients.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.autograd import accumulate_by_autograd
from cliptune.heads.optimizers import Parameters

__all__ = ["AttentionStack"]


class AttentionStack:
    """M attention heads over one batch of tokens.

    Multi-head attention with a learned query scores token x in head h as q_h . K_h x, and
    K_h^T q_h is itself a free vector: the query here stands for that product, one (D,) vector a
    head, which saves the projection of every token. Values are likewise projected after the
    weighted mean, which commutes with it.

    Args:
        rows: Where the class rows start: float32 (C, D), the text rows, or zeros.
        scale: Factor on cosines.
        n_heads: Attention heads H; each has D / H value dimensions.
        token_norm: Tokens are divided by this.
    """

    def __init__(
        self,
        rows: NDArray[np.float32],
        scale: float,
        *,
        n_heads: int,
        token_norm: float,
    ) -> None:
        self._rows, self._scale = torch.tensor(rows), scale
        self._n_heads, self._token_norm = n_heads, token_norm

    def start(self, seed: int) -> Parameters:
        """Return random queries and values, an output of zero, and the class rows."""
        n_classes, dim = self._rows.shape
        width = dim // self._n_heads
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(1, self._n_heads, dim, generator=generator)
        bound = math.sqrt(3 / dim)  # variance 1 / D, so that values keep the tokens' size
        value = torch.empty(1, self._n_heads, width, dim)
        return {
            "query": normal,
            "value": value.uniform_(-bound, bound, generator=generator),
            "out": torch.zeros(1, dim, self._n_heads * width),
            "weight": self._rows[None].clone(),
            "bias": torch.zeros(1, n_classes),
        }

    def accumulate(
        self,
        parameters: Parameters,
        X: torch.Tensor,
        y: torch.Tensor,
        into: Parameters,
        *,
        beta: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradient, by automatic differentiation."""
        return accumulate_by_autograd(self.logits, parameters, X, y, into, beta=beta)

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C) for (n, 1 + T, D)."""
        pooled = X[:, 0]
        moved = pooled + self._find(parameters, X[:, 1:] / self._token_norm)
        lengths: torch.Tensor = torch.linalg.vector_norm(pooled, dim=1)
        lengths = lengths / torch.linalg.vector_norm(moved, dim=2)
        products = torch.bmm(moved, parameters["weight"].transpose(1, 2))
        products = products * lengths[..., None] + parameters["bias"][:, None]
        return products * self._scale

    def bytes_per_row(self) -> int:
        """Return about the bytes of a row's attention and vectors, and of their gradients."""
        n_classes, dim = self._rows.shape
        return 4 * 4 * (2 * self._n_heads * dim + 3 * dim + n_classes)

    def heads_at_once(self, n_rows: int) -> None:
        """Return that one product over all heads is best."""

    def _find(self, parameters: Parameters, tokens: torch.Tensor) -> torch.Tensor:
        """Return what attention adds to the pooled feature, (M, n, D), for (n, T, D)."""
        query, value = parameters["query"], parameters["value"]
        n_stacked, n_heads, _ = query.shape
        scores = tokens @ query.flatten(0, 1).T  # (n, T, M H)
        means = scores.softmax(dim=1).transpose(1, 2) @ tokens  # (n, M H, D)
        values = torch.bmm(means.transpose(0, 1), value.flatten(0, 1).transpose(1, 2))
        joined = values.view(n_stacked, n_heads, len(tokens), -1).transpose(1, 2).flatten(2)
        return torch.bmm(joined, parameters["out"].transpose(1, 2))

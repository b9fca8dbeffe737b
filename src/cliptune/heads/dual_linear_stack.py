"""The gradient of many dual-linear heads at once, written out.

It knows nothing about training: it turns parameters and a batch into losses and gradients.
Automatic differentiation would keep six (M, B, D) arrays where this needs one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.optimizers import Parameters
from cliptune.heads.products import add_product, multiply, softmax_residual

__all__ = ["DualLinearStack"]


class DualLinearStack:
    """M heads; logits are scale * cos(r (A x + a) + (1 - r) x, r (B t + b) + (1 - r) t).

    A vector keeps its length through its layer, so that the identity changes nothing, not even
    by rounding; rows of norm 1 make that the cosine.

    Args:
        text_rows: float32 (C, D), unit rows t.
        scale: The model's factor on cosines.
        residual_ratio: r.
        begin: ``identity``, or ``random`` as a fresh ``torch.nn.Linear``.
        bf16: Round the factors of products to bfloat16.
    """

    def __init__(
        self,
        text_rows: NDArray[np.float32],
        scale: float,
        *,
        residual_ratio: float = 1.0,
        begin: Literal["identity", "random"] = "identity",
        bf16: bool = False,
    ) -> None:
        self._texts = torch.tensor(text_rows)
        self._scale, self._ratio, self._begin, self._bf16 = scale, residual_ratio, begin, bf16

    def start(self, seed: int) -> Parameters:
        """Return two layers, each (1, D, D) and (1, D)."""
        dim = self._texts.shape[1]
        generator = torch.Generator().manual_seed(seed)
        parameters: Parameters = {}
        for side in ("image", "text"):
            weight, bias = torch.eye(dim)[None], torch.zeros(1, dim)
            if self._begin == "random":
                bound = 1 / math.sqrt(dim)
                weight = torch.empty(1, dim, dim).uniform_(-bound, bound, generator=generator)
                bias = torch.empty(1, dim).uniform_(-bound, bound, generator=generator)
            parameters |= {f"{side}_weight": weight, f"{side}_bias": bias}
        return parameters

    def accumulate(
        self,
        parameters: Parameters,
        X: torch.Tensor,
        y: torch.Tensor,
        into: Parameters,
        *,
        beta: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradient of the mean cross-entropy.

        With z = layer(x), n = |x| and v = layer(t) likewise, cosine c = (n / |z|) z . u for the
        text vector u = (|t| / |v|) v. For g = dL/dlogits * scale:
        dL/dz = (n / |z|) (sum_c g_c u_c - e z) with e = sum_c g_c (z . u_c) / |z|^2, the part
        along z being what keeping the length removes; likewise dL/dv from dL/du.
        """
        images, image_norms = self._layer(parameters, "image", X)
        texts, text_norms = self._layer(parameters, "text", self._texts)
        shrink_images = torch.linalg.vector_norm(X, dim=1) / image_norms  # (M, B)
        shrink_texts = torch.linalg.vector_norm(self._texts, dim=1) / text_norms  # (M, C)
        vectors = texts * shrink_texts[..., None]
        products = multiply(images, vectors.transpose(1, 2), bf16=self._bf16)  # z . u, (M, B, C)
        g = products * (self._scale * shrink_images)[..., None]
        losses, correct = softmax_residual(g, y)
        g *= (self._scale / len(X) * shrink_images)[..., None]
        d_vectors = multiply(g.transpose(1, 2), images, bf16=self._bf16)  # (M, C, D)
        along = products.mul_(g).sum(dim=2) / image_norms.square()
        d_images = images.mul_(-along[..., None])
        add_product(d_images, g, vectors, beta=1.0, bf16=self._bf16)
        self._add(into, "image", d_images, X, beta=beta)
        along = (d_vectors * texts).sum(dim=2) / text_norms.square()
        d_texts = (d_vectors - along[..., None] * texts) * shrink_texts[..., None]
        self._add(into, "text", d_texts, self._texts, beta=beta)
        return losses.sum(dim=1), correct.sum(dim=1)

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C)."""
        images, image_norms = self._layer(parameters, "image", X)
        texts, text_norms = self._layer(parameters, "text", self._texts)
        texts *= (torch.linalg.vector_norm(self._texts, dim=1) / text_norms)[..., None]
        shrink = torch.linalg.vector_norm(X, dim=1) / image_norms
        products = multiply(images, texts.transpose(1, 2), bf16=self._bf16)
        return products.mul_(self._scale * shrink[..., None])

    def bytes_per_row(self) -> int:
        """Return the bytes of a row's layer output, its products and their copies."""
        n_classes, dim = self._texts.shape
        return 4 * (2 * dim + 4 * n_classes)

    def _layer(
        self, parameters: Parameters, side: str, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r (W row + b) + (1 - r) row of all heads, (M, n, D), and its norms (M, n)."""
        weight, bias = parameters[f"{side}_weight"], parameters[f"{side}_bias"]
        shared = rows.expand(len(weight), *rows.shape)
        out = multiply(shared, weight.transpose(1, 2), bf16=self._bf16).add_(bias[:, None])
        if self._ratio != 1:
            out.mul_(self._ratio).add_(rows, alpha=1 - self._ratio)
        return out, torch.linalg.vector_norm(out, dim=2)

    def _add(
        self,
        into: Parameters,
        side: str,
        d_out: torch.Tensor,
        rows: torch.Tensor,
        *,
        beta: float,
    ) -> None:
        weight, bias = into[f"{side}_weight"], into[f"{side}_bias"]
        shared = rows.expand(len(weight), *rows.shape)
        add_product(
            weight, d_out.transpose(1, 2), shared, beta=beta, alpha=self._ratio, bf16=self._bf16
        )
        bias.mul_(beta).add_(d_out.sum(dim=1), alpha=self._ratio)

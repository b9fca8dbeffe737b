"""The gradient of many dual-linear heads at once, written out.

It knows nothing about training: it turns parameters and a batch into losses and gradients.
Automatic differentiation would keep six (M, B, D) arrays where this needs one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cliptune.heads.optimizers import Parameters
from cliptune.heads.products import softmax_residual

__all__ = ["DualLinearStack"]

# Four heads of 256 x 512 rows. Two to eight took the same time within noise, sixteen longer.
_CACHE_BYTES = 2 << 20


class DualLinearStack:
    """M heads; logits are scale * cos(r (A x + a) + (1 - r) x, r (B t + b) + (1 - r) t).

    A vector keeps its length through its layer, so that the identity changes nothing, not even
    by rounding; rows of norm 1 make that the cosine.

    Every gradient of B is S^T T for the C text rows T and some S (C, D), and that of b is S^T 1.
    From the identity on, gradient descent therefore never leaves B = I + K^T T and b = K^T 1,
    and K (C, D) trains in their place where that is smaller: the same steps, with T T^T (C, C)
    where a product of (D, D) was.

    Args:
        text_rows: float32 (C, D), unit rows t.
        scale: The model's factor on cosines.
        residual_ratio: r.
        begin: ``identity``, or ``random`` as a fresh ``torch.nn.Linear``.
        linear_steps: The optimiser only adds multiples of gradients, as SGD does and Adam does
            not.
    """

    def __init__(
        self,
        text_rows: NDArray[np.float32],
        scale: float,
        *,
        residual_ratio: float = 1.0,
        begin: Literal["identity", "random"] = "identity",
        linear_steps: bool = False,
    ) -> None:
        self._texts = torch.tensor(text_rows)
        self._text_lengths = torch.linalg.vector_norm(self._texts, dim=1)
        self._scale, self._ratio, self._begin = scale, residual_ratio, begin
        n_classes, dim = self._texts.shape
        factored = linear_steps and begin == "identity" and n_classes < dim
        self._gram = self._texts @ self._texts.T if factored else None  # T T^T, of K alone

    def start(self, seed: int) -> Parameters:
        """Return two layers, each (1, D, D) and (1, D), or K (1, C, D) as ``text_factor``."""
        n_classes, dim = self._texts.shape
        generator = torch.Generator().manual_seed(seed)
        parameters: Parameters = {}
        for side in ("image", "text"):
            weight, bias = torch.eye(dim)[None], torch.zeros(1, dim)
            if self._begin == "random":
                bound = 1 / math.sqrt(dim)
                weight = torch.empty(1, dim, dim).uniform_(-bound, bound, generator=generator)
                bias = torch.empty(1, dim).uniform_(-bound, bound, generator=generator)
            parameters |= {f"{side}_weight": weight, f"{side}_bias": bias}
        if self._gram is not None:
            parameters["text_factor"] = torch.zeros(1, n_classes, dim)
            del parameters["text_weight"], parameters["text_bias"]
        return parameters

    def layers(self, trained: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return both layers of one trained head, whichever way the text's was kept."""
        layers = dict(trained)
        if self._gram is not None:
            factor = layers.pop("text_factor")
            weight = factor.T @ self._texts.numpy()
            weight[np.diag_indices_from(weight)] += 1
            layers |= {"text_weight": weight, "text_bias": factor.sum(axis=0)}
        return layers

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

        With z = layer(x) and v = layer(t), the cosine is c = w (z . v) for the weight
        w = |x| |t| / (|z| |v|). For g = w dL/dc: dL/dz = sum_c g_c v_c - e z, with
        e = sum_c g_c (z . v_c) / |z|^2 is the part along z, which keeping the length removes;
        likewise dL/dv over the batch.
        """
        images, image_norms = self._layer(parameters, "image", X)
        texts, text_norms = self._text_layer(parameters)
        weights = self._cosine_weights(X, image_norms, text_norms)
        products = torch.bmm(images, texts.transpose(1, 2))  # z . v, (M, B, C)
        g = products * weights
        losses, correct = softmax_residual(g, y)
        g.mul_(weights)  # of the sum over the batch
        d_texts = torch.bmm(g.transpose(1, 2), images)
        along = products.mul_(g)
        image_shares = along.sum(dim=2) / image_norms.square()
        text_shares = along.sum(dim=1) / text_norms.square()
        d_texts.addcmul_(texts, text_shares[..., None], value=-1)
        d_images = images.mul_(image_shares.neg_()[..., None]).baddbmm_(g, texts)
        alpha = self._ratio / len(X)
        self._add(into, "image", d_images, X, beta=beta, alpha=alpha)
        if self._gram is not None:
            into["text_factor"].mul_(beta).add_(d_texts, alpha=alpha)
        else:
            self._add(into, "text", d_texts, self._texts, beta=beta, alpha=alpha)
        return losses.sum(dim=1), correct.sum(dim=1)

    def logits(self, parameters: Parameters, X: torch.Tensor) -> torch.Tensor:
        """Return (M, n, C)."""
        images, image_norms = self._layer(parameters, "image", X)
        texts, text_norms = self._text_layer(parameters)
        products = torch.bmm(images, texts.transpose(1, 2))
        return products.mul_(self._cosine_weights(X, image_norms, text_norms))

    def bytes_per_row(self) -> int:
        """Return the bytes of a row's layer output, its products and their copies."""
        n_classes, dim = self._texts.shape
        return 4 * (2 * dim + 4 * n_classes)

    def heads_at_once(self, n_rows: int) -> int:
        """Return so many that their rows stay in a processor's cache between two products."""
        return max(1, _CACHE_BYTES // (4 * n_rows * self._texts.shape[1]))

    def _cosine_weights(
        self, X: torch.Tensor, image_norms: torch.Tensor, text_norms: torch.Tensor
    ) -> torch.Tensor:
        """Return the factors from products of layers' outputs to logits, (M, n, C)."""
        images: torch.Tensor = torch.linalg.vector_norm(X, dim=1) / image_norms
        texts: torch.Tensor = self._scale * self._text_lengths / text_norms
        return images[..., None] * texts[:, None]

    def _text_layer(self, parameters: Parameters) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r (B t + b) + (1 - r) t of all heads, (M, C, D), and its norms (M, C)."""
        if self._gram is None:
            return self._layer(parameters, "text", self._texts)
        factor = parameters["text_factor"]
        out = torch.bmm(self._gram.expand(len(factor), -1, -1), factor)
        out.add_(factor.sum(dim=1, keepdim=True))  # b, whose factors must not be rounded
        torch.add(self._texts, out, alpha=self._ratio, out=out)
        return out, torch.linalg.vector_norm(out, dim=2)

    def _layer(
        self, parameters: Parameters, side: str, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r (W row + b) + (1 - r) row of all heads, (M, n, D), and its norms (M, n)."""
        weight, bias = parameters[f"{side}_weight"], parameters[f"{side}_bias"]
        out = torch.bmm(rows.expand(len(weight), *rows.shape), weight.transpose(1, 2))
        out.add_(bias[:, None])
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
        alpha: float,
    ) -> None:
        weight, bias = into[f"{side}_weight"], into[f"{side}_bias"]
        shared = rows.expand(len(weight), *rows.shape)
        weight.baddbmm_(d_out.transpose(1, 2), shared, beta=beta, alpha=alpha)
        bias.mul_(beta).add_(d_out.sum(dim=1), alpha=alpha)

"""Rows in the eigenbasis of their covariance: as many coordinates as they span, strongest first.

Methods whose penalty treats all directions alike answer the same in these coordinates, and with
fewer rows than dimensions there is far less to compute. It knows no method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["Subspace", "span"]

_NOTHING = 1e-7  # of the largest variance: single precision does not tell it from none


@dataclass(frozen=True)
class Subspace:
    """n rows in m coordinates.

    Attributes:
        rows: float32 (n, m), centred.
        variances: float32 (m,), descending.
        dim: How long the rows were.
    """

    rows: torch.Tensor
    variances: torch.Tensor
    dim: int


def span(rows: NDArray[np.float32]) -> Subspace:
    """Rotate rows (n, D) into their eigenbasis; what does not vary is dropped."""
    import torch  # a second's work, which the first methods of a comparison do without

    from cliptune.heads.products import squared

    centred = torch.from_numpy(np.array(rows, dtype=np.float32))
    centred -= centred.mean(dim=0)
    n, dim = centred.shape
    if n <= dim:
        values, vectors = torch.linalg.eigh((centred @ centred.T).double() / n)
        values, vectors = _strongest(values, vectors)
        # The rows in their eigenbasis are the vectors of their products, as long as the spread.
        return Subspace((vectors * (n * values).sqrt()).float(), values.float(), dim)
    values, vectors = torch.linalg.eigh(squared(centred).double() / n)
    values, vectors = _strongest(values, vectors)
    return Subspace(centred @ vectors.float(), values.float(), dim)


def _strongest(values: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, vectors = values.flip(0), vectors.flip(1)
    kept = values > _NOTHING * values[0]
    return values[kept], vectors[:, kept]

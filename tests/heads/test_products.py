"""Products taken in blocks or by halves are those in double precision."""

import pytest
import torch

from cliptune.heads.products import squared, summed_products


@pytest.mark.parametrize("n", [1, 2048, 2049, 7000])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_a_narrow_factor_in_blocks(n, k):
    generator = torch.Generator().manual_seed(0)
    narrow, rows = torch.randn(n, k, generator=generator), torch.randn(n, 33, generator=generator)
    expected = narrow.double().T @ rows.double()
    found = summed_products(narrow, rows)
    assert found.dtype == torch.float32
    assert found.shape == (k, 33)
    assert (found - expected).abs().max() < 1e-5 * n**0.5


def test_a_square():
    rows = torch.randn(500, 40, generator=torch.Generator().manual_seed(0))
    found = squared(rows)
    assert found.dtype == torch.float32
    assert torch.equal(found, found.T)
    assert (found - rows.double().T @ rows.double()).abs().max() < 1e-3

"""A batch that does not fit is halved until it does, and said."""

import numpy as np
import pytest

from cliptune.encoders.out_of_memory import encode_in_parts


def test_halves_until_it_fits_and_keeps_the_order(caplog):
    sizes = []

    def encode(batch):
        sizes.append(len(batch))
        if len(batch) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return batch.astype(np.float32)

    batch = np.arange(10)[:, None]
    np.testing.assert_array_equal(encode_in_parts(encode, batch), batch)
    assert max(size for size in sizes if size <= 3) == 3
    assert "a batch of 10 does not fit into memory; going on with 5" in caplog.text


def test_other_errors_and_single_rows_are_not_swallowed():
    def broken(batch):
        raise RuntimeError("shapes do not match")

    def full(batch):
        raise MemoryError

    with pytest.raises(RuntimeError, match="shapes"):
        encode_in_parts(broken, np.zeros((4, 1)))
    with pytest.raises(MemoryError):
        encode_in_parts(full, np.zeros((4, 1)))

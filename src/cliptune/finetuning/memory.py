"""The largest number of images that fits in memory at once, found before training starts.

It knows nothing about models: it is given something to run with n images.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from cliptune.errors import DeviceError
from cliptune.system.usage import available_memory

__all__ = ["largest_that_fits"]

_SHARE = 0.6  # of free memory: activations are counted, temporaries and gradients are not
_log = logging.getLogger(__name__)


def largest_that_fits(run: Callable[[int], None], limit: int, *, device: str) -> int:
    """Return ``limit`` if so many images fit, else the largest power of two that does.

    On a GPU it tries, and takes an out-of-memory error for a no. On a CPU trying would have
    the system kill the process, so the bytes that the forward passes of one and of three
    images keep for their backward pass are counted, and a straight line laid through both.

    Args:
        run: Does a forward and a backward pass with n images.
        limit: Most images wanted.
        device: Where it runs.

    Raises:
        DeviceError: Not even one image fits.
    """
    fits = _fits_by_trial(run) if device.startswith("cuda") else _fits_by_count(run)
    if fits(limit):
        return limit
    size = 1 << (limit.bit_length() - 1)
    while size > 1 and (size == limit or not fits(size)):
        size //= 2
    if size == 1 and not fits(1):
        raise DeviceError(
            f"not even one image fits in the memory of {device}; train fewer groups, use method "
            "lora, or a smaller model"
        )
    _log.info("%d of %d images fit at once on %s", size, limit, device)
    return size


def _fits_by_trial(run: Callable[[int], None]) -> Callable[[int], bool]:
    def fits(n_images: int) -> bool:
        try:
            run(n_images)
        except torch.OutOfMemoryError:
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    return fits


def _fits_by_count(run: Callable[[int], None]) -> Callable[[int], bool]:
    free = available_memory()
    if free is None:  # nobody tells here
        return lambda n_images: True
    one, three = _bytes_kept(run, 1), _bytes_kept(run, 3)
    slope = (three - one) / 2
    budget = _SHARE * free
    return lambda n_images: one + slope * (n_images - 1) <= budget


def _bytes_kept(run: Callable[[int], None], n_images: int) -> int:
    """Count each block of memory that the graph keeps once, however many tensors view it."""
    blocks: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        blocks[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        run(n_images)
    return sum(blocks.values())

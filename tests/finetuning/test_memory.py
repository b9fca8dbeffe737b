"""The largest number of images that fits is found without running out of memory."""

import pytest
import torch

from cliptune.errors import DeviceError
from cliptune.finetuning import memory
from cliptune.finetuning.memory import largest_that_fits


def layer_of(monkeypatch, available):
    """A layer that keeps 4,000 bytes an image for its backward pass, and so much memory."""
    monkeypatch.setattr(memory, "available_memory", lambda: available)
    layer, ran = torch.nn.Linear(1000, 1000, bias=False), []

    def run(n_images):
        ran.append(n_images)
        layer(torch.ones(n_images, 1000)).sum().backward()

    return run, ran


def test_on_a_cpu_memory_is_counted_on_few_images_and_not_tried(monkeypatch):
    run, ran = layer_of(monkeypatch, 4_000_000 + 100 * 4000 / 0.6)
    found = largest_that_fits(run, 1000, device="cpu")
    assert max(ran) == 3
    assert 64 <= found <= 512
    assert found & (found - 1) == 0


def test_the_limit_itself_is_taken_where_it_fits(monkeypatch):
    run, _ = layer_of(monkeypatch, 1 << 40)
    assert largest_that_fits(run, 77, device="cpu") == 77


def test_where_nobody_tells_what_is_free_all_of_it_is_tried(monkeypatch):
    run, ran = layer_of(monkeypatch, None)
    assert largest_that_fits(run, 64, device="cpu") == 64
    assert ran == []


def test_too_little_for_one_image_is_told(monkeypatch):
    run, _ = layer_of(monkeypatch, 1000)
    with pytest.raises(DeviceError, match="not even one image fits in the memory of cpu"):
        largest_that_fits(run, 8, device="cpu")


@pytest.mark.parametrize(("room", "limit", "expected"), [(100, 64, 64), (40, 100, 32), (1, 100, 1)])
def test_on_a_gpu_sizes_are_tried_from_above(room, limit, expected):
    def run(n_images):
        if n_images > room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_that_fits(run, limit, device="cuda") == expected

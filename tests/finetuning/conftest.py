"""Fixtures of the fine-tuning tests."""

import pytest
import torch

from tiny_training import make_encoder, make_model


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small gain nothing by threads, and lose much where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_model():
    return make_model()


@pytest.fixture
def tiny_encoder():
    return make_encoder()

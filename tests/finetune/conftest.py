"""Fixtures of the fine-tuning tests."""

import pytest
from tiny_training import make_encoder, make_model


@pytest.fixture
def tiny_model():
    return make_model()


@pytest.fixture
def tiny_encoder():
    return make_encoder()

"""Commands run in this process share one loaded encoder per name, device and precision."""

import functools

import pytest

import cliptune.encoders


@functools.cache
def _load_once(name, device, precision):
    return _load(name, device=device, precision=precision)


_load = cliptune.encoders.load_encoder


@pytest.fixture(autouse=True)
def shared_encoders(monkeypatch):
    """Loading takes seconds and is tested elsewhere, and here by the real processes."""
    monkeypatch.setattr(
        cliptune.encoders,
        "load_encoder",
        lambda name, *, device="auto", precision="auto": _load_once(name, device, precision),
    )

"""Weights that training made go to an engine where that pays, and stay those of the training."""

from functools import cache as once

import numpy as np
import pytest

from cliptune.encoders import load_encoder
from cliptune.encoders.engines import Work, open_recorded_weights, open_weights, opening
from cliptune.encoders.engines.encoder import EngineEncoder
from cliptune.errors import InputError

TEXTS = ["a photo of a bee", "a long description of a red bicycle that leans on a wall"]
MANY, FEW = Work(512), Work(511)


@pytest.fixture
def cache(trusting_cache):
    return trusting_cache


@pytest.fixture
def trained(make_folder, tiny_config):
    """A model whose weights moved after it was loaded, as training moves them."""
    import torch

    encoder = load_encoder(str(make_folder(tiny_config)), device="cpu", precision="fp32")
    with torch.no_grad():
        for weights in encoder.model.parameters():
            weights.add_(0.01 * torch.randn(weights.shape, generator=torch.manual_seed(3)))
    return encoder.rewrapped(device="cpu", precision="fp32")


def opened(trained, cache, work, **options):
    options = {"engine": "openvino", **options}
    load = options.pop("load", lambda: trained)
    return open_weights(
        trained.name, trained.fingerprint, load, device="cpu", cache_dir=cache, work=work, **options
    )


def test_the_rows_are_those_of_the_trained_weights(trained, cache, pixels):
    encoder = opened(trained, cache, MANY)
    assert isinstance(encoder, EngineEncoder)
    assert (encoder.engine, encoder.precision) == ("openvino", "fp32")
    assert encoder.fingerprint == trained.fingerprint
    rows, texts = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(rows, trained.encode_images(pixels), atol=2e-5)
    np.testing.assert_allclose(texts, trained.encode_texts(TEXTS), atol=2e-5)
    untrained = load_encoder(trained.name, device="cpu", precision="fp32")
    assert np.abs(untrained.encode_images(pixels) - rows).max() > 1e-2, "they did move"


def test_a_later_start_loads_nothing_and_a_worker_opens_the_same(trained, cache, pixels):
    rows = opened(trained, cache, MANY).encode_images(pixels)

    def load():
        pytest.fail("the weights were loaded")

    later = opened(trained, cache, FEW, load=load)
    np.testing.assert_array_equal(later.encode_images(pixels), rows)
    worker = open_recorded_weights(
        trained.name, trained.fingerprint, load, "openvino", "fp32", cache_dir=cache
    )
    np.testing.assert_array_equal(worker.encode_images(pixels), rows)


@pytest.mark.parametrize("work", [FEW, Work()], ids=["few", "unknown"])
def test_few_images_convert_nothing(trained, cache, work):
    assert opened(trained, cache, work, engine="auto") is None
    assert not (cache / "engines").exists()


def test_few_images_take_graphs_that_pay(trained, cache):
    chosen = opened(trained, cache, MANY, engine="auto")
    if chosen is None:
        pytest.skip("no engine is faster than torch on this machine")
    assert "against" in chosen.news
    again = opened(trained, cache, FEW, engine="auto")
    assert (again.engine, again.news) == (chosen.engine, "")


@pytest.mark.parametrize("asked", [{"engine": "torch"}, {"precision": "fp16", "engine": "auto"}])
def test_torch_is_left_to_torch(trained, cache, asked):
    assert opened(trained, cache, MANY, **asked) is None


def test_what_an_engine_does_not_compute_in_is_refused(trained, cache):
    with pytest.raises(InputError, match="does not compute in 'fp16'"):
        opened(trained, cache, MANY, precision="fp16")


def test_what_auto_chose_in_fp32_is_known_for_fp32(trained, cache, monkeypatch):
    """The choice for many formats holds for the one in it; one in bf16 says nothing of fp32."""
    load = once(lambda: trained)
    resolved = opening.resolve_weights(trained.name, trained.fingerprint, load, cache)
    for way, known in (("openvino bf16", None), ("openvino fp32", "openvino fp32")):
        choice = opening.Choice(way, "measured")
        opening.write_choice(resolved.store.path, "auto", "auto", choice)
        found = opening._remembered(resolved.store, "auto", "fp32")
        assert (found.way if found else None) == known


@pytest.mark.parametrize("work", [FEW, MANY], ids=["few", "many"])
def test_where_torch_was_chosen_no_weights_are_loaded_to_say_so(trained, cache, work):
    resolved = opening.resolve_weights(trained.name, trained.fingerprint, lambda: trained, cache)
    choice = opening.Choice("torch", "no other engine did better here")
    opening.write_choice(resolved.store.path, "auto", "fp32", choice)

    def load():
        pytest.fail("the weights were loaded")

    assert opened(trained, cache, work, engine="auto", load=load) is None

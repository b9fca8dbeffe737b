import logging

import pytest
import torch

from cliptune.encoders.compiling import CompiledWhenLong


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.Linear(8, 4))


@pytest.fixture
def compilations(monkeypatch):
    """Count what is compiled."""
    found = []
    real = torch.compile

    def compile_and_count(function, **options):
        found.append(options)
        return real(function, **options)

    monkeypatch.setattr(torch, "compile", compile_and_count)
    return found


def test_a_short_run_compiles_nothing(tower, compilations):
    wrapped = CompiledWhenLong(tower, seconds=60, backend="eager")
    images = torch.randn(5, 6)
    for _ in range(3):
        torch.testing.assert_close(wrapped(images), tower(images), rtol=0, atol=0)
    assert not compilations


def test_a_long_run_compiles_once_and_answers_alike(tower, compilations):
    wrapped = CompiledWhenLong(tower, seconds=1e-9, backend="aot_eager")
    for size in (5, 5, 5, 3, 5):  # 3: the last batch of a run
        images = torch.randn(size, 6)
        with torch.inference_mode():
            torch.testing.assert_close(wrapped(images), tower(images))
    assert len(compilations) == 1


def test_a_tower_that_cannot_be_compiled_runs_as_before(tower, caplog):
    def failing_compiler(graph, inputs):
        raise ValueError("no such instruction\nand a long trace")

    wrapped = CompiledWhenLong(tower, seconds=1e-9, backend=failing_compiler)
    images = torch.randn(5, 6)
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            torch.testing.assert_close(wrapped(images), tower(images))
    assert len(caplog.records) == 1
    assert "runs as before" in caplog.text


def test_too_little_memory_is_left_to_the_caller(tower):
    def greedy(graph, inputs):
        def run(*args):
            raise RuntimeError("CUDA out of memory")

        return run

    wrapped = CompiledWhenLong(tower, seconds=1e-9, backend=greedy)
    images = torch.randn(5, 6)
    wrapped(images)
    with pytest.raises(RuntimeError, match="out of memory"):
        wrapped(images)

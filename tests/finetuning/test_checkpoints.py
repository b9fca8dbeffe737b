"""One file holds the state of a run; it is whole at every moment."""

import subprocess
import sys

import pytest
import torch

from cliptune.errors import RunError
from cliptune.finetuning.checkpoints import (
    has_state,
    load_best,
    load_state,
    save_best,
    save_state,
)


def stepped(kind, n=3):
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 3)
    optimizer = (
        torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
        if kind == "adamw"
        else torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    )
    for _ in range(n):
        layer(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return layer, optimizer


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_weights_moments_generator_and_facts_come_back_bit_equal(tmp_path, kind):
    layer, optimizer = stepped(kind)
    facts = {"step": 7, "loss": 0.1 + 0.2, "best_epoch": None}
    save_state(tmp_path, dict(layer.named_parameters()), optimizer, facts)
    drawn = torch.randn(3)
    state = load_state(tmp_path)
    assert state.facts == facts
    assert all(torch.equal(state.weights[n], p) for n, p in layer.named_parameters())
    fresh_layer, fresh = stepped(kind, n=0)
    fresh_layer.load_state_dict(state.weights)
    fresh.load_state_dict({**fresh.state_dict(), "state": state.optimizer})
    for module, its in ((layer, optimizer), (fresh_layer, fresh)):
        module(torch.ones(1, 4)).sum().backward()
        its.step()
    assert torch.equal(layer.weight, fresh_layer.weight)
    torch.set_rng_state(state.generator)
    assert torch.equal(torch.randn(3), drawn)


def test_an_empty_folder_has_no_state(tmp_path):
    assert not has_state(tmp_path)
    with pytest.raises(RunError, match="cannot read the checkpoint"):
        load_state(tmp_path)


def test_a_cut_file_is_refused(tmp_path):
    layer, optimizer = stepped("sgd")
    save_state(tmp_path, dict(layer.named_parameters()), optimizer, {"best_epoch": None})
    file = tmp_path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(RunError, match="cannot read the checkpoint"):
        load_state(tmp_path)


def test_only_the_best_that_the_state_names_is_kept(tmp_path):
    layer, optimizer = stepped("sgd")
    weights = dict(layer.named_parameters())
    save_best(tmp_path, 1, weights)
    save_best(tmp_path, 3, weights)
    save_state(tmp_path, weights, optimizer, {"best_epoch": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-3.safetensors", "state.safetensors"]
    assert torch.equal(load_best(tmp_path, 3)["weight"], layer.weight)


def test_what_a_killed_writer_left_is_removed(tmp_path):
    layer, optimizer = stepped("sgd")
    save_state(tmp_path, dict(layer.named_parameters()), optimizer, {"best_epoch": None})
    (tmp_path / ".tmp-abc.safetensors").write_bytes(b"half")
    load_state(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


def test_channels_last_memory_is_stored_as_it_is(tmp_path):
    conv = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
    save_state(tmp_path, {"conv": conv.weight}, optimizer, {"best_epoch": None})
    assert torch.equal(load_state(tmp_path).weights["conv"], conv.weight)


FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from cliptune.errors import UnavailableError
from cliptune.finetuning.checkpoints import load_state, save_state
folder = Path(sys.argv[1])
small, large = {"w": torch.ones(10)}, {"w": torch.ones(100_000)}
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
save_state(folder, small, optimizer, {"best_epoch": None})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_state(folder, large, optimizer, {"best_epoch": None})
except UnavailableError as error:
    print(error)
assert torch.equal(load_state(folder).weights["w"], small["w"])
print(sorted(p.name for p in folder.iterdir()))
"""


def test_a_full_disk_ends_in_one_line_and_keeps_the_state_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    message, files = done.stdout.splitlines()
    assert message.startswith("cannot write")
    assert "state.safetensors" in message
    assert files == "['state.safetensors']"


@pytest.mark.parametrize(
    ("tensors", "facts"),
    [
        ({"generator": torch.zeros(3)}, None),
        ({"generator": torch.zeros(3)}, "[]"),
        ({"generator": torch.zeros(3)}, "{"),
        ({"weights/a": torch.zeros(3)}, "{}"),
        ({"generator": torch.zeros(3), "optimizer/x/step": torch.zeros(1)}, "{}"),
    ],
)
def test_a_state_that_lacks_something_is_one_line(tmp_path, tensors, facts):
    from safetensors.torch import save_file

    layer, optimizer = stepped("sgd")
    save_state(tmp_path, dict(layer.named_parameters()), optimizer, {"step": 1})
    (file,) = tmp_path.glob("*.safetensors")
    save_file(tensors, file, None if facts is None else {"facts": facts})
    with pytest.raises(RunError) as caught:
        load_state(tmp_path)
    assert "\n" not in str(caught.value)

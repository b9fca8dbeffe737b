"""Losses over two processes have the value and the gradients of one process."""

import subprocess
import sys

import torch

from cliptune.finetuning.gather import gather_rows

WORKER = """
import os, sys
import torch, torch.distributed as dist
from torch.nn.functional import normalize
from cliptune.finetuning.gather import average_gradients, gather_rows
from cliptune.finetuning.losses import class_aware_loss

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
data, words = torch.randn(7, 5), torch.randn(3, 5)
labels = torch.tensor([0, 1, 2, 0, 1, 2, 2])
image, text = torch.nn.Linear(5, 4), torch.nn.Linear(5, 4)
scale = torch.nn.Parameter(torch.tensor(2.0))
unused = torch.nn.Linear(2, 2)
slices, word_slices = (slice(0, 4), slice(4, 7)), (slice(0, 3), slice(3, 3))
rows = gather_rows(normalize(image(data[slices[rank]]), dim=-1), [4, 3])
texts = gather_rows(normalize(text(words[word_slices[rank]]), dim=-1), [3, 0])
loss = class_aware_loss(rows, texts[labels], labels, scale.exp())
loss.backward()
parameters = [*image.parameters(), *text.parameters(), scale, *unused.parameters()]
average_gradients(parameters, 2)
reference = class_aware_loss(
    normalize(image(data), dim=-1), normalize(text(words), dim=-1)[labels], labels, scale.exp()
)
found = [p.grad.clone() if p.grad is not None else None for p in parameters]
for p in parameters:
    p.grad = None
reference.backward()
torch.testing.assert_close(loss, reference)
for a, p in zip(found, parameters):
    if p.grad is None:
        assert a is None
    else:
        torch.testing.assert_close(a, p.grad)
dist.destroy_process_group()
print("equal")
"""


def test_one_process_gathers_nothing():
    rows = torch.randn(3, 2)
    assert gather_rows(rows, [3]) is rows


def test_uneven_shares_on_two_processes_give_the_gradients_of_one(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, str(script)]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for worker in workers:
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
        assert out.strip() == "equal"

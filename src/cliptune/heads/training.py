"""One gradient trainer for every head that needs one: a grid of heads at once, or one.

It knows nothing about any head or about a step: it cuts a grid into stacks that share their
batches and fit into memory.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from cliptune.errors import InputError
from cliptune.heads.contract import FitData
from cliptune.heads.options import Member, TrainingPlan
from cliptune.heads.stack_run import Stack, StackRun, Trained

__all__ = ["train_one", "train_stacked"]


def train_one(stack: Stack, data: FitData, member: Member, plan: TrainingPlan) -> Trained:
    """Train a single head: a stack of one."""
    return next(train_stacked(stack, data, [member], plan))


def train_stacked(
    stack: Stack, data: FitData, members: Sequence[Member], plan: TrainingPlan
) -> Iterator[Trained]:
    """Train a grid of heads, as many at once as share a seed and fit into memory.

    Heads of one seed see the same batches in the same order, which is what makes one matrix
    product of theirs; each seed is a stack of its own. A head that diverges or stops early
    does not change the others.

    Args:
        stack: The kind of head.
        data: Training rows, and validation rows for early stopping.
        members: Rates, weight decays and seeds.
        plan: What they have in common.

    Yields:
        The members of each stack when it ends, so that an interrupted caller keeps them.

    Raises:
        InputError: One head alone takes more than the memory allowed.
    """
    for group in _cut_into_stacks(stack, data, members, plan):
        yield from StackRun(stack, data, [(i, members[i]) for i in group], plan).train()


def _cut_into_stacks(
    stack: Stack, data: FitData, members: Sequence[Member], plan: TrainingPlan
) -> Iterator[list[int]]:
    by_seed: dict[int, list[int]] = defaultdict(list)
    for index, member in enumerate(members):
        by_seed[member.seed].append(index)
    bytes_per_head = _bytes_per_head(stack, data, plan)
    largest = plan.max_memory_bytes // bytes_per_head
    if largest < 1:
        raise InputError(
            f"max_memory_bytes is {plan.max_memory_bytes}, one head takes {bytes_per_head}; "
            "raise it or lower the batch size"
        )
    for indices in by_seed.values():
        for part in np.array_split(np.asarray(indices), math.ceil(len(indices) / largest)):
            yield part.tolist()


def _bytes_per_head(stack: Stack, data: FitData, plan: TrainingPlan) -> int:
    floats = sum(value.numel() for value in stack.start(0).values())
    copies = 1 + (1 if plan.optimizer == "sgd" else 3) + (data.validation is not None)
    return 4 * copies * floats + plan.batch_size * stack.bytes_per_row()

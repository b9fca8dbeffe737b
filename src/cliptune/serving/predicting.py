"""Images through the line: admitted, decoded, batched, answered, each by itself.

It knows items and runs, and not how they came or how the answer leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cliptune.serving.decoding import BadItemError, Decoder
from cliptune.serving.schemas import ItemError, LabelProbability, Prediction

if TYPE_CHECKING:
    from cliptune.serving.batching import Batcher, Ticket
    from cliptune.serving.intake import Item
    from cliptune.serving.schemas import PredictOptions
    from cliptune.serving.served import Answer, ServedRun

__all__ = ["Predictor", "Said", "to_prediction"]


@dataclass(frozen=True, eq=False)
class Said:
    """What became of an item.

    Attributes:
        name: What the client calls it.
        answer: A batch of one, or None where ``error`` says why not.
        error: What is wrong with it.
    """

    name: str | None
    answer: Answer | None
    error: BadItemError | None = None


class Predictor:
    """Decoding and batching behind one call.

    Args:
        decoder: Threads that decode.
        batcher: Lines before the encoders.
        timeout_seconds: Until an admitted request must be answered.
    """

    def __init__(self, decoder: Decoder, batcher: Batcher, timeout_seconds: float) -> None:
        self._decoder, self._batcher, self._timeout = decoder, batcher, timeout_seconds

    async def answer(self, items: Sequence[Item], run: ServedRun) -> list[Said]:
        """Answer every item.

        Raises:
            BusyError: There is no room for so many.
            TimeoutError: It took too long.
        """
        tickets = self._batcher.admit(len(items))
        tasks = []
        for item, ticket in zip(items, tickets, strict=True):
            task = asyncio.create_task(self._one(item, run, ticket))
            # not within the task: one that is cancelled before its first step does nothing at all
            task.add_done_callback(partial(self._leave, ticket))
            tasks.append(task)
        try:
            async with asyncio.timeout(self._timeout):
                return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def _leave(self, ticket: Ticket, task: asyncio.Task[Said]) -> None:
        del task  # which ended, in whatever way
        self._batcher.leave(ticket)

    async def _one(self, item: Item, run: ServedRun, ticket: Ticket) -> Said:
        try:
            pixels = await self._decoder.pixels(item, run)
            return Said(item.name, await self._batcher.answer(run, pixels, ticket))
        except BadItemError as error:
            return Said(item.name, None, error)


def to_prediction(said: Said, run: ServedRun, options: PredictOptions) -> Prediction:
    """Write down what is said of an item."""
    if said.answer is None:
        assert said.error is not None, "there is one of both"
        error = ItemError(code=said.error.code, message=str(said.error))
        return Prediction(name=said.name, labels=None, abstained=None, present=None, error=error)
    probabilities = said.answer.probabilities[0]
    best = np.argsort(-probabilities, kind="stable")[: options.top]
    embedding = said.answer.embeddings[0].tolist() if options.embeddings else None
    present = _present(probabilities, run, options)
    limit = run.threshold if options.threshold is None else options.threshold
    below = present is None and limit is not None and bool(probabilities[best[0]] < limit)
    return Prediction(
        name=said.name,
        labels=[
            LabelProbability(
                label=run.class_names[c],
                probability=float(probabilities[c]),
                present=None if present is None else bool(present[c]),
            )
            for c in best
        ],
        abstained=below,
        present=None if present is None else [run.class_names[c] for c in np.flatnonzero(present)],
        embedding=embedding,
    )


def _present(
    probabilities: NDArray[np.float64], run: ServedRun, options: PredictOptions
) -> NDArray[np.bool_] | None:
    """Return which labels are said, bool (C,); None where an image has one."""
    if run.thresholds is None:
        return None
    limits = np.array(run.thresholds) if options.threshold is None else options.threshold
    reached: NDArray[np.bool_] = probabilities >= limits
    return reached

"""How many images go through a tower together, by what batches were seen to take."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from cliptune.serving.batching import Batcher
from cliptune.serving.pace import Pace
from cliptune.serving.served import Answer, Tower


def with_costs(costs, max_batch=16):
    """Return a pace that has seen batches of these sizes cost so many seconds an image."""
    pace = Pace(max_batch)
    for size, cost in costs.items():
        pace.note(size, size * cost)
    return pace


def test_images_go_one_by_one_where_batches_gain_nothing():
    pace = with_costs(dict.fromkeys((1, 2, 4, 8, 16), 0.01))
    assert pace.size_for(16) == 1
    assert pace.worth_waiting_for == 1


def test_images_go_together_where_that_costs_less():
    pace = with_costs({1: 0.1, 2: 0.05, 4: 0.025, 8: 0.0125, 16: 0.00625})
    assert [pace.size_for(n) for n in (1, 2, 3, 7, 16, 40)] == [1, 2, 2, 4, 16, 16]
    assert pace.worth_waiting_for == 16


def test_the_smallest_of_sizes_that_are_as_good_is_taken():
    pace = with_costs({1: 0.02, 2: 0.0101, 4: 0.01, 8: 0.01, 16: 0.01})
    assert pace.size_for(16) == 2


def test_a_size_that_was_never_seen_is_tried_once_so_many_wait():
    pace = with_costs({1: 0.01, 2: 0.01})
    assert pace.size_for(5) == 4
    pace.note(4, 4 * 0.02)
    assert pace.size_for(5) == 1
    assert pace.worth_waiting_for == 1


def test_the_largest_size_is_the_one_allowed():
    assert Pace(12).size_for(100) == 12
    assert Pace(1).size_for(100) == 1


def test_what_a_tower_takes_is_followed():
    pace = with_costs({1: 0.01, 2: 0.01})
    for _ in range(30):
        pace.note(1, 0.05)
    assert pace.size_for(2) == 2


class Clock:
    """A tower that takes so long an image, by a clock that only it moves."""

    def __init__(self, costs):
        self.costs, self.now, self.sizes = costs, 0.0, []

    def __call__(self, size):
        self.sizes.append(size)
        self.now += size * self.costs.get(size, 0.0)


def measured(costs, monkeypatch):
    clock, pace = Clock(costs), Pace(16)
    monkeypatch.setattr("cliptune.serving.pace.time.perf_counter", lambda: clock.now)
    pace.measure(clock)
    return pace, clock.sizes


def test_every_size_is_run_before_it_is_measured(monkeypatch):
    pace, sizes = measured({1: 0.01, 2: 0.005, 4: 0.0025, 8: 0.001, 16: 0.0005}, monkeypatch)
    assert sizes == [size for size in (1, 2, 4, 8, 16) for _ in range(4)]
    assert pace.size_for(16) == 16


def test_sizes_that_gain_nothing_are_never_run(monkeypatch):
    pace, sizes = measured({1: 0.01, 2: 0.008, 4: 0.008}, monkeypatch)
    assert sizes == [1] * 4 + [2] * 4 + [4] * 4
    assert pace.size_for(16) == 2


def test_a_batch_that_other_work_held_up_does_not_make_larger_ones_look_cheaper(monkeypatch):
    clock, pace = Clock({1: 0.01, 2: 0.01}), Pace(16)
    monkeypatch.setattr("cliptune.serving.pace.time.perf_counter", lambda: clock.now)

    def run(size):
        clock(size)
        if len(clock.sizes) == 2:
            clock.now += 0.03

    pace.measure(run)
    assert clock.sizes == [1] * 4 + [2] * 4
    assert pace.size_for(16) == 1


def test_a_slow_tower_is_not_measured_for_long(monkeypatch):
    pace, sizes = measured({1: 0.2, 2: 0.15}, monkeypatch)
    assert sizes == [1, 1, 2, 2]
    assert pace.size_for(16) == 16  # to be learnt


class Counting:
    """A tower that says how many of its batches were computed at the same time."""

    def __init__(self):
        self.now, self.most, self.lock = 0, 0, threading.Lock()
        self.meeting = threading.Barrier(2, timeout=10)

    def __call__(self, pixels):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if len(pixels) == 1:
            self.meeting.wait()  # breaks where no second batch comes
        with self.lock:
            self.now -= 1
        return pixels.reshape(len(pixels), -1).astype(np.float32)


@pytest.mark.parametrize("on_cores", [True, False])
def test_batches_are_computed_side_by_side_where_a_tower_can(on_cores):
    counting = Counting()
    pace = with_costs({1: 0.01, 2: 0.01})
    tower = Tower(("a",), counting, pace, at_once=2 if on_cores else 1, on_cores=on_cores)
    run = SimpleNamespace(tower=tower, answer=lambda rows: Answer(rows.astype(float), rows))
    if not on_cores:
        counting.meeting = threading.Barrier(1)

    async def ask(pool):
        batcher = Batcher(cores=pool, max_wait_seconds=0, max_queue=10)
        pictures = [np.full((3, 2, 2), number, np.uint8) for number in range(8)]
        tickets = batcher.admit(len(pictures))
        answers = await asyncio.gather(
            *(
                batcher.answer(run, one, ticket)
                for one, ticket in zip(pictures, tickets, strict=True)
            )
        )
        await batcher.close()
        return answers

    with ThreadPoolExecutor(2) as pool:
        answers = asyncio.run(ask(pool))
    assert [int(one.embeddings[0, 0]) for one in answers] == list(range(8))
    assert counting.most == (2 if on_cores else 1)

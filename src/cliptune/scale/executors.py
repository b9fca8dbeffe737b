"""Who computes shards: processes on this machine.

An executor takes tasks and gives outcomes in whatever order they end. It knows nothing about
folders or jobs; a shard that was lost with its process is simply computed again.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import Synchronized

from cliptune.errors import InputError
from cliptune.scale.tasks import ShardOutcome, Task, run_task
from cliptune.system.parent import end_with_parent
from cliptune.system.processors import share_cores, usable_cores

__all__ = ["run_local"]

_ATTEMPTS = 3


def run_local(tasks: Iterable[Task], n_workers: int, *, n_gpus: int = 0) -> Iterator[ShardOutcome]:
    """Compute shards in processes of this machine, each on its share of the cores.

    A process that is killed takes its shard with it; the shard is computed again, at most three
    times in all.

    Args:
        tasks: What to compute.
        n_workers: Processes.
        n_gpus: CUDA devices that they take turns on.

    Raises:
        InputError: There are more than cores.
    """
    if n_workers > usable_cores():
        raise InputError(
            f"--workers {n_workers} came, but this process may use {usable_cores()} cores; use "
            f"{usable_cores()} or fewer"
        )
    upcoming = iter(tasks)
    attempts: dict[int, int] = {}
    lost: list[Task] = []
    while True:
        with _pool(n_workers, n_gpus) as pool:
            running: dict[Future[ShardOutcome], Task] = {}
            broken = yield from _drain(pool, running, upcoming, lost, n_workers)
        if not broken:
            return
        lost = []
        for task in running.values():
            attempts[task.number] = attempts.get(task.number, 0) + 1
            if attempts[task.number] < _ATTEMPTS:
                lost.append(task)
            else:
                yield ShardOutcome(
                    task.number, 0, 0.0, error=f"its process ended {_ATTEMPTS} times without a word"
                )


def _drain(
    pool: ProcessPoolExecutor,
    running: dict[Future[ShardOutcome], Task],
    upcoming: Iterator[Task],
    lost: list[Task],
    n_workers: int,
) -> Generator[ShardOutcome, None, bool]:
    """Keep a pool busy until there is no task left, or it broke; tell which."""
    try:
        while True:
            while len(running) < n_workers + 1:  # one waits, so that nobody does
                task = lost.pop() if lost else next(upcoming, None)
                if task is None:
                    break
                running[pool.submit(run_task, task)] = task
            if not running:
                return False
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                del running[future]
                yield outcome
    except BrokenProcessPool:
        return True


def _pool(n_workers: int, n_gpus: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        n_workers,
        mp_context=context,
        initializer=_begin_worker,
        initargs=(context.Value("i", 0), n_workers, n_gpus, os.getpid()),
    )


def _begin_worker(counter: Synchronized[int], n_workers: int, n_gpus: int, parent: int) -> None:
    """Take this worker's share of cores, or its GPU; end with the process that started it."""
    with counter.get_lock():
        place = counter.value
        counter.value += 1
    if not share_cores(n_workers) and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[place % n_workers :: n_workers])
    os.environ["OMP_NUM_THREADS"] = str(usable_cores())
    if n_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(place % n_gpus)
    end_with_parent(parent)

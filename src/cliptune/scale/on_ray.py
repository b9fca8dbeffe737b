"""Who computes shards: tasks of Ray, on this machine or on a cluster.

Ray schedules, runs a task again whose machine was lost, and reports. What is done is read from
the folder of the job, which all machines see at the same path.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

from cliptune.errors import InputError, MissingExtraError, UnavailableError
from cliptune.scale.tasks import ShardOutcome, Task, run_task

__all__ = ["require_ray", "run_on_ray"]

_ANSWER_SECONDS = 4.0
# What opens HTTP/2 (RFC 9113, 3.4), which a cluster's gRPC speaks: a preface, empty settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4  # the kind of frame that answers it; at the fourth byte
_RETRIES = 3
_LOOK_SECONDS = 0.5


def run_on_ray(
    tasks: Iterable[Task], n_workers: int, *, address: str | None, threads: int
) -> Iterator[ShardOutcome]:
    """Compute shards as Ray tasks, ``n_workers`` at a time.

    Args:
        tasks: What to compute.
        n_workers: Tasks at once.
        address: Of a cluster, ``HOST:PORT`` or ``auto``; None starts Ray here for the job alone.
        threads: Cores of each task.

    Raises:
        MissingExtraError: Ray is not installed.
        UnavailableError: No cluster answers at the address.
        InputError: The cluster has too few cores: such tasks would wait for ever.
    """
    ray = _connect(address)
    try:
        _require_cores(ray, n_workers, threads)
        remote = ray.remote(num_cpus=threads, max_retries=_RETRIES)(run_task)
        upcoming = iter(tasks)
        running: dict[Any, Task] = {}  # Any: Ray has no types
        while True:
            while len(running) < n_workers:
                task = next(upcoming, None)
                if task is None:
                    break
                running[remote.remote(task)] = task
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1, timeout=_LOOK_SECONDS)
            for reference in done:
                yield _outcome(ray, reference, running.pop(reference))
    finally:
        ray.shutdown()


def _outcome(ray: Any, reference: Any, task: Task) -> ShardOutcome:  # Any: Ray has no types
    try:
        outcome: ShardOutcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = (str(error).strip().splitlines() or ["lost by Ray"])[-1]
        of_task = ray.exceptions.RayTaskError, ray.exceptions.OutOfMemoryError
        lost = not isinstance(error, of_task)
        more = "; the next call computes it again" if lost else ""
        return ShardOutcome(task.number, 0, 0.0, error=reason + more, lost=lost)
    return outcome


def _connect(address: str | None) -> Any:  # Any: Ray has no types
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("scale", "--executor ray") from error
    if address is not None:
        _require_answer(address)
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, OSError, ValueError) as error:
        raise UnavailableError(
            f"no Ray cluster can be used at {address or 'this machine'} "
            f"({str(error).splitlines()[0]}); start one with 'ray start --head', or leave "
            "--address out"
        ) from error
    return ray


def require_ray(address: str | None) -> None:
    """Make sure that Ray is here and that something answers at an address; nothing is started.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: The address is none.
        UnavailableError: Nothing answers there, or something else than a cluster.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("scale", "--executor ray")
    if address is not None:
        _require_answer(address)


def _require_answer(address: str) -> None:
    """Knock at a cluster's door first: Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise InputError(f"--address {address!r} came; expected HOST:PORT, or auto")
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS) as door:
            _require_grpc(door)
    except (OSError, OverflowError) as error:
        raise UnavailableError(
            f"nothing answers at --address {address} ({error}); start a cluster there with 'ray "
            "start --head', or leave --address out"
        ) from error


def _require_grpc(door: socket.socket) -> None:
    """Greet whoever listens, unless it wants encryption.

    Raises:
        OSError: It says nothing, or something else than a server of gRPC.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return
    door.sendall(_HELLO)
    answer = b""
    while len(answer) < 4 and (more := door.recv(9)):
        answer += more
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise ConnectionError("what listens there is no Ray cluster")


def _require_cores(ray: Any, n_workers: int, threads: int) -> None:
    """Refuse what could never start: Ray would wait for it without a word."""
    cores = int(ray.cluster_resources().get("CPU", 0))
    if n_workers * threads > cores:
        raise InputError(
            f"--workers {n_workers} of {threads} cores each came, but the cluster has {cores} "
            f"cores; use --workers {max(1, cores // threads)} or fewer"
        )

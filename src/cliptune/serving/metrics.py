"""What a server counts, in the format of Prometheus.

It knows the client library and the names of the series.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARED = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The series of one worker; with several, ``render`` adds them up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "cliptune_requests", "Requests by path and status", ("path", "status"),
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "cliptune_request_seconds", "From a request's first byte to its answer", ("path",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.images = Counter(
            "cliptune_images", "Images by run and what became of them", ("run", "outcome"),
            registry=self._registry,
        )  # fmt: skip
        self.batch_size = Histogram(
            "cliptune_batch_size", "Images that went through an encoder together",
            buckets=_SIZES, registry=self._registry,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "cliptune_batch_seconds", "What a batch took", buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.under_way = Gauge(
            "cliptune_images_under_way", "Images that wait or are worked on",
            registry=self._registry, multiprocess_mode="livesum",
        )  # fmt: skip

    def note_batch(self, size: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_size.observe(size)
        self.batch_seconds.observe(seconds)

    def render(self) -> bytes:
        """Return all series as text."""
        if _SHARED not in os.environ:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # its own
        return generate_latest(shared)

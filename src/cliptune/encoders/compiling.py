"""A tower that is compiled once it has run for as long as compiling it takes.

It knows nothing about models: it turns a function of one tensor into another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch

from cliptune.encoders.out_of_memory import is_out_of_memory

__all__ = ["COMPILE_SECONDS", "CompiledWhenLong"]

_LOG = logging.getLogger(__name__)
COMPILE_SECONDS = 45.0
_Tower = Callable[[torch.Tensor], torch.Tensor]


class CompiledWhenLong:
    """Runs a tower as it is at first, then through ``torch.compile``.

    Nobody knows beforehand how many images will come. Waiting until a compilation would have
    been paid for costs at most twice what the better choice would have cost. Only the batch
    shape that came last before compiling is compiled for; others, such as the last batch of a
    run, go the usual way.

    Args:
        tower: Maps (B, ...) to (B, D).
        seconds: Time of the tower, in all, before it is compiled.
        backend: As ``torch.compile`` takes it.
    """

    def __init__(
        self, tower: _Tower, *, seconds: float = COMPILE_SECONDS, backend: str = "inductor"
    ) -> None:
        self._tower, self._left, self._backend = tower, seconds, backend
        self._compiled: _Tower | None = None
        self._shape: torch.Size | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the tower's output, to within the rounding of the images' dtype."""
        if self._compiled is None and self._left <= 0:
            self._compiled, self._shape = self._compile(), images.shape
        if self._compiled is not None and images.shape == self._shape:
            return self._run_compiled(self._compiled, images)
        if self._compiled is not None:
            return self._tower(images)
        start = time.perf_counter()
        out = self._tower(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)  # no loss: the rows are read next
        self._left -= time.perf_counter() - start
        return out

    def _compile(self) -> _Tower:
        _LOG.info("compiling the image tower: the run is long enough to pay for it")
        compiled: _Tower = torch.compile(self._tower, backend=self._backend, dynamic=False)
        return compiled

    def _run_compiled(self, compiled: _Tower, images: torch.Tensor) -> torch.Tensor:
        try:
            return compiled(images)
        except Exception as error:  # compilers raise many kinds
            if is_out_of_memory(error):
                raise
            _LOG.warning("the image tower was not compiled, it runs as before: %s", _line(error))
        self._compiled = self._tower
        return self._tower(images)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""The runs that are served, and newer ones taking their place while requests go on.

It knows folders and runs at work, and nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cliptune.errors import CliptuneError, UnknownNameError
from cliptune.serving.opening import folder_state, open_served

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.serving.served import ServedRun
    from cliptune.serving.settings import ServeSettings

__all__ = ["Registry"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Place:
    """A folder that is served.

    Attributes:
        run: What answers.
        state: Of the folder when it was last looked at.
        problem: Why a newer run there is not used.
    """

    run: ServedRun
    state: tuple[int, ...] | None
    problem: str | None = None


class Registry:
    """Runs by name. A run is replaced in one step: requests that began with the old end with it.

    Args:
        settings: Folders, engine and cache.
        on_change: Told the keys of all towers when a run took the place of another.
    """

    def __init__(
        self,
        settings: ServeSettings,
        on_change: Callable[[set[tuple[str, ...]]], None] = lambda towers: None,
    ) -> None:
        self._settings, self._on_change = settings, on_change
        self._encoders: dict[tuple[str, ...], DualEncoder] = {}
        self._places: dict[str, _Place] = {}

    def open_all(self) -> None:
        """Open every run.

        Raises:
            CliptuneError: One cannot be opened.
        """
        for name, folder in self._settings.runs.items():
            state = folder_state(folder)
            run = self._open(name, folder)
            self._places[name] = _Place(run, state)

    @property
    def runs(self) -> Mapping[str, ServedRun]:
        """The runs that answer, by name."""
        return {name: place.run for name, place in self._places.items()}

    @property
    def problems(self) -> Mapping[str, str | None]:
        """Why a newer run is not used, by name."""
        return {name: place.problem for name, place in self._places.items()}

    def find(self, name: str | None) -> ServedRun:
        """Return a run by its name, or the only one.

        Raises:
            UnknownNameError: There is no such run, or several and no name.
        """
        if name is None and len(self._places) == 1:
            return next(iter(self._places.values())).run
        if name is None or name not in self._places:
            raise UnknownNameError("run", name or "", self._places)
        return self._places[name].run

    async def keep_up(self) -> None:
        """Look at the folders again and again, until cancelled."""
        while self._settings.reload_seconds:
            await asyncio.sleep(self._settings.reload_seconds)
            for name in self._places:
                await self._look(name)

    async def _look(self, name: str) -> None:
        """Open what has come into a folder, once; keep what was there where that is broken."""
        before, folder = self._places[name], self._settings.runs[name]
        state = folder_state(folder)
        if state == before.state:
            return
        try:
            run = await asyncio.to_thread(self._open, name, folder)
        except CliptuneError as error:
            problem = " ".join(str(error).split())
            _LOG.warning("%s goes on as it was: %s", name, problem)
            self._places[name] = _Place(before.run, state, problem)
            return
        _LOG.warning("%s was replaced: %s", name, run.digest[:12])
        self._places[name] = _Place(run, state)
        self._drop_unused()
        self._on_change({place.run.tower.key for place in self._places.values()})

    def _open(self, name: str, folder: str) -> ServedRun:
        """Open a run, and let it answer: graphs are read and set up before anybody waits."""
        run = open_served(name, folder, self._settings, self._encoders)
        _answer_nothing(run, 1)
        towers = [place.run.tower for place in self._places.values()]
        alike = next((tower for tower in towers if tower == run.tower), None)
        if alike is not None:  # others wait meanwhile, and would wait longer
            return replace(run, tower=replace(run.tower, pace=alike.pace))
        side_by_side = run.tower.at_once
        with ThreadPoolExecutor(side_by_side) as pool:
            run.tower.pace.measure(
                lambda size: list(pool.map(partial(_answer_nothing, run), [size] * side_by_side))
            )
        return run

    def _drop_unused(self) -> None:
        """Forget encoders that no run has any more."""
        used = {place.run.tower.key[0] for place in self._places.values()}
        for key in [key for key in self._encoders if key[0] not in used]:
            del self._encoders[key]


def _answer_nothing(run: ServedRun, size: int) -> None:
    run.answer(run.tower.run(np.zeros((size, *run.preprocess.shape), dtype=np.uint8)))

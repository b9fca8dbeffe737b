"""Views: lists of images that stay as they are while people act on them, and their tiles.

It knows workbenches and schemas, and nothing about HTTP.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cliptune.annotations import Act
from cliptune.app.page_schemas import Detail, Probable, Said, Tile, Tiles, ViewOut
from cliptune.app.workbench import Workbench
from cliptune.errors import InputError

__all__ = ["Views", "make_detail", "make_tiles"]

_KEPT = 64
_TOP = 5
_NEIGHBOURS = 12


class Views:
    """The lists that were asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[NDArray[np.int64], Mapping[int, str]]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, rows: NDArray[np.int64], why: Mapping[int, str] | None = None) -> ViewOut:
        """Keep a list of rows and return its name.

        Args:
            rows: int64, in their order.
            why: For some rows the reason why they are in the list.
        """
        name = secrets.token_hex(8)
        with self._lock:
            self._kept[name] = (rows, why or {})
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ViewOut(view=name, total=len(rows))

    def tiles(self, bench: Workbench, view: str, offset: int, limit: int) -> Tiles:
        """Return a stretch of a list.

        Raises:
            InputError: The list is no longer kept.
        """
        with self._lock:
            if view not in self._kept:
                raise InputError("that list is no longer kept; ask for it again")
            self._kept.move_to_end(view)
            rows, why = self._kept[view]
        some = rows[offset : offset + limit]
        some = some[some < len(bench.codes)]
        return Tiles(offset=offset, total=len(rows), tiles=make_tiles(bench, some.tolist(), why))


def make_tiles(
    bench: Workbench, rows: Sequence[int], why: Mapping[int, str] | None = None
) -> list[Tile]:
    """Return images as the grid shows them.

    What is believed of images of the locked test is not shown before it was opened.
    """
    beliefs, standing = bench.beliefs(), bench.project.journal.standing
    sources, contents = bench.project.source.sources, bench.project.contents
    tiles = []
    for row in rows:
        code = int(bench.codes[row])
        shown = beliefs if beliefs and (beliefs.opened or not bench.test[row]) else None
        best = -1 if shown is None else int(shown.probabilities[row].argmax())
        tiles.append(
            Tile(
                content=contents[row],
                id=sources[row].id,
                label=bench.class_names[code] if code >= 0 else None,
                mark=bench.marks[row],
                test=bool(bench.test[row]),
                predicted=None if shown is None else shown.class_names[best],
                probability=None if shown is None else float(shown.probabilities[row, best]),
                abstains=shown is not None and bool(shown.abstains[row]),
                conflict=standing.conflict(contents[row]) is not None,
                why=(why or {}).get(row, ""),
            )
        )
    return tiles


def make_detail(bench: Workbench, image: str) -> Detail:
    """Return all that is known of an image.

    Raises:
        InputError: There is no such image.
    """
    row = bench.project.row_of.get(image)
    if row is None:
        raise InputError(f"{image!r:.80} is no image here; reload the page")
    beliefs, standing = bench.beliefs(), bench.project.journal.standing
    top: list[Probable] = []
    if beliefs is not None and (beliefs.opened or not bench.test[row]):
        shares = beliefs.probabilities[row]
        top = [
            Probable(label=beliefs.class_names[c], probability=float(shares[c]))
            for c in np.argsort(-shares, kind="stable")[:_TOP].tolist()
        ]
    code = int(bench.source_codes[row])
    conflict = standing.conflict(image)
    return Detail(
        tile=make_tiles(bench, [row])[0],
        path=bench.project.source.sources[row].location,
        data_label=bench.class_names[code] if code >= 0 else None,
        top=top,
        neighbours=make_tiles(bench, bench.lookups.neighbours(row, _NEIGHBOURS)),
        history=[
            Said(
                act=act.number,
                who=act.who,
                when=act.when,
                answer=_answer(act),
                undone=standing.is_undone(act),
            )
            for act in standing.history(image)
        ],
        conflict=""
        if conflict is None
        else f"{conflict.first.who} said {_answer(conflict.first)}, and {conflict.second.who}, "
        f"who had not seen it, {_answer(conflict.second)}: label it again to settle it",
    )


def _answer(act: Act) -> str:
    if act.answer is None:
        return ""
    return act.answer.label if act.answer.mark == "label" else f"({act.answer.mark})"

"""One run of ``map``: the numbers, the points and the figures, in a finished run directory.

It knows maps and files, and nothing about how options are read or results shown.

::

    RUN/
      numbers.json, points.parquet     the map; figures can be drawn from them again
      map.svg, map.png, map.html       the figures; shift.svg, shift.png with ``--shift``
      metrics.json                     what is reported
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cliptune.images import ImageTable
from cliptune.modality_gap import ModalityMap, atlas_arguments, render_map, save_map
from cliptune.runs import RunDir
from cliptune.workflows.map_views import Viewer

__all__ = ["write_map_run"]

Json = dict[str, Any]  # Any: plain JSON values


def write_map_run(
    place: Path,
    result: ModalityMap,
    *,
    asked: Mapping[str, Any],  # Any: plain JSON values
    table: ImageTable,
    viewers: Sequence[Viewer],
    computing: Mapping[str, Any],  # Any: plain JSON values
    for_atlas: bool = False,
) -> Json:
    """Save and draw a map, and fill a run directory.

    Args:
        place: Where the run goes.
        result: The map.
        asked: The options that made it.
        table: Its images.
        viewers: Who looked at them.
        computing: Engine and precision of the first viewer, and how many rows were checked.
        for_atlas: Also report the command that opens the points in Embedding Atlas.

    Returns:
        What is reported, as plain JSON values.

    Raises:
        RunError: The place holds something else.
        MissingExtraError: plotly is not installed.
        UnavailableError: The place cannot be written to.
    """
    config = {"command": "map", **asked, "views": [_describe(viewer) for viewer in viewers]}
    run = RunDir.create(place, {**config, "data_digest": table.digest()})
    points = save_map(result, run.path)["points"]
    figures = render_map(result, run.path)
    reported = {
        "task": "map",
        **asked,
        **computing,
        **result.numbers,
        "templates": {viewer.name: list(viewer.templates) for viewer in viewers},
        "figures": {kind: str(path) for kind, path in figures.items()},
        "points": str(points),
        "run": str(place),
    }
    if for_atlas:
        reported["atlas"] = atlas_arguments(points)
    run.write_json("metrics.json", reported)
    run.finish({"seed": result.numbers["seed"], "data_digest": table.digest(), **computing})
    return reported


def _describe(viewer: Viewer) -> Json:
    encoder = viewer.encoder
    return {
        "name": viewer.name,
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "precision": encoder.precision,
        "templates": list(viewer.templates),
        "run": None if viewer.run is None else str(viewer.run.path),
    }

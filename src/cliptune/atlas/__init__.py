"""Maps of images and texts in one space: the modality gap, before and after.

This package knows nothing about encoders, runs or commands: it sees unit vectors, groups and
names. ``build_map`` turns them into numbers and places, ``save_map`` keeps those, and
``render_map`` draws what was kept.
"""

from cliptune.atlas.build import build_map
from cliptune.atlas.inputs import MapInputs, MapOptions, MapView
from cliptune.atlas.render import render_map
from cliptune.atlas.result import MapResult, atlas_arguments, load_map, save_map
from cliptune.atlas.retrieval import RetrievalScores, score_retrieval

__all__ = [
    "MapInputs",
    "MapOptions",
    "MapResult",
    "MapView",
    "RetrievalScores",
    "atlas_arguments",
    "build_map",
    "load_map",
    "render_map",
    "save_map",
    "score_retrieval",
]

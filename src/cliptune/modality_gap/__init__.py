"""Maps of images and texts in one space: the modality gap, before and after.

This package knows nothing about encoders, runs or commands: it sees unit vectors, groups and
names. ``build_map`` turns them into numbers and places, ``save_map`` keeps those, and
``render_map`` draws what was kept.
"""

from cliptune.modality_gap.build import build_map
from cliptune.modality_gap.inputs import MapInputs, MapOptions, MapView
from cliptune.modality_gap.render import render_map
from cliptune.modality_gap.result import ModalityMap, atlas_arguments, load_map, save_map
from cliptune.modality_gap.retrieval import RetrievalScores, score_retrieval

__all__ = [
    "MapInputs",
    "MapOptions",
    "MapView",
    "ModalityMap",
    "RetrievalScores",
    "atlas_arguments",
    "build_map",
    "load_map",
    "render_map",
    "save_map",
    "score_retrieval",
]

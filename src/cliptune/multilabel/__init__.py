"""Images with several labels: one answer a class, from the same cached features.

Labels and features go in, answers with intervals come out. It knows nothing about encoders.
"""

from __future__ import annotations

from cliptune.multilabel.calibration import Calibration, fit_calibration
from cliptune.multilabel.choosing import ChosenLabels, choose_labels
from cliptune.multilabel.metrics import LabelScores, LabelSetMetrics, score_label_sets
from cliptune.multilabel.scorers import LinearScorer
from cliptune.multilabel.truth import membership

__all__ = [
    "Calibration",
    "ChosenLabels",
    "LabelScores",
    "LabelSetMetrics",
    "LinearScorer",
    "choose_labels",
    "fit_calibration",
    "membership",
    "score_label_sets",
]

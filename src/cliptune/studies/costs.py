"""What the sections of a study cost that do not adapt to the budget, from sizes.

The constants were measured on two cores; a study corrects them by what its sections take. It
knows nothing about plans.
"""

from __future__ import annotations

from collections.abc import Mapping

from cliptune.prompts import load_template_set
from cliptune.studies.section_specs import SECTIONS
from cliptune.studies.speed import Speed
from cliptune.studies.study_data import StudyData

__all__ = ["RATES_IMAGES", "fixed_costs", "largest_sweep", "template_sets"]

RATES_IMAGES = 4000  # more would not move the best rate by much
_FEWEST_RATES_IMAGES = 200
_TEMPLATE_SETS = ("single", "simple", "openai")
_TEXT_SHARE = 0.2  # of the budget that texts of one template set may take
# Seconds of work that is not embedding: for each training image, dimension and class.
_HEADS_PER_NUMBER = 6e-8
_RATES_PER_SQUARE = 1.1e-7  # for each image: two layers of D x D, all rates and seeds, 20 epochs


def template_sets(
    n_classes: int, speeds: Mapping[str, Speed], budget_seconds: float
) -> tuple[list[str], float]:
    """Return the template sets whose texts fit, and the seconds that embedding them takes."""
    names: list[str] = []
    total = 0.0
    for name in _TEMPLATE_SETS:
        n_texts = n_classes * len(load_template_set(name).templates)
        seconds = sum(n_texts / speed.texts for speed in speeds.values())
        if not names or seconds <= _TEXT_SHARE * budget_seconds:
            names.append(name)
            total += seconds
    return names, total


def fixed_costs(subject: StudyData, text_seconds: float) -> dict[str, float]:
    """Return the seconds of each section that does not adapt to the budget."""
    n, n_views = len(subject.table), len(subject.views)
    size = n * subject.views[0].vectors.shape[1] * len(subject.table.class_names)
    costs = {
        name: n_views * (spec.seconds + spec.seconds_per_image * n)
        for name, spec in SECTIONS.items()
        if spec.rank is not None
    }
    costs["heads"] += n_views * _HEADS_PER_NUMBER * size
    costs["rates"] += min(n, RATES_IMAGES) * _rates_per_image(subject)
    costs["zero-shot"] += text_seconds
    return costs


def largest_sweep(
    subject: StudyData, seconds: float, room: float, pace: float
) -> tuple[int, float]:
    """Return how many images the sweep of added layers can learn from, and its seconds.

    Args:
        subject: The data.
        seconds: What it takes with as many as it would use.
        room: What there is.
        pace: How many times as long as expected sections take here.
    """
    if seconds <= room:
        return RATES_IMAGES, seconds
    per_image = pace * _rates_per_image(subject)
    used = min(len(subject.table), RATES_IMAGES)
    fixed = seconds - used * per_image
    fits = int((room - fixed) / per_image)
    if fits < min(used, max(_FEWEST_RATES_IMAGES, 4 * len(subject.table.class_names))):
        return RATES_IMAGES, seconds
    return fits, fixed + fits * per_image


def _rates_per_image(subject: StudyData) -> float:
    squares = sum(int(view.vectors.shape[1]) ** 2 for view in subject.views)
    return _RATES_PER_SQUARE * squares

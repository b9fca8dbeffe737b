import numpy as np
import pytest

from cliptune.evaluation.metrics import Score
from cliptune.evaluation.significance import compare_correct
from cliptune.modality_gap.verdict import describe_change, describe_gap, direction


def score(value, half_width=0.01):
    return Score(value, value - half_width, value + half_width, 100, "test")


def comparison(difference):
    """Two classifiers on 1,000 images whose accuracy differs by this."""
    first = np.arange(1000) < 500
    second = np.arange(1000) < 500 + 1000 * difference
    return compare_correct(first, second)


def change(distance, accuracy):
    before, after = score(0.8), score(0.8 + distance)
    changes = {"centroid_distance": score(distance)}
    return describe_change(
        {"centroid_distance": before}, {"centroid_distance": after}, changes, comparison(accuracy)
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(0.2, 1), (-0.2, -1), (0.005, 0), (-0.005, 0), (0.01, 0)]
)
def test_a_direction_needs_an_interval_without_zero(value, expected):
    assert direction(score(value)) == expected


@pytest.mark.parametrize(
    ("distance", "accuracy", "words"),
    [
        (-0.2, 0.1, "smaller gap came with a better classifier, which proves no cause"),
        (-0.2, 0.0, "smaller gap came with no measurably better or worse classifier: a smaller"),
        (-0.2, -0.1, "smaller gap came with a worse classifier: a smaller gap is not by itself"),
        (0.2, 0.1, "larger gap came with a better classifier"),
        (0.2, -0.1, "larger gap came with a worse classifier"),
        (0.001, 0.1, "a gap that did not measurably change came a better classifier"),
        (0.001, 0.0, "came no measurably better or worse classifier"),
    ],
)
def test_the_conclusion_follows_from_the_numbers(distance, accuracy, words):
    verdict = change(distance, accuracy)
    assert words in verdict
    assert "arXiv:2603.29080" in verdict


def test_an_unmoved_space_has_no_part_in_a_better_classifier():
    at, still = {"centroid_distance": score(0.8)}, {"centroid_distance": score(0.0, 0.0)}
    verdict = describe_change(at, at, still, comparison(0.1))
    assert verdict.startswith("Images and texts lie exactly where they lay")
    assert "Accuracy rose, by +10.0 points" in verdict
    assert "The gap has no part in it" in verdict


def test_says_by_how_much():
    verdict = change(-0.2, 0.1)
    assert "fell, from 0.8 to 0.6 (-0.2, 95 % interval -0.21 to -0.19)" in verdict
    assert "Accuracy rose, by +10.0 points" in verdict


def test_disagreeing_measures_of_structure_are_called_so():
    names = ("centroid_distance", "similarity_correlation", "linear_cka")
    before = dict.fromkeys(names, score(0.5))
    changes = dict(zip(names, (score(0.0), score(0.1), score(-0.1)), strict=True))
    assert "disagree" in describe_change(before, before, changes, None)
    changes["linear_cka"] = score(0.0)
    assert "arranged more alike" in describe_change(before, before, changes, None)
    changes["similarity_correlation"] = score(0.0)
    assert "no measurable change in how alike" in describe_change(before, before, changes, None)


def test_captions_are_judged_by_recall():
    names = ("centroid_distance", "image_to_text_recall_at_1")
    before = dict.fromkeys(names, score(0.5))
    changes = dict(zip(names, (score(-0.1), score(0.2)), strict=True))
    verdict = describe_change(before, before, changes, None)
    assert "Recall at 1 from images to texts rose" in verdict
    assert "smaller gap came with a better retrieval" in verdict


def test_nothing_to_judge_by_is_said():
    numbers = {"centroid_distance": score(0.5)}
    assert "Without labels" in describe_change(numbers, numbers, numbers, None)


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        (0.0, "no more alike than chance"),
        (0.2, "weakly"),
        (0.5, "partly"),
        (0.7, "largely"),
        (0.95, "almost identically"),
    ],
)
def test_reading_grades_the_agreement(agreement, words):
    numbers = {
        "centroid_distance": score(0.8),
        "centroid_share": score(0.25),
        "similarity_correlation": score(agreement),
    }
    reading = describe_gap(numbers)
    assert words in reading
    assert "0.800 apart, 25.0 % of the total spread" in reading


def test_reading_admits_too_few_groups():
    numbers = {"centroid_distance": score(0.8), "centroid_share": score(0.25)}
    assert "too few groups" in describe_gap(numbers)

"""The numbers in words, by rule.

It knows nothing about vectors. A change is named only when its interval leaves zero out;
everything else is "no measurable change".
"""

from __future__ import annotations

from collections.abc import Mapping

from cliptune.evaluation.metrics import Score
from cliptune.evaluation.significance import Comparison
from cliptune.system.formatting import percent, points

__all__ = ["describe_change", "describe_gap", "direction"]

_CAUTION = "a smaller gap is not by itself a better classifier (arXiv:2603.29080)"


def direction(change: Score | Comparison) -> int:
    """Return -1, 0 or 1: on which side of zero the whole 95 % interval lies."""
    return (change.low > 0) - (change.high < 0)


def describe_gap(numbers: Mapping[str, Score]) -> str:
    """Say whether images and texts lie apart and whether they are arranged alike."""
    distance, share = numbers["centroid_distance"], numbers["centroid_share"]
    sentences = [
        f"The centroids of images and texts are {distance.value:.3f} apart, "
        f"{percent(share.value)} of the total spread"
    ]
    probe = numbers.get("modality_separability")
    if probe is not None:
        sentences[0] += f"; a linear probe tells them apart {percent(probe.value)} of the time"
    agreement = numbers.get("similarity_correlation")
    if agreement is None:
        sentences.append("There are too few groups to say whether both are arranged alike")
    else:
        sentences.append(
            f"Among themselves the two are arranged {_likeness(agreement)}: their similarities "
            f"correlate at {_number(agreement)}"
        )
    if "linear_cka" in numbers:
        sentences[-1] += f" and linear CKA is {_number(numbers['linear_cka'])}"
    return ". ".join(sentences) + "."


def describe_change(
    before: Mapping[str, Score],
    after: Mapping[str, Score],
    change: Mapping[str, Score],
    accuracy: Comparison | None,
) -> str:
    """Say what changed, by how much, and what it did to the classifier.

    Args:
        before: Numbers of the first view.
        after: Numbers of the second.
        change: After minus before.
        accuracy: The classifiers on the same images; with captions there is none, and recall
            at 1 from images to texts stands in its place.
    """
    quality = accuracy or change.get("image_to_text_recall_at_1")
    told = _quality_sentence(before, after, change, accuracy)
    if all(score.value == score.low == score.high == 0 for score in change.values()):
        return (
            f"Images and texts lie exactly where they lay; only the classifier differs. {told} "
            f"The gap has no part in it; {_CAUTION}."
        )
    sentences = [
        _sentence("The centroid distance", "centroid_distance", before, after, change),
        _sentence(
            "What differs once the centroids meet (centred MMD)",
            "mmd_squared_centred",
            before,
            after,
            change,
        ),
        _structure_sentence(before, after, change),
        told,
    ]
    sentences.append(_conclusion(change["centroid_distance"], quality, accuracy is not None))
    return " ".join(sentence for sentence in sentences if sentence)


def _likeness(agreement: Score) -> str:
    if agreement.low <= 0:
        return "no more alike than chance"
    bounds = ((0.3, "weakly alike"), (0.6, "partly alike"), (0.85, "largely alike"))
    return next((word for bound, word in bounds if agreement.value < bound), "almost identically")


def _sentence(
    subject: str,
    name: str,
    before: Mapping[str, Score],
    after: Mapping[str, Score],
    change: Mapping[str, Score],
) -> str:
    if name not in change:
        return ""
    verb = {-1: "fell", 0: "did not measurably change", 1: "rose"}[direction(change[name])]
    return (
        f"{subject} {verb}, from {before[name].value:.3g} to {after[name].value:.3g} "
        f"({_signed(change[name])})."
    )


def _structure_sentence(
    before: Mapping[str, Score], after: Mapping[str, Score], change: Mapping[str, Score]
) -> str:
    known = [n for n in ("similarity_correlation", "linear_cka") if n in change]
    if not known:
        return ""
    signs = {direction(change[n]) for n in known}
    if signs == {0}:
        verdict = "no measurable change in how alike they are arranged"
    elif 1 in signs and -1 in signs:
        verdict = "the two measures of how alike they are arranged disagree"
    else:
        verdict = f"images and texts are arranged {'more' if 1 in signs else 'less'} alike"
    titles = {"similarity_correlation": "correlation of similarities", "linear_cka": "linear CKA"}
    details = "; ".join(
        f"{titles[n]} {before[n].value:.3g} to {after[n].value:.3g}, {_signed(change[n])}"
        for n in known
    )
    return f"Structure: {verdict} ({details})."


def _quality_sentence(
    before: Mapping[str, Score],
    after: Mapping[str, Score],
    change: Mapping[str, Score],
    accuracy: Comparison | None,
) -> str:
    if accuracy is None:
        return _sentence(
            "Recall at 1 from images to texts",
            "image_to_text_recall_at_1",
            before,
            after,
            change,
        )
    verb = {-1: "fell", 0: "did not measurably change", 1: "rose"}[direction(accuracy)]
    return f"Accuracy {verb}, by {points(accuracy)}."


def _conclusion(gap: Score, quality: Score | Comparison | None, classifies: bool) -> str:
    what = "classifier" if classifies else "retrieval"
    if quality is None:
        return f"Without labels nothing here says which is the better model: {_CAUTION}."
    moved, better = direction(gap), direction(quality)
    outcome = {
        -1: f"a worse {what}",
        0: f"no measurably better or worse {what}",
        1: f"a better {what}",
    }[better]
    if moved == 0:
        return f"With a gap that did not measurably change came {outcome}; {_CAUTION}."
    size = "smaller" if moved < 0 else "larger"
    if moved < 0 and better <= 0:
        return f"So here the {size} gap came with {outcome}: {_CAUTION}."
    return f"So here the {size} gap came with {outcome}, which proves no cause: {_CAUTION}."


def _signed(change: Score) -> str:
    return f"{change.value:+.3g}, 95 % interval {change.low:+.3g} to {change.high:+.3g}"


def _number(score: Score) -> str:
    return f"{score.value:.2f} (95 % interval {score.low:.2f} to {score.high:.2f})"

"""A recommendation in words.

It knows the answer and the score of the test, and nothing about how either came about.
"""

from __future__ import annotations

from cliptune.evaluation.metrics import Score
from cliptune.selection.answer import Answer
from cliptune.system.formatting import change, change_interval, count, interval, percent

__all__ = ["recommendation"]

_OF = {
    "accuracy": "",
    "balanced-accuracy": " of balanced accuracy",
    "macro-f1": " of macro F1",
}


def recommendation(answer: Answer, test: Score | None) -> str:
    """Say in one or two plain sentences what to ship, and why.

    Args:
        answer: The rule's.
        test: Accuracy of the recommended method on the locked test; None where there is none.
    """
    if answer.method is None or test is None:
        return (
            "Nothing is recommended: no method is measurably better than always naming the "
            f"commonest class; {answer.best} comes nearest. Look at the labels."
        )
    score = (
        f"{percent(test.value)} on the locked test (95 % interval {interval(test.low, test.high)}, "
        f"n = {count(test.n)})"
    )
    if answer.gain.n == 0:
        return (
            f"Too few labels to compare anything: {answer.method} is a guess and reaches {score}. "
            "Two images of a class are the least that can tell."
        )
    if answer.answer == "do-not-train":
        return f"Do not train: {_why_not(answer)}; zero-shot reaches {score}."
    if answer.answer == "train":
        return f"Use {answer.method}: {_why(answer)}; it reaches {score}."
    needed = answer.labels_needed
    more = f" About {count(needed)} labels would decide." if needed else ""
    return (
        f"Too few labels to say whether training pays: {answer.best} is {_gain(answer)}. The "
        f"best guess is {answer.method}, which reaches {score}.{more}"
    )


def _gain(answer: Answer) -> str:
    gain = answer.gain
    if answer.select == "log-loss":
        size = f"{gain.difference:+.3f} nats of log-probability"
        within = f"{gain.low:+.3f} to {gain.high:+.3f}"
    else:
        size = f"{change(gain.difference)} points{_OF[answer.select]}"
        within = change_interval(gain.low, gain.high)
    return f"{size} against zero-shot on {count(gain.n)} held-out images (95 % interval {within})"


def _margin(answer: Answer) -> str:
    if answer.select == "log-loss":
        return f"{answer.margin:g} nats"
    return f"{100 * answer.margin:g} point{'' if answer.margin == 0.01 else 's'}"


def _why_not(answer: Answer) -> str:
    if answer.best == "zero-shot":
        return f"no method is better than zero-shot on {count(answer.gain.n)} held-out images"
    return (
        f"zero-shot is as good within {_margin(answer)} with a probability of "
        f"{percent(answer.gain.below(answer.margin))}: {answer.best} is {_gain(answer)}"
    )


def _why(answer: Answer) -> str:
    if answer.method == answer.best:
        return f"{_gain(answer)}, and no cheaper method is shown to be as good"
    return (
        f"as good within {_margin(answer)} as {answer.best}, which is expected to be best with "
        f"{_gain(answer)}"
    )

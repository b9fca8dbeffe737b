"""Few-shot trials: the same methods on a few images a class, for several draws of them.

It knows fitting and the partition, and nothing about files or how results are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.choosing import Chosen, choose_methods
from cliptune.classifiers.fitting import score_fitted
from cliptune.classifiers.head_data import HeadData
from cliptune.errors import InputError
from cliptune.evaluation.significance import compare_correct
from cliptune.heads.balance import Balance
from cliptune.splits.partition import Partition, draw_shots

__all__ = ["Draw", "Trial", "draw_trials", "fit_trial", "parse_shots", "score_trials"]

_SHOTS = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_SCORES = ("accuracy", "balanced_accuracy", "log_loss", "ece")


@dataclass(frozen=True)
class Draw:
    """A few images of each class.

    Attributes:
        shots: Images a class to learn from.
        seed: Of the draw and of everything random in the fits.
        task: The whole task with only the drawn rows to learn from.
    """

    shots: int
    seed: int
    task: HeadData


@dataclass(frozen=True)
class Trial:
    """What was fitted on one draw, and which method its images recommend."""

    draw: Draw
    chosen: Chosen


def parse_shots(text: str) -> tuple[int, ...]:
    """Read numbers of images a class, such as ``1,2,4,8,16``, and sort them.

    Raises:
        InputError: One is no positive whole number, or comes twice.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(_SHOTS.fullmatch(word) for word in words):
        raise InputError(
            f"--shots {text!r} is no list of positive whole numbers; give e.g. --shots 1,2,4,8,16"
        )
    shots = sorted(int(word) for word in words)
    if len(set(shots)) < len(shots):
        raise InputError(f"--shots {text!r} names a number twice; name each once")
    return tuple(shots)


def draw_trials(
    task: HeadData, partition: Partition, *, shots: Sequence[int], n_seeds: int
) -> list[Draw]:
    """Draw the images of every trial, so that a class with too few is found before any fit.

    Args:
        task: All images.
        partition: Where training and validation images are drawn from.
        shots: Images a class.
        n_seeds: Draws for each of these; their seeds follow on the task's.

    Returns:
        One draw for each of ``shots`` and each seed, in this order.

    Raises:
        InputError: There is no seed.
        DataError: A class has fewer images than shots; the message names it.
    """
    if n_seeds < 1:
        raise InputError(f"--seeds {n_seeds} leaves no draw; give 1 or more")
    draws = []
    for n in shots:
        for seed in range(task.seed, task.seed + n_seeds):
            rows = draw_shots(
                task.labels, partition, shots=n, class_names=task.class_names, seed=seed
            )
            draws.append(Draw(n, seed, replace(task, train=rows, val=rows[:0], seed=seed)))
    return draws


def fit_trial(
    draw: Draw,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any],
    abstain_precision: float | None = None,
    margin: float = 0.01,
    select: str = "accuracy",
    balance: Balance = "none",
) -> Trial:
    """Fit zero-shot and the methods on one draw; the arguments are those of ``choose_methods``."""
    chosen = choose_methods(
        draw.task,
        methods,
        options=options,
        abstain_precision=abstain_precision,
        margin=margin,
        select=select,
        balance=balance,
    )
    return Trial(draw, chosen)


def score_trials(
    trials: Sequence[Trial], rows: NDArray[np.int64]
) -> dict[str, Any]:  # Any: plain JSON values
    """Score every trial on the opened test.

    Args:
        trials: All of them.
        rows: int64, the test.

    Returns:
        ``shots``, ``seeds``, ``n`` and, by method and then by shots, ``mean`` and ``std`` of each
        score over the seeds, with the single ``runs``. The standard deviation is the sample's
        (null for one seed); it tells what the draw of training images does, while the interval of
        each run tells what the draw of test images does.
    """
    methods: dict[str, dict[str, Any]] = {}
    for trial in trials:
        for name, run in _scored_runs(trial, rows):
            at = methods.setdefault(name, {}).setdefault(str(trial.draw.shots), {"runs": []})
            at["runs"].append(run)
    for by_shots in methods.values():
        for at in by_shots.values():
            at |= {part: _spread(at["runs"], part) for part in ("val", "test")}
    return {
        "shots": sorted({trial.draw.shots for trial in trials}),
        "seeds": sorted({trial.draw.seed for trial in trials}),
        "n": len(rows),
        "methods": methods,
    }


def _scored_runs(
    trial: Trial, rows: NDArray[np.int64]
) -> Iterator[tuple[str, dict[str, Any]]]:  # Any: plain JSON values
    task = trial.draw.task
    zero_shot: NDArray[np.bool_] | None = None
    for name, fitted in sorted(
        trial.chosen.fitted.items(), key=lambda item: item[0] != "zero-shot"
    ):
        metrics, probabilities = score_fitted(task, fitted, rows)
        correct = probabilities.argmax(axis=1) == task.labels[rows]
        zero_shot = correct if zero_shot is None else zero_shot
        facts = fitted.to_dict()
        yield (
            name,
            {
                "seed": trial.draw.seed,
                "n_train": len(task.train),
                "recommended": name == trial.chosen.answer.method,
                **{
                    key: facts[key]
                    for key in ("val", "features", "settings", "trained_parameters", "seconds")
                },
                "test": metrics.summary(),
                "against_zero_shot": vars(compare_correct(zero_shot, correct, seed=task.seed)),
            },
        )


def _spread(
    runs: Sequence[Mapping[str, Any]], part: str
) -> dict[str, dict[str, float | None]]:  # Any: plain JSON values
    scored = [run[part] for run in runs if run[part]]  # one image a class leaves none held out
    values = {score: np.asarray([one[score] for one in scored]) for score in _SCORES}
    return {
        score: {
            "mean": float(v.mean()) if len(v) else None,
            "std": float(v.std(ddof=1)) if len(v) > 1 else None,
        }
        for score, v in values.items()
    }

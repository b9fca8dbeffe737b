"""The few-shot part of ``cliptune fit``: its options, its progress, its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cliptune.bounds import MAX_SEED, require_count
from cliptune.cli.console import print_table, progress_bar
from cliptune.errors import InputError
from cliptune.formatting import percent

if TYPE_CHECKING:
    from cliptune.few_shot import Trial
    from cliptune.protocol import Partition
    from cliptune.task import Task

__all__ = ["MAX_DRAWS", "read_shots", "run_trials", "show_few_shot"]

MAX_DRAWS = 1000  # for each number of images: beyond, only the time grows


def read_shots(shots: str | None, seeds: int, seed: int) -> tuple[int, ...]:
    """Return the numbers of images a class, none without ``--shots``.

    Raises:
        InputError: They are no numbers, or draws were asked for without them, or the last draw
            has no seed.
    """
    if shots is None:
        if seeds != 1:
            raise InputError(
                f"--seeds {seeds} came without --shots; it says how often images are drawn: add "
                "e.g. --shots 16, or vary the split with --seed"
            )
        return ()
    from cliptune.few_shot import parse_shots

    require_count("--seed plus --seeds", seed + seeds - 1, at_least=0, at_most=MAX_SEED)
    return parse_shots(shots)


def run_trials(
    task: Task,
    partition: Partition,
    methods: Sequence[str],
    shots: Sequence[int],
    n_seeds: int,
    options: Mapping[str, Any],  # Any: arguments of a head
    abstain_precision: float | None,
    margin: float,
) -> tuple[list[Trial], Trial, Partition]:
    """Fit the methods on every draw, with a bar on standard error.

    Returns:
        All trials; the one whose classifier is kept, the first of most images; and its partition.
    """
    from cliptune.few_shot import draw_trials, fit_trial

    draws = draw_trials(task, partition, shots=shots, n_seeds=n_seeds)
    trials = []
    with progress_bar("few-shot", "draws") as show:
        for done, draw in enumerate(draws):
            show(done, len(draws))
            trials.append(
                fit_trial(
                    draw,
                    methods,
                    options=options,
                    abstain_precision=abstain_precision,
                    margin=margin,
                )
            )
    kept = next(trial for trial in trials if trial.draw.shots == shots[-1])
    drawn = kept.draw.task
    sentence = (
        f"few-shot: {kept.draw.shots} images of each class to learn from and to choose on, drawn "
        f"with seed {drawn.seed}"
    )
    notes = (*partition.notes, sentence)
    return trials, kept, replace(partition, train=drawn.train, val=drawn.val, notes=notes)


def show_few_shot(few_shot: Mapping[str, Any]) -> None:  # Any: plain JSON values
    """Print mean accuracy and its deviation, a row a method, a column a number of shots."""
    shots = [str(n) for n in few_shot["shots"]]
    n_seeds = len(few_shot["seeds"])
    spread = f", ± standard deviation over {n_seeds} draws" if n_seeds > 1 else ""
    print_table(
        f"Mean accuracy on {few_shot['n']} locked test images by images a class{spread}",
        ("method", *shots),
        [
            (name, *(_mean_and_deviation(by_shots[n]["test"]["accuracy"]) for n in shots))
            for name, by_shots in few_shot["methods"].items()
        ],
    )


def _mean_and_deviation(score: Mapping[str, float | None]) -> str:
    mean, std = score["mean"], score["std"]
    assert mean is not None, "only the deviation of one value is unknown"
    return percent(mean) + ("" if std is None else f" ± {percent(std)}")

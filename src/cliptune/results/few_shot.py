"""The learning curve of a few-shot run: methods by images a class, over several draws.

It knows nothing about how they were fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cliptune.evaluation.metrics import Metrics
from cliptune.evaluation.significance import Comparison
from cliptune.system.formatting import percent
from cliptune.system.text_tables import TextTable

__all__ = ["FewShot", "FewShotRun", "FewShotScores", "MeanAndDeviation"]


@dataclass(frozen=True)
class MeanAndDeviation:
    """A score over several draws.

    Attributes:
        mean: None where no draw has the score.
        std: Of the sample; None of a single draw.
    """

    mean: float | None
    std: float | None


@dataclass(frozen=True, kw_only=True)
class FewShotRun:
    """A method on one draw.

    Attributes:
        seed: Of the draw.
        n_train: Images that were drawn.
        recommended: The rule recommends this method there.
        val: Scores on held-out images, where some could be held out.
        features: What it learned from.
        settings: Arguments of the head.
        trained_parameters: Numbers that were fitted.
        seconds: What it took.
        test: Scores on the locked test.
        against_zero_shot: From zero-shot to it, on the test.
    """

    seed: int
    n_train: int
    recommended: bool
    val: Metrics | None
    features: str
    settings: Mapping[str, Any]  # Any: plain JSON values, arguments of a head
    trained_parameters: int
    seconds: float
    test: Metrics
    against_zero_shot: Comparison


@dataclass(frozen=True)
class FewShotScores:
    """A method with one number of images a class.

    Attributes:
        runs: One a draw.
        val: By score.
        test: By score.
    """

    runs: tuple[FewShotRun, ...]
    val: Mapping[str, MeanAndDeviation]
    test: Mapping[str, MeanAndDeviation]


@dataclass(frozen=True)
class FewShot:
    """Methods by images a class.

    Attributes:
        shots: Images a class.
        seeds: One a draw.
        n: Locked test images.
        methods: By name, then by images a class.
    """

    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    n: int
    methods: Mapping[str, Mapping[str, FewShotScores]]

    def table(self) -> TextTable:
        """Return mean accuracy and its deviation, a row a method, a column a number of shots.

        Nothing stands where a method cannot be fitted: some hold images out, and of one image a
        class none is left.
        """
        draws = len(self.seeds)
        spread = f", ± standard deviation over {draws} draws" if draws > 1 else ""
        columns = [str(n) for n in self.shots]
        return TextTable.of(
            f"Mean accuracy on {self.n} locked test images by images a class{spread}",
            ("method", *columns),
            [
                (
                    name,
                    *(
                        _written(by_shots[n].test["accuracy"]) if n in by_shots else ""
                        for n in columns
                    ),
                )
                for name, by_shots in self.methods.items()
            ],
        )


def _written(score: MeanAndDeviation) -> str:
    assert score.mean is not None, "only the deviation of one value is unknown"
    return percent(score.mean) + ("" if score.std is None else f" ± {percent(score.std)}")

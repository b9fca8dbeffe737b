"""What is asked and answered over HTTP, as OpenAPI describes it.

It knows no server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from cliptune.serving.drift import DriftReport

__all__ = [
    "Drift",
    "Failure",
    "Health",
    "ImageInput",
    "ItemError",
    "LabelProbability",
    "PredictAnswer",
    "PredictOptions",
    "PredictRequest",
    "Prediction",
    "Readiness",
    "RunInfo",
    "RunState",
    "Runs",
]

_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGElEQVR4nGNkYPjPgA0wYRUdlMIsWIUBAHqiARFw2"
    "bCzAAAAAElFTkSuQmCC"
)
_Share = Annotated[float, Field(ge=0, le=1)]


class PredictOptions(BaseModel):
    """How to answer; in a form as fields, beside an image alone in the query."""

    model_config = ConfigDict(extra="forbid")

    run: str | None = Field(None, description="Which run; may be left out where there is one.")
    top: int = Field(5, ge=1, le=1000, description="How many labels of each image.")
    threshold: _Share | None = Field(
        None,
        description="Abstain below this probability, or say labels from it on, instead of by the "
        "run's own thresholds.",
    )
    embeddings: bool = Field(False, description="Give the embedding of each image too.")


class ImageInput(BaseModel):
    """An image in JSON."""

    model_config = ConfigDict(extra="forbid")

    data_base64: str = Field(description="The file, in base64.")
    name: str | None = Field(None, description="What to call it in the answer.")


class PredictRequest(PredictOptions):
    """Images in JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"images": [{"data_base64": _PIXEL}], "top": 2}]},
    )

    images: list[ImageInput] = Field(min_length=1)


class LabelProbability(BaseModel):
    """A class and how probable it is."""

    label: str
    probability: _Share
    present: bool | None = Field(
        None, description="It reaches its threshold; said where an image may have several labels."
    )


class ItemError(BaseModel):
    """Why an image has no answer."""

    code: str = Field(description="not_an_image, too_many_pixels, bad_base64 or failed")
    message: str


class Prediction(BaseModel):
    """The answer to one image: labels, or an error."""

    name: str | None = None
    labels: list[LabelProbability] | None = Field(None, description="The most probable first.")
    abstained: bool | None = Field(
        None, description="The first is below the threshold; never where labels are several."
    )
    present: list[str] | None = Field(
        None, description="All labels that reach their thresholds, where an image may have several."
    )
    embedding: list[float] | None = None
    error: ItemError | None = None


class PredictAnswer(BaseModel):
    """One prediction an image, in order."""

    run: str
    digest: str = Field(description="Of the run's files.")
    model: str
    method: str
    threshold: float | None = None
    predictions: list[Prediction]
    seconds: float


class Failure(BaseModel):
    """Why a request has no answer."""

    detail: str


class RunInfo(BaseModel):
    """A run that is served."""

    name: str
    digest: str
    model: str
    method: str
    class_names: list[str]
    threshold: float | None
    thresholds: list[float] | None = Field(
        None, description="Of each label, where an image may have several."
    )


class Runs(BaseModel):
    """The runs that are served."""

    runs: list[RunInfo]


class RunState(BaseModel):
    """How a run stands."""

    digest: str
    problem: str | None = Field(None, description="Why a newer one in its folder is not used.")


class Readiness(BaseModel):
    """Whether runs can be used."""

    ready: bool
    runs: dict[str, RunState]


class DriftTest(BaseModel):
    """Chi-squared under no drift."""

    statistic: float
    degrees: int
    p_value: _Share


class Drift(BaseModel):
    """What one worker served since it opened the run, beside what the run was trained on."""

    run: str
    n_served: int
    n_training: int
    distance: float = Field(description="Between the mean embeddings.")
    embedding: DriftTest | None = Field(description="Of the means, along principal axes.")
    classes: DriftTest | None = Field(description="Of the class shares.")
    served_shares: dict[str, float]
    training_shares: dict[str, float]

    @classmethod
    def of(cls, run: str, class_names: Sequence[str], report: DriftReport) -> Self:
        """Write down a report."""
        plain = asdict(report)
        for shares in ("served_shares", "training_shares"):
            plain[shares] = dict(zip(class_names, plain[shares], strict=True))
        return cls(run=run, **plain)


class Health(BaseModel):
    """The process lives."""

    status: str = "ok"
    version: str

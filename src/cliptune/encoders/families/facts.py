"""What is stated of a family: plain values, as ``cliptune models --json`` prints them.

It knows no family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

__all__ = ["Family", "OpenClipFamily", "Score", "Towers", "TransformersFamily"]

Score = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Models that treat texts, images and scores alike.

    Attributes:
        name: transformers' ``model_type``, or open_clip's usual word.
        title: As people write it.
        backend: Whose code builds it.
        examples: Names that ``--model`` takes.
        cleaning: What happens to a text before the tokenizer, and within it.
        context: Tokens of a text, marks included, of the published weights.
        padding: To what length, with what, on which side.
        mask: Which tokens see which.
        pooling: How tokens and patches become one vector.
        scale: The factor on cosines, and the bias if there is one.
        score: What the family was trained for: ``softmax`` over the labels, or ``sigmoid`` of
            each label on its own.
        resize: How a picture comes to the model's size.
        interpolation: ``bicubic`` or ``bilinear``.
        mean: Of the channels, for values in [0, 1].
        std: Of the channels.
        licence: Of the published weights.
        paper: arXiv id.
        special: What goes wrong elsewhere, in a sentence.
        prompt: The template that the family's authors use where none is asked for.
    """

    name: str
    title: str
    backend: Literal["transformers", "open_clip"]
    examples: tuple[str, ...]
    cleaning: str
    context: int
    padding: str
    mask: str
    pooling: str
    scale: str
    score: Score
    resize: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    paper: str
    special: str
    prompt: str | None = None

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return what is stated, and nothing of how the model is built."""
        return {one.name: getattr(self, one.name) for one in fields(Family)}


@dataclass(frozen=True, kw_only=True)
class OpenClipFamily(Family):
    """A family that open_clip builds.

    Attributes:
        pattern: What open_clip calls its architectures, as a regular expression.
        tags: The same of the tags of their weights.
    """

    backend: Literal["transformers", "open_clip"] = "open_clip"
    pattern: str
    tags: str = ".*"


@dataclass(frozen=True, kw_only=True)
class Towers:
    """How rows come out of transformers' two towers.

    Attributes:
        text_row: ``pooled``: what the tower pools; ``first``: its first position.
        projections: Linear layers follow both towers, ``text`` one the text tower alone.
        temperature: The model holds the factor's inverse, under that name.
        patches: What becomes of a patch alone: ``head`` (attention pooling), ``norm`` (the final
            norm), ``cells`` (of a feature map), ``normed`` (as they come), ``none``.
        prefix: Positions before the patches: class token and registers.
    """

    text_row: Literal["pooled", "first"] = "pooled"
    projections: Literal["both", "text", "none"] = "none"
    temperature: bool = False
    patches: Literal["head", "norm", "cells", "normed", "none"] = "norm"
    prefix: int = 1


@dataclass(frozen=True, kw_only=True)
class TransformersFamily(Family):
    """A family that the transformers library builds.

    Attributes:
        model_class: Its class in transformers.
        config_class: The class of its description.
        top_fields: What a ``config.json`` may say beside the towers' parts.
        text_fields: What it may say of the text tower.
        vision_fields: What it may say of the image tower.
        towers: How rows come out of them.
        end: Where a row of ids can be cut: ``full`` (not at all), ``id`` (at the end mark),
            ``padding`` (before what is masked).
        pads_to: Ids in a row at most, for families whose towers have more positions.
        processor: What the image processor does where its file is silent.
        activations: What published weights were trained with, by part; empty where they differ.
    """

    backend: Literal["transformers", "open_clip"] = "transformers"
    model_class: str
    config_class: str
    top_fields: tuple[str, ...] = ()
    text_fields: tuple[str, ...]
    vision_fields: tuple[str, ...]
    towers: Towers = Towers()
    end: Literal["full", "id", "padding"]
    pads_to: int | None = None
    processor: Mapping[str, Any] = field(default_factory=dict)  # Any: plain JSON values
    activations: Mapping[str, str] = field(default_factory=dict)

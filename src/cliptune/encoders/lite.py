"""The embedded default ``lite``: an ImageNet classifier and a sentence encoder in one space.

It puts the two together with the package's own maps and knows nothing about how these were
fitted (``scripts/align_lite.py``).

With an image's pooled features f and its ImageNet logits z(f), and a text's unit sentence
embedding t::

    image: unit(ridge f) + unit(labels^T softmax(z(f)))        text: t - mean

The first term is a ridge regression from class names to the classifier's rows, transposed
(DeViSE, Frome et al., NeurIPS 2013; ESZSL, Romera-Paredes & Torr, ICML 2015). The second is
ConSE (arXiv:1312.5650, eq. 2), over all classes instead of its ten most probable and with
labels that carry their definitions. ``mean`` is that of the texts the maps were fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from cliptune.encoders.lite_wheels import LiteTokenizer, load_classifier, load_sentence_encoder
from cliptune.encoders.model_config import ModelConfig
from cliptune.encoders.precision import choose_device, choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.wheel_files import MAPS_PATH

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = [
    "TOKENIZER_FILE",
    "Alignment",
    "ImageTower",
    "LiteModel",
    "LiteParts",
    "TextTower",
    "assemble_lite",
    "build_lite",
    "load_lite",
    "make_parts",
    "wrap_lite",
]

# The evaluation transform that the classifier's authors publish.
_PREPROCESS = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_fraction=0.875)
_ARCHITECTURE = (
    "tf_efficientnet_lite0, mean over cells, unit ridge + unit ConSE; "
    "BERT L6 H384 with gelu, mean over tokens, unit length, centred"
)

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class LiteParts:
    """What a ``TorchEncoder`` is made of.

    Attributes:
        model: Follows ``DualModel``; float32, on the processor, in evaluation mode.
        tokenizer: The sentence encoder's own.
        preprocess: Input transform.
        architecture: All that shapes the computation and is not among the weights.
        blueprint: What rebuilds the model around its weights, without the wheels.
    """

    model: LiteModel
    tokenizer: LiteTokenizer
    preprocess: Preprocess
    architecture: str
    blueprint: ModelConfig


def load_lite(*, device: str = "auto", precision: str = "auto") -> DualEncoder:
    """Load the embedded default.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto`` (float32, for the image tower is a CNN), ``fp32``, ``bf16``, ``fp16``.

    Raises:
        MissingExtraError: A wheel of the extra ``lite`` is not installed.
        CheckpointError: A file of a wheel is not the one that the maps were fitted to.
        DeviceError: The device or precision is not to be had here.
        UnknownNameError: The device's or precision's name means nothing.
    """
    return wrap_lite(build_lite(), device=device, precision=precision)


def wrap_lite(parts: LiteParts, *, device: str, precision: str) -> DualEncoder:
    """Make an encoder of the parts; options and errors are those of ``load_lite``."""
    from cliptune.encoders.torch_encoder import TorchEncoder

    place = choose_device(device)
    choice = choose_precision(precision, place, convolutional=True)
    return TorchEncoder(
        name="lite",
        model=parts.model,
        tokenizer=parts.tokenizer,
        preprocess=parts.preprocess,
        device=place,
        precision=choice.precision,
        precision_reason=choice.reason,
        architecture=parts.architecture,
        blueprint=parts.blueprint,
    )


def build_lite() -> LiteParts:
    """Build the model from the two wheels and the shipped maps.

    Raises:
        MissingExtraError: A wheel of the extra ``lite`` is not installed.
        CheckpointError: A file of a wheel is not the one that the maps were fitted to.
    """
    from safetensors.torch import load_file

    trunk, classifier = load_classifier()
    transformer, tokenizer = load_sentence_encoder()
    maps = {name: tensor.float() for name, tensor in load_file(MAPS_PATH).items()}
    model = assemble_lite(trunk, classifier, transformer, maps)
    # transformers' own attribute, which nn.Module does not declare
    settings: dict[str, Any] = transformer.config.to_dict()  # type: ignore[operator,union-attr]
    return make_parts(model, tokenizer, settings)


def assemble_lite(
    trunk: nn.Module,
    classifier: nn.Linear,
    transformer: nn.Module,
    maps: Mapping[str, torch.Tensor],
) -> LiteModel:
    """Put trunk, classifier, sentence encoder and maps together, in evaluation mode."""
    return LiteModel(
        ImageTower(trunk, Alignment(classifier, maps)),
        TextTower(transformer, maps["text_mean"]),
        maps["logit_scale"],
    ).eval()


def make_parts(model: LiteModel, tokenizer: LiteTokenizer, text: Mapping[str, Any]) -> LiteParts:
    """Add to a model what is the same whatever its weights are.

    Args:
        model: Whole, in evaluation mode.
        tokenizer: Its own.
        text: Settings of its sentence encoder, nested JSON.
    """
    config = {"context_length": tokenizer.context_length, "text": dict(text)}
    blueprint = ModelConfig("lite", config, files={TOKENIZER_FILE: tokenizer.definition})
    return LiteParts(model, tokenizer, _PREPROCESS, _ARCHITECTURE, blueprint)


class LiteModel(nn.Module):
    """Both towers and the scale; follows ``DualModel`` and trains like any module.

    Args:
        visual: From normalised images to the common space.
        text: From token ids to the common space.
        logit_scale: Logarithm of the factor on cosines, a scalar.

    Attributes:
        padding_id: Trailing ids of this kind change nothing; rows may come without them.
    """

    padding_id = 0

    def __init__(self, visual: ImageTower, text: TextTower, logit_scale: torch.Tensor) -> None:
        super().__init__()
        self.visual = visual
        self.text = text
        self.logit_scale = nn.Parameter(logit_scale)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised float images (B, 3, 224, 224) to (B, 384), not of unit length."""
        rows: torch.Tensor = self.visual(images)
        return rows

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map token ids (T, L), padded with 0, to (T, 384), not of unit length."""
        rows: torch.Tensor = self.text(tokens)
        return rows

    def encode_image_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, 3, 224, 224) to one row per cell of the feature map, (B, 49, 384).

        Each cell goes through the same maps as the mean over the cells does, from left to right
        and from top to bottom. Because of their normalisations and softmax the mean of these
        rows is not the image's row.
        """
        rows: torch.Tensor = self.visual.projection(self.visual.cells(images))
        return rows

    def encode_image_trunk(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map images to rows (B, 384) and to the features they are made of, (B, 1280)."""
        features = self.visual.cells(images).mean(1)
        return self.visual.projection(features), features


class ImageTower(nn.Module):
    """A convolutional trunk, the mean over its cells, and the maps into the common space.

    Args:
        trunk: A timm model; its ``forward_features`` gives (B, 1280, h, w).
        projection: From 1280 features to the common space.
    """

    def __init__(self, trunk: nn.Module, projection: Alignment) -> None:
        super().__init__()
        self.trunk = trunk
        self.projection = projection

    def cells(self, images: torch.Tensor) -> torch.Tensor:
        """Give the trunk's features, one row a cell, (B, h * w, 1280)."""
        # operator: timm's method, which nn.Module does not declare
        features: torch.Tensor = self.trunk.forward_features(images)  # type: ignore[operator]
        return features.flatten(2).transpose(1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, 3, H, W) to (B, 384)."""
        rows: torch.Tensor = self.projection(self.cells(images).mean(1))
        return rows


class Alignment(nn.Module):
    """From the classifier's features to the common space: both routes, each at unit length.

    Args:
        classifier: From 1280 features to the logits of 1000 classes.
        maps: ``ridge`` (384, 1280) and ``labels`` (1000, 384), one row a class.
    """

    def __init__(self, classifier: nn.Linear, maps: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.ridge = _linear(maps["ridge"])
        self.classifier = classifier
        self.labels = _linear(maps["labels"].T)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (..., 1280) to (..., 384), not of unit length."""
        convex = self.labels(self.classifier(features).softmax(-1))
        return F.normalize(self.ridge(features), dim=-1) + F.normalize(convex, dim=-1)


def _linear(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.contiguous())
    return layer


class TextTower(nn.Module):
    """A sentence encoder: the mean over a BERT's tokens, at unit length, then centred.

    Args:
        transformer: A ``transformers`` BERT without pooling.
        mean: What is subtracted, (384,); a constant of the maps, so it does not train.
    """

    mean: torch.Tensor

    def __init__(self, transformer: nn.Module, mean: torch.Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("mean", mean)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map token ids (T, L), padded with 0, to (T, 384)."""
        mask = (tokens != 0).long()
        hidden = self.transformer(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1) - self.mean

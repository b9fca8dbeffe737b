"""A fitted classifier for transformers' ``pipeline("image-classification")``.

It needs torch, transformers, and timm or open_clip_torch for the image tower, but not cliptune.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput


class CliptuneConfig(PretrainedConfig):  # type: ignore[misc]  # transformers has no types
    """Which tower, which features, the head's shape, and how many crops are averaged."""

    model_type = "cliptune"

    def __init__(
        self,
        tower: dict[str, Any] | None = None,
        features: str = "pooled",
        n_features: int = 1,
        crops: int = 1,
        **kwargs: Any,
    ) -> None:
        self.tower = tower or {}
        self.features = features
        self.n_features = n_features
        self.crops = crops
        super().__init__(**kwargs)


class Alignment(nn.Module):
    """From an ImageNet classifier's features to the space of ``lite``."""

    def __init__(self, width: int, n_labels: int, dim: int) -> None:
        super().__init__()
        self.ridge = nn.Linear(width, dim, bias=False)
        self.classifier = nn.Linear(width, n_labels)
        self.labels = nn.Linear(n_labels, dim, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, 1280) to (B, 384)."""
        convex = self.labels(self.classifier(features).softmax(-1))
        return normalize(self.ridge(features), dim=-1) + normalize(convex, dim=-1)


class LiteTower(nn.Module):
    """The image tower of ``lite``: a timm trunk, and maps into the common space."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        self.trunk.reset_classifier(0)
        self.projection = Alignment(1280, 1000, 384)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings, and the features that they are projected from."""
        features = self.trunk.forward_features(images).flatten(2).mean(2)
        return self.projection(features), features


def make_tower(description: dict[str, Any]) -> nn.Module:
    """Build an image tower with random weights."""
    if description["kind"] == "lite":
        return LiteTower()
    from open_clip.model import _build_vision_tower

    config = description["config"]
    tower: nn.Module = _build_vision_tower(
        config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False)
    )
    return tower


def both_features(tower: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a tower's embeddings, and its pooled features before the projection."""
    if isinstance(tower, LiteTower):
        return tower(images)  # type: ignore[no-any-return]
    visual: Any = tower
    pooled = visual._pool(visual.transformer(visual._embeds(images)))[0]
    return pooled @ visual.proj, pooled


def spread_crops(images: torch.Tensor, crops: int) -> torch.Tensor:
    """Lay out cuts that came one below the other, and their mirror images, as images of their own.

    Args:
        images: (B, 3, cuts * H, W).
        crops: How many each picture has, mirror images included.

    Returns:
        (B * crops, 3, H, W).
    """
    cuts = 6 if crops >= 6 else 1
    parts = torch.stack(images.chunk(cuts, dim=2), dim=1)
    if crops > cuts:
        parts = torch.cat([parts, parts.flip(-1)], dim=1)
    return parts.flatten(0, 1)


def average_crops(rows: torch.Tensor, crops: int) -> torch.Tensor:
    """Average the rows of each picture's crops, (B * crops, D), brought to norm 1 before."""
    if crops == 1:
        return rows
    return normalize(rows, dim=-1).reshape(-1, crops, rows.shape[-1]).mean(1)


class CliptuneForImageClassification(PreTrainedModel):  # type: ignore[misc]  # no types
    """An image tower and a linear layer that holds head and temperature."""

    config_class = CliptuneConfig
    main_input_name = "pixel_values"

    def __init__(self, config: CliptuneConfig) -> None:
        super().__init__(config)
        self.visual = make_tower(config.tower)
        self.head = nn.Linear(config.n_features, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        pass  # all of them are loaded

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **_: Any
    ) -> ImageClassifierOutput:
        """Return logits; their softmax is the calibrated probability, or their sigmoid."""
        crops = self.config.crops
        images = spread_crops(pixel_values, crops)
        if self.config.features == "pooled":
            found = self.visual(images)
            parts = [found[0] if isinstance(found, tuple) else found]
        else:
            parts = [*both_features(self.visual, images)]
        averaged = (average_crops(part, crops) for part in parts)
        rows = torch.cat([normalize(part, dim=-1) for part in averaged], dim=-1)
        logits = self.head(rows)
        several = self.config.problem_type == "multi_label_classification"
        measure = binary_cross_entropy_with_logits if several else cross_entropy
        loss = None if labels is None else measure(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)

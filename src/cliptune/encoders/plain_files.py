"""A tokenizer's and a text tower's files without what asks for code or for other files.

transformers is only ever pointed at a folder that was made here; it is loaded elsewhere.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cliptune.encoders.hub import tokenizer_files
from cliptune.encoders.permitted import require_plain
from cliptune.errors import CheckpointError
from cliptune.system.json_files import read_object

__all__ = ["BERT_FIELDS", "TEXT_MODELS", "plain_text_model", "plain_tokenizer"]

# The fields of transformers' descriptions of those text towers that open_clip has a place for.
# Left out: how attention is computed, which may name code on the hub, and all that names files.
BERT_FIELDS = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob",
    "max_position_embeddings", "type_vocab_size", "initializer_range", "layer_norm_eps",
    "pad_token_id", "bos_token_id", "eos_token_id", "position_embedding_type", "use_cache",
    "classifier_dropout", "is_decoder", "add_cross_attention", "tie_word_embeddings",
    "chunk_size_feed_forward", "is_encoder_decoder",
)  # fmt: skip
_MT5_FIELDS = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads",
    "relative_attention_num_buckets", "relative_attention_max_distance", "dropout_rate",
    "layer_norm_epsilon", "initializer_factor", "feed_forward_proj", "is_encoder_decoder",
    "is_decoder", "use_cache", "pad_token_id", "bos_token_id", "eos_token_id",
    "decoder_start_token_id", "classifier_dropout", "tie_word_embeddings",
)  # fmt: skip
_M2M_FIELDS = (
    "vocab_size", "max_position_embeddings", "encoder_layers", "encoder_ffn_dim",
    "encoder_attention_heads", "decoder_layers", "decoder_ffn_dim", "decoder_attention_heads",
    "encoder_layerdrop", "decoder_layerdrop", "activation_function", "d_model", "dropout",
    "attention_dropout", "activation_dropout", "init_std", "decoder_start_token_id",
    "scale_embedding", "use_cache", "is_encoder_decoder", "pad_token_id", "bos_token_id",
    "eos_token_id", "tie_word_embeddings",
)  # fmt: skip
TEXT_MODELS = {
    "bert": BERT_FIELDS,
    "roberta": BERT_FIELDS,
    "xlm-roberta": BERT_FIELDS,
    "mt5": _MT5_FIELDS,
    "m2m_100": _M2M_FIELDS,
}


@contextmanager
def plain_tokenizer(folder: Path) -> Iterator[Path]:
    """Give a folder with a tokenizer's own files and nothing that asks for code or other files.

    Raises:
        CheckpointError: The tokenizer needs Python of its own, or a file is broken.
    """
    with _temporary_folder() as plain:
        for path in tokenizer_files(folder):
            if path.name == "tokenizer_config.json":
                _write(plain / path.name, _plain_settings(path))
            elif path.name == "config.json":
                _write(plain / path.name, _plain_kind(path))
            else:
                (plain / path.name).symlink_to(path.resolve())
        yield plain


@contextmanager
def plain_text_model(folder: Path) -> Iterator[Path]:
    """Give a folder with the permitted part of a text tower's ``config.json``.

    Raises:
        CheckpointError: The tower is none that open_clip knows, needs Python of its own, or a
            value is of the wrong kind.
    """
    path = folder / "config.json"
    config = read_object(path, CheckpointError)
    _refuse_code(config, path)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in TEXT_MODELS:
        raise CheckpointError(
            f"{path} describes a text tower of type {kind!r}; expected one of "
            f"{', '.join(TEXT_MODELS)}"
        )
    kept = {name: config[name] for name in TEXT_MODELS[kind] if name in config}
    for name, value in kept.items():
        require_plain(value, name, str(path))
    with _temporary_folder() as plain:
        _write(plain / path.name, {"model_type": kind, **kept})
        yield plain


def _plain_settings(path: Path) -> dict[str, Any]:  # Any: nested JSON
    """Read a tokenizer's settings without those that name files; the folder has its own."""
    settings = read_object(path, CheckpointError)
    _refuse_code(settings, path)
    return {k: v for k, v in settings.items() if not k.endswith(("_file", "_files"))}


def _plain_kind(path: Path) -> dict[str, Any]:  # Any: strings
    """Read of a model's description what tells its tokenizer's class."""
    config = read_object(path, CheckpointError)
    names = ("model_type", "tokenizer_class")
    return {name: config[name] for name in names if isinstance(config.get(name), str)}


def _refuse_code(settings: Mapping[str, Any], path: Path) -> None:
    if settings.get("auto_map"):
        raise CheckpointError(
            f"{path} asks for Python of its own (auto_map), which is never run; use a model of "
            f"the standard classes, or remove auto_map if the standard class will do"
        )


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cliptune-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")

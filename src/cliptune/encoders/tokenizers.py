"""open_clip's tokenizers with the two things they lack: a count before the cut, and an identity.

It knows no model; which tokenizer belongs to one is read from its description.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cliptune.encoders.permitted import permit_tokenizer_options
from cliptune.encoders.plain_files import plain_tokenizer
from cliptune.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from cliptune.encoders.torch_encoder import Tokenizer

__all__ = ["BytePairTokenizer", "FolderTokenizer", "build_tokenizer"]

_BPE_SIZE = 49408
_CONTEXT_LENGTH = 77  # open_clip's default, where a description is silent
_MARKS = 2
_MODES = ("", "clips")


def build_tokenizer(text_cfg: Mapping[str, Any], folder: Path | None) -> Tokenizer:
    """Make the tokenizer of a text tower.

    Args:
        text_cfg: The tower's part of open_clip's description, nested JSON.
        folder: Files of a Hugging Face tokenizer, or none for CLIP's own vocabulary.

    Raises:
        CheckpointError: The vocabulary is not the tower's, the folder cannot be read, or
            something else is asked for than what ``permitted`` lists; no file is run as code.
    """
    length = int(text_cfg.get("context_length") or _CONTEXT_LENGTH)
    if folder is not None:
        return FolderTokenizer(
            folder,
            context_length=length,
            mode=text_cfg.get("tokenizer_mode") or "",
            options=text_cfg.get("tokenizer_kwargs") or {},
        )
    if (size := text_cfg.get("vocab_size", _BPE_SIZE)) != _BPE_SIZE:
        raise CheckpointError(
            f"the text tower has {size} tokens, CLIP's own tokenizer {_BPE_SIZE}; "
            f"name the right one as hf_tokenizer_name in the model's open_clip_config.json"
        )
    return BytePairTokenizer(context_length=length)


class BytePairTokenizer:
    """CLIP's own tokenizer, whose vocabulary comes with open_clip.

    A description may ask for words to be dropped at random from long texts. That belongs to
    training; here long texts are cut at the end.
    """

    def __init__(self, *, context_length: int = _CONTEXT_LENGTH) -> None:
        self.context_length = context_length
        self.identity = f"CLIP byte pairs, context {context_length}"
        self._tokenizer = _read_byte_pairs(context_length)

    def __call__(self, texts: list[str], /) -> torch.Tensor:
        """Give ids (T, context_length), padded with zeros."""
        ids: torch.Tensor = self._tokenizer(texts)
        return ids

    def count_tokens(self, text: str, /) -> int:
        """Count the ids of a text, begin and end marks included."""
        return len(self._tokenizer.encode(text)) + _MARKS


@cache
def _read_byte_pairs(context_length: int) -> Any:  # Any: open_clip has no types
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)


class FolderTokenizer:
    """A Hugging Face tokenizer with open_clip's cleaning and padding.

    Args:
        folder: With the tokenizer's files.
        context_length: Ids in a row.
        mode: open_clip's ``tokenizer_mode``: empty, or ``clips``, which ends each row in a
            class token.
        options: open_clip's ``tokenizer_kwargs``, nested JSON, hence ``Any``.

    Raises:
        CheckpointError: As for ``build_tokenizer``.
    """

    def __init__(
        self, folder: Path, *, context_length: int, mode: str, options: Mapping[str, Any]
    ) -> None:
        self.context_length = context_length
        self._mode = mode
        self._options = permit_tokenizer_options(options, str(folder))
        if mode not in _MODES:
            raise CheckpointError(
                f"{folder}: tokenizer_mode {mode!r}; expected one of {', '.join(map(repr, _MODES))}"
            )
        self._tokenizer = self._open(folder)
        # now: the first call stores its padding and truncation in the backend
        self.identity = self._digest()

    def _open(self, folder: Path) -> Any:  # Any: open_clip has no types
        from open_clip.tokenizer import HFTokenizer

        with plain_tokenizer(folder) as plain:
            try:
                return HFTokenizer(
                    str(plain),
                    context_length=self.context_length,
                    tokenizer_mode=self._mode,
                    local_files_only=True,
                    trust_remote_code=False,  # else transformers asks on standard input
                    **self._options,
                )
            except Exception as error:  # the libraries raise all kinds over a stranger's files
                reason = str(error).strip().partition("\n")[0].replace(str(plain), str(folder))
                raise CheckpointError(f"{folder} holds no readable tokenizer: {reason}") from error

    def __call__(self, texts: list[str], /) -> torch.Tensor:
        """Give ids (T, context_length), padded as the tokenizer pads."""
        ids: torch.Tensor = self._tokenizer(texts)
        return ids

    def count_tokens(self, text: str, /) -> int:
        """Count the ids of a text, all marks included."""
        clips = self._mode == "clips"
        encoded = self._tokenizer.tokenizer(
            self._tokenizer.clean_fn(text), add_special_tokens=not clips, verbose=False
        )
        return len(encoded.input_ids) + (_MARKS + 1 if clips else 0)

    @property
    def cleaning(self) -> str:
        """How open_clip cleans a text before this tokenizer sees it."""
        return str(self._options.get("clean", "whitespace"))

    def padded_definition(self) -> str | None:
        """Return the JSON of the ``tokenizers`` library with this cut and padding, if it can do it.

        It cannot where ids are rearranged afterwards, or the tokenizer is not of that library.
        """
        backend = getattr(self._tokenizer.tokenizer, "backend_tokenizer", None)
        rearranged = any(self._options.get(name) for name in ("strip_sep_token", "language"))
        if backend is None or self._mode or rearranged:
            return None
        self([""])  # stores the padding and truncation in the backend
        definition: str = backend.to_str()
        return definition

    def _digest(self) -> str:
        inner = self._tokenizer.tokenizer
        backend = getattr(inner, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend else json.dumps(inner.get_vocab(), sort_keys=True)
        settings = json.dumps([self.context_length, self._mode, self._options], sort_keys=True)
        return hashlib.sha256((settings + vocabulary).encode()).hexdigest()

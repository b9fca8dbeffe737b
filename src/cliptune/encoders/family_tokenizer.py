"""transformers' own tokenizer of a model, padded as its family pads.

It knows no tower. An id that the tower must not see is written as ``-1 - id``: where padding and
end mark are one token, ids alone would not tell.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.plain_files import plain_tokenizer
from cliptune.errors import CheckpointError, MissingExtraError

if TYPE_CHECKING:
    import torch

__all__ = ["FamilyTokenizer"]


class FamilyTokenizer:
    """A tokenizer as transformers loads it from a folder.

    Args:
        folder: With the tokenizer's files.
        context_length: Ids in a row; shorter texts are padded to it.
        lower: Texts are brought to lower case first.
        masked: The tower is told which ids are padding: ``always``, or ``asked`` where the
            tokenizer's own settings list a mask among what the model takes.

    Attributes:
        context_length: As it was given.
        identity: Digest of all that shapes an id.
        pad_id: The id of padding.
        vocabulary_size: Ids that the tokenizer knows, added ones included.
        unknown_id: The id of what it does not know, if it has one.
        padding_side: ``left`` or ``right``.

    Raises:
        CheckpointError: The folder holds no tokenizer that can be read, or one without padding.
        MissingExtraError: It is of a library that is not installed.
    """

    def __init__(
        self, folder: Path, *, context_length: int, lower: bool = False, masked: bool
    ) -> None:
        self.context_length = context_length
        self.lower = lower
        self._tokenizer = _open(folder)
        if self._tokenizer.pad_token_id is None:
            raise CheckpointError(
                f"the tokenizer in {folder} has no padding token; name it as pad_token in its "
                "tokenizer_config.json"
            )
        self.pad_id = int(self._tokenizer.pad_token_id)
        self.unknown_id: int | None = self._tokenizer.unk_token_id
        self.padding_side = str(self._tokenizer.padding_side)
        self.vocabulary_size = len(self._tokenizer)
        self.masked = masked or "attention_mask" in self._tokenizer.model_input_names
        self.identity = self._digest()

    def __call__(self, texts: list[str], /) -> torch.Tensor:
        """Give ids (T, context_length), int64; what must not be seen as ``-1 - id``."""
        import torch

        encoded = self._tokenizer(
            [self._clean(text) for text in texts],
            padding="max_length",
            max_length=self.context_length,
            truncation=True,
            return_attention_mask=True,
            return_tensors="np",
        )
        ids: NDArray[np.int64] = encoded["input_ids"].astype(np.int64)
        if self.masked:
            ids = np.where(encoded["attention_mask"] > 0, ids, -1 - ids)
        return torch.from_numpy(ids)

    def count_tokens(self, text: str, /) -> int:
        """Count the ids of a text before any cut, marks included."""
        return len(self._tokenizer(self._clean(text), verbose=False).input_ids)

    def padded_definition(self) -> str | None:
        """Return the JSON of the ``tokenizers`` library with this cut and padding, or none."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        self([""])  # stores the padding and truncation in the backend
        definition: str = backend.to_str()
        return definition

    def _clean(self, text: str) -> str:
        return text.lower() if self.lower else text

    def _digest(self) -> str:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            words = json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
            words += str(getattr(self._tokenizer, "do_lower_case", ""))
        else:
            words = self.padded_definition() or ""
        settings = [self.context_length, self.lower, self.masked, self.padding_side, self.pad_id]
        return hashlib.sha256((json.dumps(settings) + words).encode()).hexdigest()


def _open(folder: Path) -> Any:  # Any: transformers carries no types here
    from transformers import AutoTokenizer

    with plain_tokenizer(folder) as plain:
        try:
            return AutoTokenizer.from_pretrained(
                str(plain), local_files_only=True, trust_remote_code=False
            )
        except ImportError as error:
            if "sentencepiece" in str(error).lower():
                raise MissingExtraError("sentencepiece", f"the tokenizer in {folder}") from error
            raise
        except Exception as error:  # the libraries raise all kinds over a stranger's files
            reason = str(error).strip().partition("\n")[0].replace(str(plain), str(folder))
            raise CheckpointError(f"{folder} holds no readable tokenizer: {reason}") from error

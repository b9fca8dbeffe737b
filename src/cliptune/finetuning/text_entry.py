"""Hidden states of texts behind a text tower's frozen blocks, computed once per text and kept.

Steps and scores then enter the tower at its border. It knows texts as rows of ids, and nothing
about labels, losses or steps. Texts are computed in blocks that are always the same, so that
neither the order of steps nor a kill changes a bit of them.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cliptune.encoders.causal_text import find_text_end
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import InputError
from cliptune.finetuning.activations import TOLERANCE, dtype_of
from cliptune.finetuning.border import TowerCut, find_border
from cliptune.finetuning.entry import FREE_SHARE, ActivationPlace
from cliptune.finetuning.groups import GroupPlan
from cliptune.finetuning.kept_rows import KeptRows, row_bytes
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.scoring import Embedder
from cliptune.system.formatting import size

__all__ = ["open_texts"]

_BLOCK = 64
_log = logging.getLogger(__name__)


@contextmanager
def open_texts(
    encoder: TorchEncoder,
    texts: Sequence[str],
    plans: Sequence[GroupPlan],
    options: FinetuneOptions,
    embedder: Embedder,
    place: ActivationPlace | None,
    *,
    taken_bytes: int,
) -> Iterator[tuple[Embedder, int]]:
    """Open the file of a run whose lower text blocks never train.

    Args:
        encoder: Its module trains.
        texts: T texts that come again and again; others go through the whole tower. None: there
            is nothing to enter it with.
        plans: Of all groups.
        options: Settled.
        embedder: The model as functions.
        place: Where; None: nowhere.
        taken_bytes: What images take of the place already.

    Yields:
        The functions, which enter the text tower at its border where they can, and the bytes that
        all texts take on disk.

    Raises:
        InputError: The texts need more than the place may hold.
        UnavailableError: The place cannot be written to.
    """
    border = find_border(plans, "text")
    if place is None or border is None or not texts or embedder.n_processes > 1:
        yield embedder, 0
        return
    known = _KnownTexts.of(encoder, embedder.tokenize(list(dict.fromkeys(texts))))
    cut = TowerCut(encoder.model, border)
    found = _try_border(cut, embedder, known)
    if found is None:
        yield embedder, 0
        return
    width, tower_dtype = found
    dtype = dtype_of(options.precision)
    n_bytes = int(known.lengths.sum()) * row_bytes((width,), dtype)
    if not _fits(n_bytes, place, taken_bytes, len(known.ids)):
        yield embedder, 0
        return
    facts = (encoder.fingerprint, options.precision, border, embedder.device)
    folder = place.folder / hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    name = hashlib.sha256(known.ids.numpy().tobytes()).hexdigest()[:32]
    rows = KeptRows(folder / name, int(known.lengths.sum()), (width,), dtype)
    with closing(rows):
        kept = _KeptTexts(cut, embedder, known, rows, tower_dtype)
        yield replace(embedder, encode_tokens=kept.encode_tokens), n_bytes


def _fits(n_bytes: int, place: ActivationPlace, taken_bytes: int, n_texts: int) -> bool:
    if place.max_bytes is None:
        place.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place.folder).free
        return taken_bytes + n_bytes <= FREE_SHARE * free
    if taken_bytes + n_bytes > place.max_bytes:
        raise InputError(
            f"what the frozen text blocks give for {n_texts} texts takes {size(n_bytes)}, but "
            f"--max-disk leaves {size(place.max_bytes - taken_bytes)} for it; use --max-disk "
            f"{-(-(taken_bytes + n_bytes) // 1_000_000)}MB or --no-activations"
        )
    return True


@dataclass(frozen=True)
class _KnownTexts:
    """Texts sorted by length, so that those of a block are about as long.

    Attributes:
        ids: int64 (T, L) on the host.
        lengths: int64 (T,), ids of each up to its end.
        starts: int64 (T,), sum of the lengths before.
        number: From a row of ids, as bytes, to its place.
    """

    ids: Tensor
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    number: dict[bytes, int]

    @classmethod
    def of(cls, encoder: TorchEncoder, ids: Tensor) -> _KnownTexts:
        lengths = find_text_end(encoder.model).lengths(ids.numpy())
        order = np.argsort(lengths, kind="stable")
        ids, lengths = ids[torch.from_numpy(order)], lengths[order]
        number = {_key(one): place for place, one in enumerate(ids)}
        return cls(ids, lengths, np.cumsum(lengths) - lengths, number)

    def tokens_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of all tokens of some texts, one text after the other."""
        return np.concatenate(
            [np.arange(self.starts[n], self.starts[n] + self.lengths[n]) for n in numbers]
        )

    def pad(self, values: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        """Lay tokens (n, W) of some texts out as (T, L, W), with zeros behind each end."""
        lengths = torch.from_numpy(self.lengths[numbers])
        length = int(lengths.max())
        padded = values.new_zeros(len(lengths), length, values.shape[1])
        padded[torch.arange(length) < lengths[:, None]] = values
        return padded

    def unpad(self, hidden: Tensor, numbers: NDArray[np.int64]) -> Tensor:
        """Return the tokens (n, W) of hidden states (T, L, W)."""
        lengths = torch.from_numpy(self.lengths[numbers])
        return hidden.cpu()[torch.arange(hidden.shape[1]) < lengths[:, None]]


@dataclass(frozen=True)
class _KeptTexts:
    """A text tower that is entered at its border with what is known of texts.

    Attributes:
        cut: The tower.
        embedder: The model as functions, whole.
        known: The texts.
        rows: Hidden states, one row a token.
        dtype: The tower's.
    """

    cut: TowerCut
    embedder: Embedder
    known: _KnownTexts
    rows: KeptRows
    dtype: torch.dtype

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Embed ids (T, L) on the host as float32 unit rows (T, D), with gradients."""
        found = [self.known.number.get(_key(one)) for one in tokens]
        if any(number is None for number in found):
            return self.embedder.encode_tokens(tokens)
        numbers = np.asarray(found, dtype=np.int64)
        self._fill(numbers)
        values = self.rows.read(self.known.tokens_of(numbers))
        hidden = self.known.pad(values, numbers).to(self.embedder.device, self.dtype)
        with self.cut.entered(hidden):
            return self.embedder.encode_tokens(tokens)

    def _fill(self, numbers: NDArray[np.int64]) -> None:
        """Compute what these texts lack, whole blocks at a time."""
        for block in np.unique(numbers // _BLOCK).tolist():
            own = np.arange(block * _BLOCK, min((block + 1) * _BLOCK, len(self.known.ids)))
            tokens = self.known.tokens_of(own)
            if self.rows.lacks(tokens):
                hidden = _leave(self.cut, self.embedder, self.known.ids[torch.from_numpy(own)])
                self.rows.write(tokens, self.known.unpad(hidden, own))


def _leave(cut: TowerCut, embedder: Embedder, ids: Tensor) -> Tensor:
    """Run a text tower up to its border: ids (T, L) to hidden states (T, L', W)."""
    return cut.leave(lambda: embedder.encode_tokens(ids))


@torch.no_grad()
def _try_border(
    cut: TowerCut, embedder: Embedder, known: _KnownTexts
) -> tuple[int, torch.dtype] | None:
    """See whether a text tower that is entered at its border gives the rows it gives as a whole.

    The shortest text and the longest go in together, what lies behind the end of each as zeros.

    Returns:
        Width and dtype of the hidden states, or None where something behind the border looks at
        more than them, or at what lies behind the end of a text.
    """
    numbers = np.array([0, len(known.ids) - 1])
    ids = known.ids[torch.from_numpy(numbers)]
    length = int(known.lengths[numbers].max())
    whole = embedder.encode_tokens(ids)
    try:
        hidden = _leave(cut, embedder, ids)
        # Texts first, tokens second: for two tokens that could not be told.
        if hidden.ndim != 3 or hidden.shape[:2] != (2, length) or length == 2:
            return None
        padded = known.pad(known.unpad(hidden, numbers), numbers)
        with cut.entered(padded.to(hidden.device)):
            entered = embedder.encode_tokens(ids)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        _log.info("the text tower cannot be entered behind its frozen blocks (%s)", error)
        return None
    off = float((entered - whole).abs().max()) if entered.shape == whole.shape else np.inf
    if not off <= TOLERANCE:
        _log.info("the text tower entered behind its frozen blocks is off by %.1e", off)
        return None
    return hidden.shape[2], hidden.dtype


def _key(ids: Tensor) -> bytes:
    return ids.numpy().tobytes()

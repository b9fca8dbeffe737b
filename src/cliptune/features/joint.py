"""The features of several encoders side by side, from those of each, which are kept as its own.

It knows how parts are asked for and joined, and nothing about where they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError, NoTrunkError
from cliptune.features.keys import content_digest
from cliptune.features.types import Features, Progress

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.joint import JointEncoder
    from cliptune.images import ImageTable

__all__ = ["joint_features", "joint_texts"]

Told = Callable[[Progress], None]


class _Ask(Protocol):
    def __call__(
        self, encoder: DualEncoder, table: ImageTable, *, trunk: bool, progress: Told
    ) -> Features: ...


def joint_features(
    ask: _Ask,
    encoder: JointEncoder,
    table: ImageTable,
    *,
    tokens: bool,
    trunk: bool,
    progress: Told | None,
) -> Features:
    """Return the features of a table, as ``FeatureStore.features`` does.

    Args:
        ask: Gives those of one encoder.
        encoder: Several.
        table: N images.
        tokens: Patches, which are refused.
        trunk: Also give the features before the projections; a part that has none gives its
            embedding in their place.
        progress: Called with images of which all parts are there, as if they went along together.

    Raises:
        InputError: Patches were asked for.
    """
    if tokens:
        raise InputError(
            f"the patches of {encoder.name} cannot be joined: its parts have others; name one"
        )
    found: list[Features] = []
    told = _Told(len(encoder.parts), progress)
    for part in encoder.parts:
        advance = partial(told, len(found))
        try:
            found.append(ask(part, table, trunk=trunk, progress=advance))
        except NoTrunkError:
            found.append(ask(part, table, trunk=False, progress=advance))
    key = content_digest("\n".join((encoder.name, *(one.key for one in found))).encode()).hex()
    behind = [one.vectors if one.trunk is None else one.trunk for one in found]
    return replace(
        found[0],
        vectors=encoder.join([one.vectors for one in found]),
        key=key,
        trunk=encoder.join_trunks(behind) if trunk else None,
    )


def joint_texts(
    ask: Callable[..., NDArray[np.float32]],
    encoder: JointEncoder,
    texts: Sequence[str],
    *,
    truncate: bool,
    progress: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """Return the embeddings of texts, as ``FeatureStore.text_features`` does."""
    return encoder.join(
        [ask(part, texts, truncate=truncate, progress=progress) for part in encoder.parts]
    )


class _Told:
    """Progress of parts one after another, told as one."""

    def __init__(self, n_parts: int, progress: Told | None) -> None:
        self._last: list[Progress | None] = [None] * n_parts
        self._progress = progress

    def __call__(self, part: int, now: Progress) -> None:
        """Tell how far one part is."""
        self._last[part] = now
        if self._progress is None:
            return
        known = [one for one in self._last if one is not None]
        self._progress(
            Progress(
                done=sum(one.done for one in known) // len(self._last),
                total=now.total,
                embedded=max(one.embedded for one in known),
                input_seconds=sum(one.input_seconds for one in known),
                model_seconds=sum(one.model_seconds for one in known),
            )
        )

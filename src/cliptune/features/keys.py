"""What a cached vector depends on, as a digest.

It knows nothing about where vectors are kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder

__all__ = ["CONTENT_BYTES", "StoreKey", "content_digest", "reduces_input", "table_digest"]

CONTENT_BYTES = 16
_LAYOUT = 1  # of the files; raise it when they change
_PIXELS = 3  # of decoding and resizing; raise it when they give other pixels
_REDUCED_PIXELS = 4  # of decoding large JPEGs at a reduced scale first


@dataclass(frozen=True)
class StoreKey:
    """Everything but the image that decides a cached vector.

    Attributes:
        fingerprint: The encoder's, a digest of its weights.
        preprocess: The constants of its input transform.
        precision: What the towers compute in.
        engine: What runs them, e.g. ``torch``.
        kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut`` (to the context's
            length).
        reduced: Large JPEGs are decoded at a reduced scale.
    """

    fingerprint: str
    preprocess: dict[str, Any]  # Any: plain JSON values
    precision: str
    engine: str
    kind: str
    reduced: bool = False

    @classmethod
    def of(cls, encoder: DualEncoder, kind: str) -> StoreKey:
        """Describe one kind of output of an encoder.

        An encoder without ``computed_by`` computes everything in torch.
        """
        ask = getattr(encoder, "computed_by", None)
        engine, precision = ask(kind) if ask else ("torch", encoder.precision)
        return cls(
            fingerprint=encoder.fingerprint,
            preprocess=encoder.preprocess.to_dict(),
            precision=precision,
            engine=engine,
            kind=kind,
            reduced=reduces_input(encoder) and not kind.startswith("texts"),
        )

    def has_same_maker(self, other: StoreKey) -> bool:
        """Say whether another kind of output differs from this one in nothing but its kind."""
        return replace(other, kind=self.kind) == self

    @property
    def digest(self) -> str:
        """Hex digest, 32 characters."""
        facts = {name: value for name, value in asdict(self).items() if name != "reduced"}
        pixels = _REDUCED_PIXELS if self.reduced else _PIXELS
        text = json.dumps({"layout": _LAYOUT, "pixels": pixels, **facts}, sort_keys=True)
        return content_digest(text.encode()).hex()


def reduces_input(encoder: DualEncoder) -> bool:
    """Say whether large JPEGs are decoded at a reduced scale for an encoder.

    The reference, torch on a processor, sees open_clip's own pixels, byte for byte.
    """
    return bool(getattr(encoder, "reduced_input", False))


def content_digest(data: bytes) -> bytes:
    """Return the BLAKE2b digest, 16 bytes long."""
    return hashlib.blake2b(data, digest_size=CONTENT_BYTES).digest()


def table_digest(contents: NDArray[np.bytes_]) -> str:
    """Return one hex digest of the contents of many files, in order."""
    return content_digest(contents.tobytes()).hex()

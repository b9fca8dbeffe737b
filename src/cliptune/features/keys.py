"""What a cached vector depends on, as a digest.

It knows nothing about where vectors are kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders import DualEncoder

__all__ = ["CONTENT_BYTES", "StoreKey", "content_digest", "table_digest"]

CONTENT_BYTES = 16
_LAYOUT = 1  # of the files; raise it when they change
_PIXELS = 1  # of decoding and resizing; raise it when they give other pixels


@dataclass(frozen=True)
class StoreKey:
    """Everything but the image that decides a cached vector.

    Attributes:
        fingerprint: The encoder's, a digest of its weights.
        preprocess: The constants of its input transform.
        precision: What the towers compute in.
        engine: What runs them, e.g. ``torch``.
        kind: ``pooled``, ``tokens``, ``texts`` or ``texts-cut`` (to the context's length).
    """

    fingerprint: str
    preprocess: dict[str, Any]  # Any: plain JSON values
    precision: str
    engine: str
    kind: str

    @classmethod
    def of(cls, encoder: DualEncoder, kind: str) -> StoreKey:
        """Describe one kind of output of an encoder.

        An encoder without an ``engine`` attribute computes in torch.
        """
        engine = str(getattr(encoder, "engine", "torch"))
        preprocess = encoder.preprocess.to_dict()
        return cls(encoder.fingerprint, preprocess, encoder.precision, engine, kind)

    @property
    def digest(self) -> str:
        """Hex digest, 32 characters."""
        text = json.dumps({"layout": _LAYOUT, "pixels": _PIXELS, **asdict(self)}, sort_keys=True)
        return content_digest(text.encode()).hex()


def content_digest(data: bytes) -> bytes:
    """Return the BLAKE2b digest, 16 bytes long."""
    return hashlib.blake2b(data, digest_size=CONTENT_BYTES).digest()


def table_digest(contents: NDArray[np.bytes_]) -> str:
    """Return one hex digest of the contents of many files, in order."""
    return content_digest(contents.tobytes()).hex()

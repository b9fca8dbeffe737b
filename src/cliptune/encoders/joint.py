"""Several encoders side by side, as one: ``lite+ViT-B-32/openai``.

An image's row is the parts' rows one behind the other, and so is a text's, each weighted by the
root of its model's share of all logit scales. A product of two such rows, times the mean of the
scales, is the mean of the models' own logits: what each says of a text counts alike. This module
knows nothing about how rows are kept, or whether two encoders are better than one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders.names import require_known, split_joint
from cliptune.encoders.preprocess import Fit, Preprocess
from cliptune.errors import InputError, NoTrunkError

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["JointEncoder", "JointPreprocess", "open_joint", "read_preprocess"]

_LOSSY = ("int8", "fp16", "bf16")


def read_preprocess(values: object) -> Preprocess:
    """Read what ``to_dict`` of an encoder's ``preprocess`` gave, of one or of several.

    Raises:
        TypeError: A field is missing, unknown or of another type.
        ValueError: A number would give no pixels.
    """
    is_joint = isinstance(values, Mapping) and "parts" in values
    return (JointPreprocess if is_joint else Preprocess).from_dict(values)


def open_joint(name: str, ask: Callable[[str], DualEncoder]) -> JointEncoder:
    """Open the encoders of a name, one after the other.

    Args:
        name: The whole.
        ask: Opens one.

    Raises:
        CliptuneError: One cannot be had, or comes twice.
    """
    require_known(name)
    return JointEncoder(name, [ask(part) for part in split_joint(name)])


@dataclass(frozen=True)
class JointPreprocess(Preprocess):
    """The inputs of several encoders from one picture, packed into one array.

    The constants of a single input are meaningless here.

    Attributes:
        parts: What each encoder's own input is made by.
    """

    parts: tuple[Preprocess, ...] = ()

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Prepare one picture for all: uint8 (3, 1, P), their pixels row by row, in a line."""
        return self.of_each([image] * len(self.parts))

    def of_each(self, images: Sequence[Image.Image]) -> NDArray[np.uint8]:
        """Prepare a picture that was decoded for each part, at the size that it asks for."""
        made = [part(image) for part, image in zip(self.parts, images, strict=True)]
        return np.concatenate([pixels.reshape(3, 1, -1) for pixels in made], axis=2)

    def quick_fit(self, given: tuple[int, ...]) -> Fit | None:
        """Say that no single resize and crop gives what is packed."""
        return None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what comes out."""
        return 3, 1, sum(math.prod(part.shape[1:]) for part in self.parts)

    @property
    def min_side(self) -> int:
        """Pixels of a picture's shorter side that are enough for every part."""
        return max(part.min_side for part in self.parts)

    @property
    def side(self) -> int:
        """Pixels of the shorter side of the largest input."""
        return max(part.side for part in self.parts)

    def expect(self, n: int) -> None:
        """Get ready for so many pictures."""
        for part in self.parts:
            part.expect(n)

    def unpack(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Return each part's own pixels, uint8 (B, 3, H, W), of packed ones (B, 3, 1, P)."""
        ends = np.cumsum([math.prod(part.shape[1:]) for part in self.parts])
        pieces = np.split(pixels, ends[:-1], axis=3)
        return [
            np.ascontiguousarray(piece.reshape(len(pixels), *part.shape))
            for piece, part in zip(pieces, self.parts, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return plain JSON values."""
        return {"parts": [part.to_dict() for part in self.parts]}

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what ``to_dict`` gave, after JSON; see ``Preprocess.from_dict``."""
        parts = values.get("parts") if isinstance(values, Mapping) else None
        if not isinstance(parts, Sequence) or isinstance(parts, str) or len(parts) < 2:
            raise TypeError(f"preprocess is {values!r:.60}; expected several parts")
        return cls(parts=tuple(Preprocess.from_dict(part) for part in parts))


class JointEncoder:
    """A ``DualEncoder`` of several.

    Args:
        name: What the user calls it: the parts' names with ``+`` between them.
        parts: Two encoders or more, each on its own engine.

    Raises:
        InputError: Two of them are one and the same under different names.
    """

    def __init__(self, name: str, parts: Sequence[DualEncoder]) -> None:
        self.name = name
        self.parts = tuple(parts)
        known: dict[str, str] = {}
        for part in self.parts:
            if part.fingerprint in known:
                raise InputError(
                    f"model {name!r}: {known[part.fingerprint]!r} and {part.name!r} are the same "
                    "encoder; expected different ones with + between them"
                )
            known[part.fingerprint] = part.name
        self.news = "; ".join(
            f"{part.name} on {news}" for part in parts if (news := getattr(part, "news", ""))
        )

    @property
    def dim(self) -> int:
        """Dimensions of all parts."""
        return sum(part.dim for part in self.parts)

    @property
    def logit_scale(self) -> float:
        """The mean of the parts'."""
        return sum(part.logit_scale for part in self.parts) / len(self.parts)

    @property
    def weights(self) -> tuple[float, ...]:
        """What each part's rows are multiplied by; the sum of their squares is 1."""
        total = sum(part.logit_scale for part in self.parts)
        return tuple(math.sqrt(part.logit_scale / total) for part in self.parts)

    @property
    def context_length(self) -> int:
        """Of the shortest context."""
        return min(part.context_length for part in self.parts)

    @cached_property
    def preprocess(self) -> JointPreprocess:
        """From one picture to what all parts take."""
        return JointPreprocess(parts=tuple(part.preprocess for part in self.parts))

    @property
    def fingerprint(self) -> str:
        """Hex digest of the parts' fingerprints, in their order."""
        text = "\n".join(("joint", *(part.fingerprint for part in self.parts)))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def precision(self) -> str:
        """The most rounded of the parts'."""
        own = {part.precision for part in self.parts}
        return next((name for name in _LOSSY if name in own), "fp32")

    @property
    def engine(self) -> str:
        """What computes each part."""
        return "+".join(str(getattr(part, "engine", "torch")) for part in self.parts)

    @property
    def device(self) -> str:
        """Where the parts are."""
        return self.parts[0].device

    @property
    def score(self) -> Literal["softmax"]:
        """Means of logits of different models are compared with each other, not with a bias."""
        return "softmax"

    @property
    def reduced_input(self) -> bool:
        """Whether large JPEGs are decoded at a reduced scale: only where every part may."""
        return all(getattr(part, "reduced_input", False) for part in self.parts)

    def join(self, pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Join embeddings of the parts, (N, D) each, to rows of norm 1: (N, sum of D)."""
        return _join(pieces, self.weights)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images; see ``DualEncoder``."""
        given = zip(self.parts, self.preprocess.unpack(pixels), strict=True)
        return self.join([part.encode_images(own) for part, own in given])

    def encode_texts(self, texts: Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Embed texts; see ``DualEncoder``."""
        return self.join([part.encode_texts(texts, truncate=truncate) for part in self.parts])

    def encode_tokens(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: patches of two models are of unlike number and place."""
        raise InputError(
            f"{self.name} is several encoders side by side, whose patches cannot be joined; name "
            "one of them"
        )

    def encode_trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the embedding and the features before each part's projection; see ``join_trunks``.

        A part without a projection has its embedding there again.
        """
        found = []
        for part, own in zip(self.parts, self.preprocess.unpack(pixels), strict=True):
            try:
                found.append(part.encode_trunk(own))
            except NoTrunkError:
                found.append(part.encode_images(own))
        return self.join_trunks(found)

    def join_trunks(self, pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Join what the parts' ``encode_trunk`` gave, or their embeddings where there is no trunk.

        Args:
            pieces: A part's rows each, (N, D + E), or (N, D) where E are the D once more.

        Returns:
            float32 (N, sum of D + sum of E): the embeddings, weighted, then the features before
            the projections, each part of which counts alike; each half of norm 1.
        """
        dims = [part.dim for part in self.parts]
        pooled = [piece[:, :dim] for piece, dim in zip(pieces, dims, strict=True)]
        behind = [
            piece[:, dim:] if piece.shape[1] > dim else piece
            for piece, dim in zip(pieces, dims, strict=True)
        ]
        even = [1 / math.sqrt(len(pieces))] * len(pieces)
        return np.concatenate([self.join(pooled), _join(behind, even)], axis=1)


def _join(pieces: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """Put rows of the parts one behind the other, each times its weight: float32 (N, sum of D)."""
    weighted = [np.float32(w) * piece for w, piece in zip(weights, pieces, strict=True)]
    return np.concatenate(weighted, axis=1)

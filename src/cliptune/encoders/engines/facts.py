"""What is to be known of an encoder to use its converted graphs without its weights.

It reads and writes plain values, and knows neither graphs nor torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from cliptune.encoders.families.facts import Score
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.text_end import TextEnd
from cliptune.system.typed import require_types

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["EncoderFacts"]


@dataclass(frozen=True)
class EncoderFacts:
    """An encoder without its towers.

    Attributes:
        fingerprint: Digest of its weights, preprocessing and tokenizer.
        dim: Length of an embedding.
        logit_scale: Its factor on cosines.
        context_length: Tokens that fit into its text tower.
        preprocess: Its input transform.
        text_end: How far rows of token ids can be cut.
        convolutional: Its image tower is mainly convolutions.
        logit_bias: What it adds to logits, if anything.
        family: Its family's name.
        score: ``softmax`` or ``sigmoid``.
        prompt: The template that its family's authors use.
    """

    fingerprint: str
    dim: int
    logit_scale: float
    context_length: int
    preprocess: Preprocess
    text_end: TextEnd
    convolutional: bool
    logit_bias: float | None = None
    family: str = ""
    score: Score = "softmax"
    prompt: str | None = None

    @classmethod
    def of(cls, encoder: TorchEncoder) -> Self:
        """Describe an encoder."""
        from cliptune.encoders.torch_encoder import is_convolutional

        return cls(
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            logit_scale=encoder.logit_scale,
            context_length=encoder.context_length,
            preprocess=encoder.preprocess,
            text_end=encoder.text_end,
            convolutional=is_convolutional(encoder.model),
            logit_bias=encoder.logit_bias,
            family=encoder.family,
            score=encoder.score,
            prompt=encoder.prompt,
        )

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what ``to_dict`` gave, after JSON.

        Raises:
            TypeError: A field is missing, unknown or of another type.
            KeyError: A field is missing.
            ValueError: A number is out of range.
        """
        rest = {k: v for k, v in values.items() if k not in ("preprocess", "text_end")}
        preprocess = Preprocess.from_dict(values["preprocess"])
        end = TextEnd(**values["text_end"])
        facts = cls(preprocess=preprocess, text_end=end, **rest)
        require_types(facts, cls, "facts")
        return facts

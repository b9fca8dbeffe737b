"""Does a model that loaded also answer rightly: what can be seen of it without any labels.

It knows encoders in torch and their families, and no files. What random weights cannot
show is said to be unseen: an activation or a normalisation that no family states shows only in
the answers of trained weights, on the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cliptune.encoders.engines.agreement import draw_inputs
from cliptune.encoders.engines.findings import Finding
from cliptune.encoders.engines.probing import probe_answers
from cliptune.encoders.families import Family, TransformersFamily, families
from cliptune.system.typed import require_types

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["SelfCheck", "check_encoder"]

_TEXTS = (
    "a photo of a bee.",
    "two people on a beach, seen from above, with a red umbrella and a small dog beside them",
    "a",
    "an old clock",
)
_SAME = 1e-4  # of a component, alone and in a batch
_SCALES = (0.5, 1000.0)
_LARGEST_BIAS = 100.0
_KNOWN_WORDS = 0.5  # share of ids that must not be the unknown token
_FULL_TABLE = 0.9  # of the rows of the text tower's table that the tokenizer should know


@dataclass(frozen=True)
class SelfCheck:
    """All that was looked at.

    Attributes:
        trained: The weights are not as a library initialises them.
        findings: In the order of looking.
    """

    trained: bool
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be told to the user."""
        return tuple(one.said for one in self.findings if one.status == "warned")

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what ``to_dict`` gave, after JSON.

        Raises:
            TypeError: A field is missing, unknown or of another type.
            KeyError: A field is missing.
        """
        findings = tuple(Finding(**one) for one in values["findings"])
        found = cls(values["trained"], findings)
        require_types(found, cls, "self-check")
        return found


def check_encoder(encoder: TorchEncoder, *, seconds: float | None = None) -> SelfCheck:
    """Look at a model that was just loaded.

    Args:
        encoder: In fp32.
        seconds: What the probe may take at most; a slower model's stays unseen.
    """
    trained = _is_trained(encoder.model)
    family = families().get(encoder.family)
    findings = [*_rows(encoder), *_texts(encoder, family), *_stated(encoder, family)]
    if all(one.status != "warned" for one in findings if one.name == "finite"):
        findings.append(probe_answers(encoder, trained, seconds))
    return SelfCheck(trained, tuple(findings))


def _is_trained(model: nn.Module) -> bool:
    """Say whether some norm's weights have left the ones that they start from."""
    norms = (nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
    weights = [m.weight for m in model.modules() if isinstance(m, norms) and m.weight is not None]
    return any(bool((weight != 1).any()) for weight in weights)


def _rows(encoder: TorchEncoder) -> Iterator[Finding]:
    pixels = draw_inputs(encoder.preprocess, 4)
    images, texts = encoder.encode_images(pixels), encoder.encode_texts(_TEXTS, truncate=True)
    norms = np.linalg.norm(np.concatenate([images, texts]), axis=1)
    yield _judge(
        "finite",
        bool(np.isfinite(norms).all() and np.abs(norms - 1).max() < 1e-3),
        "rows are finite and of norm 1",
        f"{encoder.name} gives rows that are not finite or not of norm 1: its weights are broken "
        "or of another model; fetch them again",
    )
    alone = np.concatenate([encoder.encode_images(pixels[i : i + 1]) for i in range(2)])
    yield _judge(
        "images alone",
        _close(alone, images[:2]),
        "an image alone and in a batch has one row",
        f"{encoder.name} gives an image another row in a batch than alone: something in its image "
        "tower depends on the batch",
    )
    yield _judge(
        "images apart",
        float(np.abs(images - images[0]).max()) > 1e-6,
        "pictures have rows of their own",
        f"{encoder.name} gives all pictures one row: weights of its image tower are missing",
    )


def _texts(encoder: TorchEncoder, family: Family | None) -> Iterator[Finding]:
    rows = encoder.encode_texts(_TEXTS, truncate=True)
    alone = np.concatenate([encoder.encode_texts([text], truncate=True) for text in _TEXTS])
    yield _judge(
        "texts alone",
        _close(alone, rows),
        "a text alone and in a batch has one row: tokenizer and tower agree on padding",
        f"{encoder.name} gives a text another row in a batch than alone: its tokenizer pads in a "
        "way that its text tower does not expect",
    )
    side = getattr(encoder.tokenizer, "padding_side", "right")
    yield _judge(
        "padding side",
        side == "right",
        "texts are padded behind their end",
        f"{encoder.name} pads texts on the {side}, its family on the right: correct padding_side "
        "in tokenizer_config.json",
    )
    yield _words(encoder)
    low, high = _SCALES
    bias = encoder.logit_bias
    fits = low <= encoder.logit_scale <= high and (bias is None or abs(bias) <= _LARGEST_BIAS)
    lacks = family is not None and family.score == "sigmoid" and bias is None
    yield _judge(
        "scale",
        fits and not lacks,
        f"factor {encoder.logit_scale:.4g}, bias {'none' if bias is None else format(bias, '.4g')}",
        f"{encoder.name} has a factor of {encoder.logit_scale:.4g} and a bias of {bias} on its "
        f"logits; expected {low} to {high:.0f} and at most {_LARGEST_BIAS:.0f}: its scores mean "
        "little",
    )


def _words(encoder: TorchEncoder) -> Finding:
    """Compare the tokenizer with the text tower's table and end mark."""
    ids = encoder.tokenizer(list(_TEXTS)).numpy()
    tokenizer = encoder.tokenizer
    known = getattr(tokenizer, "vocabulary_size", None)
    rows = _table_rows(encoder.model)
    why = ""
    if known is not None and rows is not None and known < _FULL_TABLE * rows:
        why = f"knows {known} tokens, the text tower {rows}"
    end = encoder.text_end
    if end.rule == "id" and not (ids == end.token).any(axis=1).all():
        why = f"gives no end mark {end.token}, where the text tower reads its row"
    unknown = getattr(tokenizer, "unknown_id", None)
    seen = ids[ids >= 0] if (ids < 0).any() else ids[ids != getattr(tokenizer, "pad_id", -1)]
    if unknown is not None and seen.size and (seen != unknown).mean() < _KNOWN_WORDS:
        why = "knows fewer than half of the words of plain English sentences"
    return _judge(
        "vocabulary",
        not why,
        "the tokenizer's vocabulary fits the text tower",
        f"the tokenizer of {encoder.name} {why}: it is of another vocabulary; use the one that "
        "belongs to these weights",
    )


def _table_rows(model: nn.Module) -> int | None:
    tower = getattr(model, "text_model", None)
    ask: Callable[[], nn.Module] | None = getattr(tower, "get_input_embeddings", None)
    table = ask() if ask is not None else None
    return table.num_embeddings if isinstance(table, nn.Embedding) else None


def _stated(encoder: TorchEncoder, family: Family | None) -> Iterator[Finding]:
    """Compare what a folder says with what its family is known for."""
    if not isinstance(family, TransformersFamily):
        unseen = "no family states it; the probe shows it with trained weights"
        yield Finding("normalisation", "unseen", unseen)
        yield Finding("activation", "unseen", unseen)
        return
    ours = encoder.preprocess.mean, encoder.preprocess.std
    same = np.allclose(ours, (family.mean, family.std), atol=1e-3)
    yield _judge(
        "normalisation",
        bool(same),
        f"mean and std are {family.title}'s",
        f"{encoder.name} is normalised with mean {_short(ours[0])} and std {_short(ours[1])}, "
        f"{family.title} with {_short(family.mean)} and {_short(family.std)}: correct image_mean "
        "and image_std in its preprocessor_config.json",
    )
    blueprint = encoder.blueprint
    parts = {} if blueprint is None else blueprint.config
    for part, usual in family.activations.items():
        said = parts.get(part, {}).get("hidden_act", usual)
        yield _judge(
            "activation",
            said == usual,
            f"{part} has {family.title}'s activation, {usual}",
            f"{encoder.name} has the activation {said!r} in its {part}, {family.title} has "
            f"{usual!r}: correct hidden_act in its config.json",
        )
    if not family.activations:
        yield Finding(
            "activation",
            "unseen",
            "the family comes with GELU and QuickGELU; the probe shows it with trained weights",
        )


def _close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    return bool(np.abs(found - expected).max() <= _SAME)  # which NaN is not


def _judge(name: str, right: bool, passed: str, warned: str) -> Finding:
    return Finding(name, "passed", passed) if right else Finding(name, "warned", warned)


def _short(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)

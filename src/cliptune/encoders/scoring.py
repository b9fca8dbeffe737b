"""What an encoder states of its scores; one that states nothing is softmax without a bias.

It computes nothing.
"""

from __future__ import annotations

from cliptune.encoders.families.facts import Score

__all__ = ["bias_of", "prompt_of", "score_of"]


def score_of(encoder: object) -> Score:
    """Return what an encoder was trained for."""
    return "sigmoid" if getattr(encoder, "score", "softmax") == "sigmoid" else "softmax"


def bias_of(encoder: object) -> float:
    """Return what an encoder adds to its logits."""
    bias = getattr(encoder, "logit_bias", None)
    return 0.0 if bias is None else float(bias)


def prompt_of(encoder: object) -> str | None:
    """Return the template that the authors of an encoder use, where one is stated."""
    prompt = getattr(encoder, "prompt", None)
    return prompt if isinstance(prompt, str) else None

"""Models that people ask for and that cannot be had here, each with the reason.

It knows names alone: nothing is fetched to refuse one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cliptune.errors import InputError

__all__ = ["REFUSED", "Refused", "refuse_named"]

_HUB_CODE = "its model is Python in its own repository on the hub, which is never run"
_OTHER_CODE = "its model is code of another repository, which no library here contains"


@dataclass(frozen=True)
class Refused:
    """A model by the pattern of its names.

    Attributes:
        title: As people write it.
        pattern: What its names look like, in lower case.
        why: Why it cannot be had.
        instead: A model for the same work.
    """

    title: str
    pattern: str
    why: str
    instead: str


REFUSED = (
    Refused("Jina-CLIP", r"jina-?clip", _HUB_CODE, "google/siglip2-base-patch16-224"),
    Refused("FG-CLIP", r"fg-?clip", _HUB_CODE, "google/siglip2-base-patch16-224"),
    Refused("TULIP", r"(^|[/_-])tulip", _OTHER_CODE, "google/siglip2-base-patch16-224"),
    Refused(
        "CONCH",
        r"(^|/)conch",
        f"{_OTHER_CODE}, and its weights are gated",
        "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    ),
    Refused("dino.txt", r"dino\.?v?[0-9]*[._-]?txt", _OTHER_CODE, "google/tipsv2-b14"),
)


def refuse_named(name: str) -> None:
    """Refuse a model that cannot be had, by its name.

    Raises:
        InputError: It is one of them; the message says why and what to do.
    """
    for one in REFUSED:
        if re.search(one.pattern, name.lower()):
            raise InputError(
                f"model {name!r}: {one.title} cannot be had: {one.why}; wrap its own code as a "
                f"DualEncoder and pass that as model= from Python, or take {one.instead}"
            )

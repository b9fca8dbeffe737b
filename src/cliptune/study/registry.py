"""The sections by name: what each asks, what it needs, and where it is.

Modules load on first use; it knows nothing about what they find.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from cliptune.study.desk import Desk, Finding
from cliptune.study.subject import Subject

__all__ = ["DRAWS_ON", "SPECS", "Spec"]

Run = Callable[[Subject, Desk], Finding]


@dataclass(frozen=True)
class Spec:
    """One section.

    Attributes:
        title: Its heading.
        question: What it asks.
        home: Module and function.
        needs: ``nothing``, ``labels``, or labels ``divided`` into training, validation, test.
    """

    title: str
    question: str
    home: str
    needs: str = "divided"

    def load(self) -> Run:
        """Import the function that answers."""
        module, _, function = self.home.partition(":")
        found: Run = getattr(importlib.import_module(f"cliptune.study.sections.{module}"), function)
        return found


SPECS = {
    "data": Spec(
        "The data", "How many images of what are there, and is anything wrong with them?",
        "data:study_data", needs="nothing",
    ),
    "top5": Spec(
        "One image", "What does the untrained model say of a single image?",
        "top5:study_top5", needs="nothing",
    ),
    "zero-shot": Spec(
        "Zero-shot", "What does the model know without any training, and do more prompts help?",
        "zero_shot:study_zero_shot", needs="labels",
    ),
    "fine-tuning": Spec(
        "Training all weights",
        "What does training all of the model do, epoch by epoch, and how much is trained?",
        "fine_tuning:study_fine_tuning",
    ),
    "heads": Spec(
        "Layers on the frozen model",
        "What do added layers reach while the model stays frozen, and at what cost?",
        "heads:study_heads",
    ),
    "rates": Spec(
        "Rates and freezing",
        "Which learning rates work, and what should stay frozen?",
        "rates:study_rates",
    ),
    "map": Spec(
        "The common space", "How do images and texts lie in their common space?",
        "map:study_map", needs="labels",
    ),
    "map-after": Spec(
        "The space after training",
        "Did training change how images and texts lie, and did that make a better classifier?",
        "map_after:study_map_after",
    ),
    "beyond": Spec(
        "Further",
        "How far do a careful recipe and an attention head go beyond?",
        "beyond:study_beyond",
    ),
    "ship": Spec(
        "What to ship", "Which of these is worth shipping, and what does the locked test say?",
        "ship:study_shipping",
    ),
}  # fmt: skip

# What a section reads of others; when one of those changes, it is made again.
DRAWS_ON = {
    "fine-tuning": ("zero-shot",),
    "heads": ("zero-shot", "fine-tuning"),
    "rates": ("zero-shot",),
    "map": ("zero-shot",),
    "map-after": ("zero-shot", "fine-tuning"),
    "beyond": ("zero-shot", "fine-tuning", "heads"),
    "ship": ("zero-shot", "fine-tuning", "heads", "beyond"),
}

"""Ways to a method's held-out answers that are shorter than fitting it anew for every fold.

A module here that is called as a method is, with ``SHORTCUT = Shortcut(...)`` in it, is that
method's; a method without one is fitted anew. Nothing lists them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cliptune.selection.candidates import Candidate, Pool, Setting
    from cliptune.selection.folds import Folds
    from cliptune.selection.subspace import Subspace

__all__ = ["Given", "Shortcut", "find_shortcut"]


@dataclass(frozen=True)
class Given:
    """What a shortcut answers from.

    Attributes:
        pool: The data.
        folds: What is left out.
        kinds: The features that a method may learn from.
        subspace: Gives the rows of such features in fewer coordinates.
        answers: Gives the candidates of another method, one for each of its features.
    """

    pool: Pool
    folds: Folds
    kinds: tuple[str, ...]
    subspace: Callable[[str], Subspace]
    answers: Callable[[str], Sequence[Candidate]]


@dataclass(frozen=True)
class Shortcut:
    """How a method answers for held-out images without being fitted anew for every fold.

    Attributes:
        answer: Gives the method's answers from some features, with the settings that suit it.
        kinds: Gives the features that it answers from; all of ``Given.kinds`` without.
    """

    answer: Callable[[Given, str], Setting]
    kinds: Callable[[Given], tuple[str, ...]] | None = None


def find_shortcut(method: str) -> Shortcut | None:
    """Import the shortcut of a method, where there is one."""
    name = f"{__name__}.{method.replace('-', '_')}"
    if find_spec(name) is None:
        return None
    found: Shortcut = importlib.import_module(name).SHORTCUT
    return found

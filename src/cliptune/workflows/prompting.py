"""Template sets as they are asked for.

It knows names and options, and embeds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cliptune.errors import InputError
from cliptune.workflows.options import TemplateOptions
from cliptune.workflows.progress import Watch

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.prompts import TemplateSet

__all__ = [
    "choose_one_template_set",
    "choose_template_sets",
    "note_equal_classes",
    "own_template_set",
]


def choose_template_sets(options: TemplateOptions) -> list[TemplateSet]:
    """Return the template sets asked for, named ones first, or the default one."""
    from cliptune.prompts import DEFAULT_TEMPLATE_SET, custom_template_set, load_template_set

    names = list(dict.fromkeys(options.templates))
    sets = [load_template_set(name) for name in names]
    if options.template:
        sets.append(custom_template_set(options.template))
    return sets or [load_template_set(DEFAULT_TEMPLATE_SET)]


def choose_one_template_set(options: TemplateOptions, verb: str) -> TemplateSet:
    """Return the template set asked for, or the default one.

    Raises:
        InputError: Several came.
    """
    sets = choose_template_sets(options)
    if len(sets) > 1:
        raise InputError(
            f"{verb} takes one template set, {len(sets)} came "
            f"({', '.join(s.name for s in sets)}); compare sets with 'cliptune evaluate'"
        )
    return sets[0]


def own_template_set(encoder: DualEncoder) -> TemplateSet:
    """Return the template that an encoder's authors use, or the default set."""
    from cliptune.encoders.scoring import prompt_of
    from cliptune.prompts import DEFAULT_TEMPLATE_SET, TemplateSet, load_template_set

    prompt = prompt_of(encoder)
    if prompt is None:
        return load_template_set(DEFAULT_TEMPLATE_SET)
    return TemplateSet("the authors' own", (prompt,), "as the model's authors write it")


def note_equal_classes(groups: Sequence[Sequence[str]], watch: Watch) -> None:
    """Say which classes zero-shot cannot tell apart because their texts are equal."""
    for names in groups:
        watch.note(
            f"zero-shot cannot tell {', '.join(map(repr, names))} apart: their texts are equal to "
            f"the model; it says {names[0]!r} for all of them"
        )

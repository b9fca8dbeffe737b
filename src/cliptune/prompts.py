"""Class names x templates -> texts, and the text rows that stand for the classes.

It knows no model: whoever calls ``ensemble_rows`` brings the function that embeds texts.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cliptune.errors import InputError, UnknownNameError
from cliptune.system.plain_text import require_text

__all__ = [
    "DEFAULT_TEMPLATE_SET",
    "TemplateSet",
    "custom_template_set",
    "distinct_prompts",
    "ensemble_rows",
    "find_equal_classes",
    "list_template_sets",
    "load_template_set",
    "published_class_names",
]

DEFAULT_TEMPLATE_SET = "simple"


@dataclass(frozen=True)
class TemplateSet:
    """A named group of templates whose text embeddings are averaged.

    Attributes:
        name: What the user calls it.
        templates: Texts with one ``{}`` each, where the class name goes.
        about: What images it is meant for, and where it comes from.
    """

    name: str
    templates: tuple[str, ...]
    about: str


_OWN_SETS = (
    TemplateSet("single", ("a photo of a {}.",), "one template, as CLIP's first example has it"),
    TemplateSet("name", ("{}",), "the bare class name"),
    TemplateSet(
        "small",
        (
            "a photo of a {}.",
            "a photo of the {}.",
            "a small photo of a {}.",
            "a tiny picture of a {}.",
            "a thumbnail of a {}.",
            "a blurry photo of a {}.",
            "a blurry photo of the {}.",
            "a pixelated photo of a {}.",
            "a low resolution photo of a {}.",
            "a low resolution photo of the {}.",
            "a low contrast photo of a {}.",
            "a photo of a {}, enlarged.",
        ),
        "images of few pixels, such as CIFAR's",
    ),
    TemplateSet(
        "textures",
        (
            "a photo of a {} texture.",
            "a photo of a {} pattern.",
            "a photo of a {} surface.",
            "a photo of a {} material.",
            "a close-up photo of a {} texture.",
            "a close-up photo of a {} surface.",
            "a macro photo of {} material.",
        ),
        "surfaces, fabrics and materials",
    ),
    TemplateSet(
        "aerial",
        (
            "a satellite photo of {}.",
            "a satellite image of a {}.",
            "an aerial photo of {}.",
            "an aerial view of a {}.",
            "an overhead photo of the {}.",
            "a {} seen from above.",
            "a centered satellite photo of {}.",
        ),
        "satellite and aerial views",
    ),
)

_PUBLISHED_SETS = {
    "simple": (
        "SIMPLE_IMAGENET_TEMPLATES",
        "7 templates that CLIP's authors found by forward selection on ImageNet",
    ),
    "openai": (
        "OPENAI_IMAGENET_TEMPLATES",
        "80 templates that CLIP's authors used on ImageNet",
    ),
}


def list_template_sets() -> tuple[TemplateSet, ...]:
    """Return every named template set, in a fixed order."""
    own = {s.name: s for s in _OWN_SETS}
    published = tuple(load_template_set(name) for name in _PUBLISHED_SETS)
    return (own["single"], *published, *(s for n, s in own.items() if n != "single"))


def load_template_set(name: str) -> TemplateSet:
    """Return the template set of that name.

    Raises:
        UnknownNameError: There is none; the message lists the nearest.
    """
    if name in _PUBLISHED_SETS:
        constant, about = _PUBLISHED_SETS[name]
        return TemplateSet(name, _published_templates(constant), about)
    for own in _OWN_SETS:
        if own.name == name:
            return own
    known = [s.name for s in _OWN_SETS] + list(_PUBLISHED_SETS)
    raise UnknownNameError("template set", name, known, "or give your own with --template")


def published_class_names() -> tuple[str, ...]:
    """Return the 1,000 ImageNet class names that open_clip publishes, in class order."""
    return cast(tuple[str, ...], _published("IMAGENET_CLASSNAMES"))


def _published_templates(constant: str) -> tuple[str, ...]:
    """Turn published functions of the class name into texts, by applying them to ``{}``."""
    functions = cast(Sequence[Callable[[str], str]], _published(constant))
    return tuple(function("{}") for function in functions)


@cache
def _published(constant: str) -> object:
    """Read open_clip's data file alone: its package takes seconds to import."""
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None, "open_clip is a required dependency"
    assert spec.submodule_search_locations is not None, "open_clip is a package"
    path = Path(spec.submodule_search_locations[0]) / "zero_shot_metadata.py"
    file_spec = importlib.util.spec_from_file_location("_open_clip_zero_shot_metadata", path)
    assert file_spec is not None, "a file with the suffix .py has a loader"
    assert file_spec.loader is not None, "a file with the suffix .py has a loader"
    module = importlib.util.module_from_spec(file_spec)
    file_spec.loader.exec_module(module)
    value: object = getattr(module, constant)
    return value


def custom_template_set(templates: Sequence[str]) -> TemplateSet:
    """Make a set of the user's own templates.

    Raises:
        InputError: A template has no ``{}`` or more than one, or there is no template.
    """
    if not templates:
        raise InputError("no template came; expected at least one such as 'a photo of a {}.'")
    for template in templates:
        require_text(template, "the template", InputError)
        if template.count("{}") != 1:
            raise InputError(
                f"template {template!r} has {template.count('{}')} places for the class name; "
                "expected exactly one '{}', e.g. 'a photo of a {}.'"
            )
    return TemplateSet("custom", tuple(dict.fromkeys(templates)), "given by the user")


def fill_template(template: str, class_name: str) -> str:
    """Put a class name into a template; braces within the name stay as they are."""
    return template.replace("{}", class_name, 1)


def distinct_prompts(class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return every prompt once, templates running fastest."""
    prompts = (fill_template(t, name) for name in class_names for t in templates)
    return list(dict.fromkeys(prompts))


def ensemble_rows(
    encode_texts: Callable[[list[str]], NDArray[np.float32]],
    class_names: Sequence[str],
    templates: Sequence[str],
) -> NDArray[np.float32]:
    """Embed every class as the normalised mean of its prompts' unit embeddings.

    Prompt ensembling in the embedding space, as in CLIP (arXiv:2103.00020, section 3.1.4).

    Args:
        encode_texts: Maps T distinct texts to float32 (T, D) rows of norm 1.
        class_names: C names.
        templates: Texts with one ``{}`` each.

    Returns:
        float32, shape (C, D), rows of norm 1.

    Raises:
        InputError: The prompts of a class cancel out, so that no direction is left.
    """
    prompts = distinct_prompts(class_names, templates)
    row_of = {prompt: row for row, prompt in enumerate(prompts)}
    rows = np.asarray([[row_of[fill_template(t, name)] for t in templates] for name in class_names])
    means = encode_texts(prompts)[rows].astype(np.float64).mean(axis=1)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    if not (norms > 1e-6).all():
        name = class_names[int(np.argmin(norms))]
        raise InputError(f"the prompts of class {name!r} average to nothing; use fewer templates")
    unit: NDArray[np.float32] = (means / norms).astype(np.float32)
    return unit


def find_equal_classes(
    class_names: Sequence[str], rows: NDArray[np.float32]
) -> tuple[tuple[str, ...], ...]:
    """Return groups of classes whose texts say the same to the model, such as ``a`` and ``A``.

    Args:
        class_names: C names.
        rows: (C, D), what ``ensemble_rows`` made of them.
    """
    alike: dict[bytes, list[str]] = {}
    for name, row in zip(class_names, rows, strict=True):
        alike.setdefault(row.tobytes(), []).append(name)
    return tuple(tuple(names) for names in alike.values() if len(names) > 1)

"""Class names: from folder names and label values to words for prompts.

It knows nothing about images or models.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cliptune.errors import DataError, InputError
from cliptune.images.number_forms import numbers_into_list, read_numbers
from cliptune.system.file_kinds import read_regular
from cliptune.system.json_files import parse_value
from cliptune.system.plain_text import require_text

__all__ = [
    "ClassNames",
    "GivenNames",
    "clean_class_name",
    "is_numbering",
    "name_classes",
    "parse_names",
    "read_class_names",
]

GivenNames = Sequence[str] | Mapping[str, str]


@dataclass(frozen=True)
class ClassNames:
    """The classes of a table.

    Attributes:
        names: C names, ready for prompts.
        code_of: From a label as the data has it to the index of its class.
    """

    names: tuple[str, ...]
    code_of: Mapping[str, int]


def clean_class_name(raw: str) -> str:
    """Turn underscores, hyphens and any run of white space into single spaces, and strip.

    Letters come out in Unicode's composed form (NFC), which file systems may have taken apart.
    """
    spaced = unicodedata.normalize("NFC", raw).replace("_", " ").replace("-", " ")
    return " ".join(spaced.split())


def read_class_names(path: Path) -> GivenNames:
    """Read a file of class names: JSON as ``parse_names`` takes it, or text lines.

    Raises:
        InputError: The file is missing, not UTF-8, or holds neither form.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the class names file {str(path)!r} ({error})") from error
    if path.suffix.lower() == ".json" or text.lstrip().startswith(("[", "{")):
        return parse_names(text, str(path))
    return [line.strip() for line in text.splitlines() if line.strip()]


def parse_names(text: str, origin: str) -> GivenNames:
    """Read JSON: a list of names, an object from label to name, or one from name to number.

    Args:
        text: The JSON.
        origin: Where it comes from, for messages.

    Raises:
        InputError: It is no JSON, or something else.
    """
    try:
        value = parse_value(text)
    except ValueError as error:
        raise InputError(f"{origin!r} is no valid JSON ({error})") from error
    entries = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, dict) and entries and all(type(entry) is int for entry in entries):
        by_number = {str(number): name for name, number in value.items()}
        if len(by_number) < len(value):
            raise InputError(f"{origin!r} gives two names one number; give each its own")
        return by_number
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InputError(
            f"{origin!r} holds something else than names; expected a JSON list of names or "
            "an object from label to name"
        )
    return value if isinstance(value, dict) else entries


def name_classes(
    labels: Sequence[str], given: GivenNames | None, *, numbered: bool, origin: str
) -> ClassNames:
    """Give every label value a class and a name for prompts.

    A mapping renames labels one by one; ``1``, ``01`` and ``class_1`` are one key. A list whose
    names occur among the labels is the vocabulary, and its order the order of the classes; where
    labels are numbers they count into it; a list none of whose names occurs renames the classes
    in their order. A list that fits half is an error, not a guess.

    Args:
        labels: The C distinct labels, in the order of their classes.
        given: The names that the user gave, if any.
        numbered: The labels are integers of a table, which count from 0.
        origin: The data set, for messages.

    Raises:
        DataError: Two names are one after cleaning, or one is empty.
        InputError: The given names do not fit the labels.
    """
    if given is None:
        named = {label: clean_class_name(label) for label in labels}
        _require_distinct(named)
        return ClassNames(tuple(named.values()), {label: i for i, label in enumerate(labels)})
    if isinstance(given, Mapping) and not is_numbering(given, labels):
        named = _rename_by_mapping(labels, given, origin)
        _require_distinct(named)
        return ClassNames(tuple(named.values()), {label: i for i, label in enumerate(labels)})
    if isinstance(given, Mapping):
        given = [given[number] for number in sorted(given, key=int)]
    names = [" ".join(name.split()) for name in given]
    _require_distinct({f"{i + 1}: {name}": name for i, name in enumerate(names)})
    return ClassNames(tuple(names), _match_list(labels, names, numbered, origin))


def is_numbering(given: Mapping[str, str], labels: Sequence[str]) -> bool:
    """Tell whether a mapping from numbers to names only orders names that the labels are."""
    words = {clean_class_name(name).casefold() for name in given.values()}
    return (
        all(key.isascii() and key.isdigit() for key in given)
        and not any(label in given for label in labels)
        and all(clean_class_name(label).casefold() in words for label in labels)
    )


def _rename_by_mapping(
    labels: Sequence[str], given: Mapping[str, str], origin: str
) -> dict[str, str]:
    missing = [label for label in labels if label not in given]
    if missing and (by_number := _pair_by_number(labels, given)):
        return by_number
    if missing:
        raise InputError(
            f"the class names lack {_listed(missing)} of {origin!r}; expected a name for each of "
            f"{_listed(labels)}"
        )
    return {label: " ".join(given[label].split()) for label in labels}


def _pair_by_number(labels: Sequence[str], given: Mapping[str, str]) -> dict[str, str] | None:
    numbers, keys = read_numbers(labels), read_numbers(given)
    if numbers is None or keys is None:
        return None
    name_of = {number: given[key] for key, number in keys.items()}
    if not all(number in name_of for number in numbers.values()):
        return None
    return {label: " ".join(name_of[number].split()) for label, number in numbers.items()}


def _match_list(
    labels: Sequence[str], names: Sequence[str], numbered: bool, origin: str
) -> dict[str, int]:
    if numbered:
        integers = {label: int(label) for label in labels}
        return numbers_into_list(integers, names, from_zero=True, origin=origin)
    code_of = {clean_class_name(name).casefold(): i for i, name in enumerate(names)}
    unknown = [label for label in labels if clean_class_name(label).casefold() not in code_of]
    if not unknown:
        return {label: code_of[clean_class_name(label).casefold()] for label in labels}
    numbers = read_numbers(labels)
    if numbers is not None and len(unknown) == len(labels):
        return numbers_into_list(numbers, names, from_zero=False, origin=origin)
    if len(unknown) < len(labels):
        raise InputError(
            f"the labels {_listed(unknown)} of {origin!r} are not among the class names given "
            f"({_listed(names)}); add them, or give a JSON object from label to name"
        )
    if len(names) != len(labels):
        raise InputError(
            f"{len(names)} class names were given for the {len(labels)} classes of {origin!r}; "
            f"expected one each, in this order: {_listed(labels)}"
        )
    return {label: i for i, label in enumerate(labels)}


def _require_distinct(named: Mapping[str, str]) -> None:
    """Refuse empty names and names that text encoders cannot tell apart."""
    first: dict[str, str] = {}
    for label, name in named.items():
        require_text(label, "the class")
        require_text(name, "the class name")
        if not name:
            raise DataError(
                f"the class {label!r} has no letters left for a prompt; rename it or give "
                "names with --class-names"
            )
        twin = first.setdefault(name.casefold(), label)
        if twin != label:
            raise DataError(
                f"the classes {twin!r} and {label!r} are both {name!r} in a prompt; rename one "
                "or give names with --class-names"
            )


def _listed(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f", and {len(names) - limit} more" if len(names) > limit else "")

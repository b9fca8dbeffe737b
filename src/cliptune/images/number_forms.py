"""Labels that are numbers in some dress: ``7``, ``07``, ``class_7``, ``class 007``.

It knows how numbers are written and which name of a list each can mean, and nothing about files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from cliptune.errors import InputError

__all__ = ["in_class_order", "numbers_into_list", "read_numbers"]

_FORM = re.compile(r"(?P<before>[^\d]*)(?P<number>\d{1,9})(?P<after>[^\d]*)", re.ASCII)
_SEPARATORS = str.maketrans("", "", " _-.")


def read_numbers(labels: Collection[str]) -> dict[str, int] | None:
    """Read the number that each label is, if all are written alike: one word, and a number.

    Raises:
        InputError: Two labels are one number, such as ``1`` and ``01``.
    """
    found = {label: _FORM.fullmatch(label.strip()) for label in labels}
    dresses = {
        None if m is None else (_bare(m["before"]), _bare(m["after"])) for m in found.values()
    }
    if len(dresses) != 1 or None in dresses:
        return None
    numbers = {label: int(m["number"]) for label, m in found.items() if m is not None}
    first: dict[int, str] = {}
    for label, number in numbers.items():
        if first.setdefault(number, label) != label:
            raise InputError(
                f"the labels {first[number]!r} and {label!r} are both the number {number}; "
                "give both one name, or others"
            )
    return numbers


def _bare(text: str) -> str:
    return text.translate(_SEPARATORS).casefold()


def in_class_order(labels: Collection[str]) -> tuple[str, ...]:
    """Sort labels: numbers in any dress by their value, words by their letters."""
    try:
        numbers = read_numbers(labels)
    except InputError:
        numbers = None
    return tuple(sorted(labels) if numbers is None else sorted(labels, key=numbers.__getitem__))


def numbers_into_list(
    numbers: Mapping[str, int], names: Sequence[str], *, from_zero: bool, origin: str
) -> dict[str, int]:
    """Say which of the names each number means.

    A list counts from 0 where a label is 0, and from 1 where the largest label is its length.

    Args:
        numbers: From label to its number.
        names: The list.
        from_zero: A list counts from 0 where both would do, as integers in tables count.
        origin: The data set, for messages.

    Returns:
        From label to the index of its name.

    Raises:
        InputError: The list is too short, or can be counted in two ways.
    """
    least, largest = min(numbers.values()), max(numbers.values())
    if least > 0 and largest == len(names):
        return {label: number - 1 for label, number in numbers.items()}
    if least >= 0 and largest < len(names):
        if least == 0 or from_zero:
            return dict(numbers)
        first, last = names[least], names[least - 1]
        raise InputError(
            f"the labels of {origin!r} are numbers from {least} to {largest} and {len(names)} "
            f"class names were given: {least} is {first!r} counted from 0 and {last!r} from 1; "
            "give --class-names a JSON object from label to name"
        )
    if len(numbers) == len(names) and not from_zero:
        return {label: rank for rank, label in enumerate(sorted(numbers, key=numbers.__getitem__))}
    if not from_zero:
        raise InputError(
            f"{len(names)} class names were given for the {len(numbers)} classes of {origin!r}, "
            f"which are numbers up to {largest}; expected one for each, counted from 0 or 1"
        )
    beyond = next(label for label, n in numbers.items() if not 0 <= n < len(names))
    raise InputError(
        f"{origin!r} has the label {beyond}, which is not among the {len(names)} class "
        f"names given (0 to {len(names) - 1}); give a name for every label"
    )

"""What all results have in common: JSON with a version, and what a person sees of them.

It knows no verb.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from cliptune.errors import RunError
from cliptune.results.plain import record_from_plain, record_to_plain
from cliptune.system.text_tables import Shown, shown_to_html

__all__ = ["Result", "Templates", "Unreadable"]

_VERSION = "result_version"


@dataclass(frozen=True)
class Templates:
    """The texts that class names were put into.

    Attributes:
        name: Of the set.
        texts: With one ``{}`` each.
    """

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """An image that was left out.

    Attributes:
        image: Its id.
        reason: Why it cannot be read.
    """

    image: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a verb gives; its fields are the keys of the JSON object.

    Attributes:
        task: What was done.
    """

    version: ClassVar[int] = 1
    task: str

    def to_dict(self) -> dict[str, Any]:  # Any: plain JSON values
        """Return the fields as plain JSON values, as the command line prints them."""
        return record_to_plain(self)

    def to_json(self) -> str:
        """Return the fields and the version as one JSON object."""
        return json.dumps(
            {_VERSION: self.version, **self.to_dict()}, ensure_ascii=False, allow_nan=False
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "result") -> Self:
        """Read what ``to_dict`` gave.

        Args:
            values: Plain JSON values, hence ``Any``.
            where: What they came from, for messages.

        Raises:
            RunError: A key is missing, unknown or of another type, or the version is later.
        """
        found = dict(values)
        _require_version(found.pop(_VERSION, 1), cls, where)
        try:
            made: Self = record_from_plain(cls, found, where)
        except TypeError as error:
            raise RunError(
                f"{where} is no result of {cls.__name__}: {error}; run its command again"
            ) from error
        return made

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` gave.

        Raises:
            RunError: It is no such JSON; see ``from_dict``.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RunError(f"the text is no JSON ({error}); give what to_json wrote") from error
        if not isinstance(values, dict):
            raise RunError(f"the text is {type(values).__name__}, no JSON object; give a result's")
        return cls.from_dict(values)

    def blocks(self) -> tuple[Shown, ...]:
        """Return the tables and sentences that tell a person what came out."""
        return ()

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return shown_to_html(self.blocks())


def _require_version(version: object, kind: type[Result], where: str) -> None:
    if type(version) is not int or not 1 <= version <= kind.version:
        raise RunError(
            f"{where} has {kind.__name__} of version {version!r:.40}; this cliptune reads up to "
            f"{kind.version}: upgrade cliptune"
        )

"""Act: one thing that a person did, as one line of JSON.

It knows the form of a line, and nothing about files or what acts add up to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cliptune.errors import DataError, InputError
from cliptune.system.json_files import parse_object
from cliptune.system.plain_text import require_text
from cliptune.system.typed import require_types

__all__ = ["Act", "Answer", "Kind", "Mark"]

Mark = Literal["label", "none", "skip"]
Kind = Literal["label", "undo", "redo", "class", "reserve", "open-test"]
_LONGEST_LABEL = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of an image.

    Attributes:
        mark: ``label``; ``none``: it is of none of the classes; ``skip``: not now.
        label: The class, where it is a label.
    """

    mark: Mark
    label: str = ""

    @classmethod
    def of(cls, mark: str, label: str = "") -> Answer:
        """Make an answer of what a person or another tool gave.

        Raises:
            InputError: There is no such mark, or the label is empty or no text.
        """
        if mark not in get_args(Mark):
            raise InputError(f"{mark!r:.40} is no mark; expected label, none or skip")
        name = label.strip()
        if mark == "label":
            require_text(name, "the label", InputError)
            if not 1 <= len(name) <= _LONGEST_LABEL:
                raise InputError(
                    f"a label of {len(name)} letters came; expected 1 to {_LONGEST_LABEL}"
                )
        return cls(mark, name if mark == "label" else "")  # type: ignore[arg-type]  # looked at

    @classmethod
    def from_plain(cls, value: object) -> Answer | None:
        """Read a plain JSON value: a label, ``["none"]``, ``["skip"]``, or null for nothing."""
        if value is None:
            return None
        if isinstance(value, str):
            return cls.of("label", value)
        if isinstance(value, list) and len(value) == 1 and value[0] in ("none", "skip"):
            return cls.of(value[0])
        raise InputError(
            f'{value!r:.60} is no answer; expected a label, ["none"], ["skip"] or null'
        )

    def to_plain(self) -> str | list[str]:
        """Return a plain JSON value."""
        return self.label if self.mark == "label" else [self.mark]


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that a person did.

    Attributes:
        number: Its place in the journal, from 1.
        kind: ``label``, ``undo`` or ``redo`` of one, a new ``class``, images that are ``reserve``d
            for the test, or the test's opening.
        who: A person.
        tab: Whose undo it belongs to: one page or one command.
        when: UTC, in ISO 8601.
        images: Digests of the images that it is about, in hex.
        answer: What was said of each of them.
        before: What the person saw to be said of each before.
        of: The number of the act that is undone or redone.
        label: The name of a new class.
        facts: What else belongs to it: of a test its run and scores.
    """

    number: int
    kind: Kind
    who: str
    tab: str
    when: str
    images: tuple[str, ...] = ()
    answer: Answer | None = None
    before: tuple[Answer | None, ...] = ()
    of: int | None = None
    label: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # Any: plain JSON values

    def to_line(self) -> bytes:
        """Return the act as a line."""
        plain: dict[str, Any] = {  # Any: plain JSON values
            "act": self.number, "kind": self.kind, "who": self.who, "tab": self.tab,
            "when": self.when,
        }  # fmt: skip
        if self.images:
            plain["images"] = list(self.images)
        if self.answer is not None:
            plain["answer"] = self.answer.to_plain()
            plain["before"] = [None if one is None else one.to_plain() for one in self.before]
        if self.of is not None:
            plain["of"] = self.of
        if self.label:
            plain["label"] = self.label
        if self.facts:
            plain["facts"] = dict(self.facts)
        return (json.dumps(plain, ensure_ascii=True, allow_nan=False) + "\n").encode()

    @classmethod
    def from_line(cls, line: bytes, where: str) -> Act:
        """Read what ``to_line`` gave.

        Raises:
            DataError: It is no act; the message says where.
        """
        values = parse_object(line.decode("utf-8", "replace"), where, DataError)
        try:
            before = values.get("before", [])
            require_types(before, list[Any], "before")
            act = cls(
                number=values["act"],
                kind=values["kind"],
                who=values["who"],
                tab=values["tab"],
                when=values["when"],
                images=tuple(values.get("images", ())),
                answer=Answer.from_plain(values.get("answer")),
                before=tuple(Answer.from_plain(one) for one in before),
                of=values.get("of"),
                label=values.get("label", ""),
                facts=values.get("facts", {}),
            )
            require_types(act, cls, "act")
        except (KeyError, TypeError, InputError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{where} is no act of a journal: {reason}; restore it") from error
        if act.kind == "label" and (act.answer is None or len(act.before) != len(act.images)):
            raise DataError(f"{where} says not what was said of its images, or what before")
        return act

"""What acts add up to: what stands of each image, who can undo what, where people disagree.

It knows acts, and nothing about files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cliptune.annotations.acts import Act, Answer

__all__ = ["Conflict", "Standing"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """An image of which somebody said something without having seen what another had said.

    Attributes:
        image: Its digest.
        first: The act that was not seen.
        second: The later one, which stands.
    """

    image: str
    first: Act
    second: Act


@dataclass
class Standing:
    """The sum of all acts so far.

    The last act about an image that is not undone says what stands of it, whoever made it.

    Attributes:
        acts: All of them; the act of number n is at place n - 1.
        class_names: Classes that people named, in that order.
        reserved: Images that are kept for the test.
    """

    acts: list[Act] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    reserved: set[str] = field(default_factory=set)
    _of_image: dict[str, list[int]] = field(default_factory=dict)
    _undone: set[int] = field(default_factory=set)
    _can_undo: dict[str, list[int]] = field(default_factory=dict)
    _can_redo: dict[str, list[int]] = field(default_factory=dict)

    def take(self, act: Act) -> None:
        """Add the next act."""
        self.acts.append(act)
        if act.kind in ("label", "class"):
            self._can_undo.setdefault(act.tab, []).append(act.number)
            self._can_redo[act.tab] = []
            for image in act.images:
                self._of_image.setdefault(image, []).append(act.number)
            label = act.label or (act.answer.label if act.answer else "")
            if label and label not in self.class_names:
                self.class_names.append(label)
        elif act.kind == "reserve":
            self.reserved.update(act.images)
        elif act.kind in ("undo", "redo") and act.of is not None:
            self._turn(act.tab, act.of, undo=act.kind == "undo")

    def _turn(self, tab: str, number: int, *, undo: bool) -> None:
        (self._undone.add if undo else self._undone.discard)(number)
        done, undone = self._can_undo.setdefault(tab, []), self._can_redo.setdefault(tab, [])
        source, target = (done, undone) if undo else (undone, done)
        if number in source:
            source.remove(number)
            target.append(number)

    def answer(self, image: str) -> Answer | None:
        """Return what stands of an image; None where nobody said anything."""
        act = self.last(image)
        return None if act is None else act.answer

    def last(self, image: str) -> Act | None:
        """Return the act that says what stands of an image."""
        return next(self._active(image), None)

    def history(self, image: str) -> list[Act]:
        """Return all acts about an image, undone ones included."""
        return [self.acts[number - 1] for number in self._of_image.get(image, ())]

    def is_undone(self, act: Act) -> bool:
        """Say whether an act does not count now."""
        return act.number in self._undone

    def images(self) -> Iterator[str]:
        """Yield every image that an act was about."""
        return iter(self._of_image)

    def next_undo(self, tab: str) -> Act | None:
        """Return the act that this page or command would undo."""
        numbers = self._can_undo.get(tab)
        return self.acts[numbers[-1] - 1] if numbers else None

    def next_redo(self, tab: str) -> Act | None:
        """Return the act that it would do again."""
        numbers = self._can_redo.get(tab)
        return self.acts[numbers[-1] - 1] if numbers else None

    def conflict(self, image: str) -> Conflict | None:
        """Return where the last two of whom one did not see the other disagree on an image."""
        active = self._active(image)
        second, first = next(active, None), next(active, None)
        if second is None or first is None or second.tab == first.tab:
            return None
        saw = second.before[second.images.index(image)]
        if saw == first.answer or second.answer == first.answer:
            return None
        return Conflict(image, first, second)

    def conflicts(self) -> list[Conflict]:
        """Return all of them."""
        found = (self.conflict(image) for image in self._of_image)
        return [one for one in found if one is not None]

    def openings(self) -> list[Act]:
        """Return the acts that opened the test."""
        return [act for act in self.acts if act.kind == "open-test"]

    def _active(self, image: str) -> Iterator[Act]:
        for number in reversed(self._of_image.get(image, [])):
            if number not in self._undone:
                yield self.acts[number - 1]

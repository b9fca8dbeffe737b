"""What each folder at the top of a tree is: a split, a class, or to be left out.

It knows the words that people use and the sign of equal folders below, and no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cliptune.errors import DataError, InputError
from cliptune.images.split_words import (
    ROLES,
    UNLABELLED_FOLDER,
    is_storage,
    split_in,
    split_of,
    split_word,
    trunk,
)
from cliptune.images.tree import Folder

__all__ = ["FolderOptions", "guess_roles", "inner"]

_ASK = "say what it is with --folder {}=train|val|test|unlabelled|class|ignore"
_EVALUATION = ("eval", "evaluate", "evaluation", "evalset")


@dataclass(frozen=True)
class FolderOptions:
    """What the user says of folders.

    Attributes:
        roles: From a folder's name or path to one of ``ROLES``; ``.`` is the data's own folder.
        class_level: How many levels below the data's folder those of the classes are.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    class_level: int | None = None

    def __post_init__(self) -> None:
        wrong = next(((n, r) for n, r in self.roles.items() if r not in ROLES), None)
        if wrong is not None:
            raise InputError(
                f"--folder {wrong[0]}={wrong[1]} is no role; expected one of {', '.join(ROLES)}"
            )
        if self.class_level is not None and self.class_level < 1:
            raise InputError(f"--class-level {self.class_level} is no level; give 1 or more")


def inner(folder: Folder) -> Folder:
    """Go down to where a split's classes or images are: ``seg_train/seg_train``, ``test/images``.

    A folder alone in a split is gone through only when its name says that it is no class.
    """
    split = split_in(folder.name)
    while not folder.images and len(folder.full) == 1:
        child = folder.full[0]
        same = child.name.casefold() == folder.name.casefold()
        if not (same or is_storage(child.name) or (split and split_in(child.name) == split)):
            break
        folder = child
    return folder


def guess_roles(
    top: Folder, options: FolderOptions, origin: str, notes: list[str]
) -> dict[str, str]:
    """Say what each folder with images right below ``top`` is.

    Args:
        top: The folder.
        options: What the user said, which comes first.
        origin: The data set, for messages.
        notes: Where to say what was decided.

    Returns:
        From a folder's path to one of ``ROLES``.

    Raises:
        DataError: A folder could be two things.
        InputError: The options name a folder that is not there.
    """
    roles = _given_roles(top, options, origin)
    rest = [folder for folder in top.full if folder.path not in roles]
    said = [f for f in rest if split_in(f.name) and f.name != UNLABELLED_FOLDER]
    others = [folder for folder in rest if folder not in said]
    others = [folder for folder in others if folder.name != UNLABELLED_FOLDER]
    others += [f for f in top.full if roles.get(f.path) == "class"]
    deep = [folder for folder in said if inner(folder).full]
    if said and not others:
        if deep or _are_flat_splits(said):
            _require_nothing_beside(top, said, options, origin)
            return roles | _distinct(said, roles, origin, notes)
    elif deep:
        return roles | _beside_deep_splits(top, said, deep, others, roles, origin, notes)
    elif said:
        return roles | _beside_flat_splits(said, others, origin, notes)
    return {folder.path: "class" for folder in rest} | roles


def _given_roles(top: Folder, options: FolderOptions, origin: str) -> dict[str, str]:
    roles: dict[str, str] = {}
    for name, role in options.roles.items():
        if name == ".":
            continue
        found = [f for f in top.full if name.strip("/") in (f.name, f.path)]
        if not found:
            there = ", ".join(f.name for f in top.full[:12]) or "none"
            raise InputError(f"--folder {name}={role}: {origin!r} has no such folder but: {there}")
        roles[found[0].path] = role
    return roles


def _are_flat_splits(said: Sequence[Folder]) -> bool:
    """Tell ``train`` and ``test``, ``train_images`` and ``test_images`` from two classes.

    Names that differ in more than the word of the split are classes, such as kinds of trains.
    """
    if len({split_in(folder.name) for folder in said}) < len(said):
        return False
    plain = all(split_of(folder.name) for folder in said)
    return plain or (len(said) > 1 and len({trunk(folder.name) for folder in said}) == 1)


def _require_nothing_beside(
    top: Folder, said: Sequence[Folder], options: FolderOptions, origin: str
) -> None:
    if top.images and options.roles.get(".") not in ("ignore", "unlabelled"):
        raise DataError(
            f"{origin!r} holds {top.images[0]!r} beside its splits "
            f"{', '.join(f.name for f in said)}; move it into a split or elsewhere, or "
            "say --folder .=ignore or .=unlabelled"
        )


def _distinct(
    said: Sequence[Folder], given: Mapping[str, str], origin: str, notes: list[str]
) -> dict[str, str]:
    """Give each folder its split; ``eval`` beside ``val`` is the test."""
    words = {folder.path: split_in(folder.name) or "" for folder in said}
    in_val = [folder for folder in said if words[folder.path] == "val"]
    last = [f for f in in_val if split_of(f.name) and f.name.lower().startswith(_EVALUATION)]
    moved: Folder | None = None
    if len(in_val) == 2 and len(last) == 1 and "test" not in words.values():
        words[last[0].path] = "test"
        moved = last[0]
        notes.append(f"the folder {last[0].name!r} beside a validation split is the split test")
    taken = {role: path for path, role in given.items() if role in ("train", "val", "test")}
    for folder in said:
        split = words[folder.path]
        twin = taken.setdefault(split, folder.path)
        if twin != folder.path:
            raise DataError(
                f"{origin!r} holds both {twin!r} and {folder.path!r}, which mean the split "
                f"{split}; keep one, or {_ASK.format(folder.name)}"
            )
        if folder.name.lower() != split and folder is not moved:
            notes.append(f"the folder {folder.name!r} is the split {split}")
    return words


def _beside_deep_splits(
    top: Folder,
    said: Sequence[Folder],
    deep: Sequence[Folder],
    others: Sequence[Folder],
    given: Mapping[str, str],
    origin: str,
    notes: list[str],
) -> dict[str, str]:
    """Divide folders where some are splits with classes in them and some have other names."""
    below = {f.name.casefold() for folder in deep for f in inner(folder).full}
    names = {folder.name.casefold() for folder in others}
    no_train = all(split_word(f.name) != "train" and split_in(f.name) != "train" for f in said)
    if no_train and below <= names:
        notes.append("class folders beside other splits are the split train")
        return _distinct(said, given, origin, notes) | {f.path: "class" for f in others}
    stray = others[0]
    splits = ", ".join(folder.name for folder in said)
    raise DataError(
        f"{origin!r} holds {stray.name!r} beside its splits {splits}; move it into a split or "
        f"elsewhere, or {_ASK.format(stray.name)}"
    )


def _beside_flat_splits(
    said: Sequence[Folder], others: Sequence[Folder], origin: str, notes: list[str]
) -> dict[str, str]:
    """Divide class folders from images that are set apart, such as ``ants/ bees/ test/``.

    A ``train`` without classes in it, among classes, is one of them: a set of vehicles.
    """
    apart = [f for f in said if split_of(f.name) not in (None, "train")]
    trains = [f for f in said if split_of(f.name) == "train"]
    if apart and trains:
        raise DataError(
            f"{origin!r} holds {others[0].name!r} beside its splits "
            f"{', '.join(f.name for f in said)}; move it into a split or elsewhere, or "
            f"{_ASK.format(others[0].name)}"
        )
    roles = {folder.path: "class" for folder in (*said, *others)}
    for folder in apart:
        roles[folder.path] = split_of(folder.name) or ""
        notes.append(
            f"the folder {folder.name!r} beside classes is the split {roles[folder.path]} without "
            f"labels; --folder {folder.name}=class makes it a class"
        )
    notes += [
        f"the folder {folder.name!r} is a class like those beside it; --folder {folder.name}=train "
        "makes it a split"
        for folder in said
        if folder not in apart
    ]
    return roles

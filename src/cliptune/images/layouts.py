"""Which folders of a tree are splits, which are classes, and which only hold others.

It knows names of folders and what lies where, and neither files nor labels of other kinds. A
folder is never guessed to be one thing where it could be two: the message then names the option
that decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cliptune.errors import DataError, InputError
from cliptune.images.left_out import leave_out
from cliptune.images.one_reading import require_one_reading
from cliptune.images.reading import Ignored
from cliptune.images.roles import FolderOptions, guess_roles, inner
from cliptune.images.split_words import UNLABELLED_FOLDER, is_storage, split_in, without_split
from cliptune.images.tree import Folder

__all__ = ["Arrangement", "Part", "arrange"]


@dataclass(frozen=True)
class Part:
    """One split of a tree, or all of it.

    Attributes:
        split: Its name, or nothing.
        classes: Labels and their folders.
        flat: Folders whose own images have no label.
    """

    split: str
    classes: tuple[tuple[str, Folder], ...] = ()
    flat: tuple[Folder, ...] = ()


@dataclass
class Arrangement:
    """How a tree is laid out.

    Attributes:
        parts: Its splits, in the order of training, validation, test.
        empty: Class folders without any image.
        layout: What kind of layout it is, in words.
        notes: What was decided, one sentence each.
        ignored: What was left out.
    """

    parts: list[Part] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    layout: str = ""
    notes: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)


def arrange(top: Folder, options: FolderOptions, origin: str) -> Arrangement:
    """Say what each folder of a tree is.

    Args:
        top: The root of the tree.
        options: What the user said of it.
        origin: The data set, for messages.

    Raises:
        DataError: Images lie where they are neither of a class nor all of them unlabelled, or
            folders can be read in two ways.
        InputError: The options do not fit the folders.
    """
    found = Arrangement()
    options, found.ignored = leave_out(top, options)
    if options.class_level is not None:
        _arrange_by_level(found, top, options, origin)
        return found
    start = _unwrap(top)
    if start is not top:
        found.notes.append(f"all images lie in the folder {start.path!r}")
    roles = guess_roles(start, options, origin, found.notes)
    classes = [f for f in start.full if roles[f.path] == "class"]
    splits = {f.path: roles[f.path] for f in start.full if roles[f.path] != "class"}
    if splits:
        require_one_reading(classes, splits, start, options, origin)
        _arrange_splits(found, start, splits, classes, options, origin)
    elif _holds_splits(classes):
        _arrange_splits_within(found, classes)
    elif joined := _joined_splits(classes, options):
        _arrange_joined(found, joined)
    else:
        require_one_reading(classes, {}, start, options, origin)
        part = _read_part(found, "", start, classes, options, origin)
        found.parts.append(part)
        found.layout = "class folders" if part.classes else "a folder of images"
    _take_splits_off(found)
    _say_strangers(found)
    return found


def _unwrap(top: Folder) -> Folder:
    """Go down while a folder only holds another one, as archives are unpacked."""
    folder = top
    while not folder.images and len(folder.full) == 1:
        folder = folder.full[0]
        if split_in(folder.name) and not is_storage(folder.name):
            above = folder.path.rpartition("/")[0]
            return next(f for f in top.walk() if f.path == above)
    many = len(folder.full) > 1 and not folder.images
    return folder if many or is_storage(folder.name) else top


def _arrange_splits(
    found: Arrangement,
    start: Folder,
    splits: Mapping[str, str],
    classes: Sequence[Folder],
    options: FolderOptions,
    origin: str,
) -> None:
    by_path = {folder.path: folder for folder in start.full}
    for split in ("train", "val", "test", "unlabelled"):
        for path in (path for path, role in splits.items() if role == split):
            core = inner(by_path[path])
            if core.path != path:
                found.notes.append(f"the split {split} is read from {core.path!r}")
            part = _read_part(found, split, core, core.full, options, origin)
            found.parts.append(part)
            if not part.classes:
                found.notes.append(f"the split {split} ({path!r}) has no class folders")
    if classes:
        own = _read_part(found, "train", start, classes, options, origin)
        found.parts.insert(0, own)
    named = ", ".join(path.rpartition("/")[2] for path in splits)
    found.layout = f"class folders in folders of splits ({named})"
    if not any(part.classes for part in found.parts):
        found.layout = f"images in folders of splits ({named})"
    elif classes:
        found.layout = f"class folders, and {named} beside them"
    in_use = {label for part in found.parts for label, _ in part.classes}
    found.empty = sorted(set(found.empty) - in_use)


def _say_strangers(found: Arrangement) -> None:
    """Say that a split has no class of the training split: names may be spelled otherwise."""
    classes = {part.split: {label for label, _ in part.classes} for part in found.parts}
    known = classes.pop("train", set())
    for split, own in classes.items():
        if known and own and not known & own:
            found.notes.append(f"no class of the split {split} is in the split train")


def _read_part(
    found: Arrangement,
    split: str,
    folder: Folder,
    classes: Sequence[Folder],
    options: FolderOptions,
    origin: str,
) -> Part:
    """Take folders as classes, or the images right in a folder as unlabelled."""
    for child in folder.folders:
        if child.n_images:
            continue
        if any(f.files for f in child.walk()):
            found.ignored.append(Ignored(1, "folders without images", child.path))
        elif not split_in(child.name) and classes:
            found.empty.append(child.name)
    role = options.roles.get(".")
    bare = [child for child in classes if child.name == UNLABELLED_FOLDER]
    classes = [child for child in classes if child not in bare]
    if bare and not classes:
        return Part(split, flat=tuple(f for f in bare if f.images))
    if not classes:
        return Part(split, flat=(folder,) if folder.images else ())
    if folder.images and role not in ("ignore", "unlabelled"):
        raise DataError(
            f"{len(folder.images)} images such as {folder.images[0]!r} lie beside the class "
            f"folders of {origin!r}; move each into the folder of its class, or say what they are "
            "with --folder .=unlabelled or .=ignore"
        )
    if folder.images and role == "ignore":
        example = folder.images[0]
        found.ignored.append(
            Ignored(len(folder.images), "images beside folders", example, "as --folder says")
        )
    labels = tuple((child.name, child) for child in classes)
    flat = [folder] if folder.images and role == "unlabelled" else []
    return Part(split, labels, (*flat, *bare))


def _holds_splits(classes: Sequence[Folder]) -> bool:
    """Tell whether every class is divided into splits, instead of the other way round."""
    return bool(classes) and all(
        folder.full and not folder.images and all(split_in(f.name) for f in folder.full)
        for folder in classes
    )


def _arrange_splits_within(found: Arrangement, classes: Sequence[Folder]) -> None:
    by_split: dict[str, list[tuple[str, Folder]]] = {}
    for folder in classes:
        for child in folder.full:
            by_split.setdefault(split_in(child.name) or "", []).append((folder.name, child))
    found.parts = [
        Part(split, tuple(by_split[split]))
        for split in ("train", "val", "test", "unlabelled")
        if split in by_split
    ]
    found.layout = "folders of splits in class folders"


Joined = Sequence[tuple[str, str, Folder]]


def _joined_splits(classes: Sequence[Folder], options: FolderOptions) -> Joined:
    """Return (split, class, folder) where names hold both: ``trainA``, ``cats_test``; else nothing.

    Most of the classes must come under two words of splits: kinds of trains do not.
    """
    if options.roles:
        return ()
    found = [(split_in(f.name) or "", without_split(f.name), f) for f in classes]
    splits_of: dict[str, set[str]] = {}
    for split, label, _ in found:
        splits_of.setdefault(label, set()).add(split)
    several = sum(len(splits) > 1 for splits in splits_of.values())
    whole = all(split and label for split, label, _ in found)
    once = len({(split, label) for split, label, _ in found}) == len(found)
    return found if whole and once and len(splits_of) > 1 and 2 * several > len(splits_of) else ()


def _arrange_joined(found: Arrangement, joined: Joined) -> None:
    for wanted in ("train", "val", "test", "unlabelled"):
        own = tuple((label, folder) for split, label, folder in joined if split == wanted)
        if own:
            found.parts.append(Part(wanted, own))
    split, label, folder = joined[0]
    found.layout = "folders named after split and class"
    found.notes.append(f"{folder.name!r} is the class {label!r} of the split {split}, and so on")


def _take_splits_off(found: Arrangement) -> None:
    """Read ``train/cats_train`` and ``test/cats_test`` as one class."""
    labelled = [part for part in found.parts if part.classes]
    names = [(part.split, label) for part in labelled for label, _ in part.classes]
    if len(labelled) < 2 or not all(s and split_in(n) == s and without_split(n) for s, n in names):
        return
    found.parts = [
        replace(part, classes=tuple((without_split(label), f) for label, f in part.classes))
        for part in found.parts
    ]
    found.notes.append(f"class folders repeat the word of their split, such as {names[0][1]!r}")


def _arrange_by_level(found: Arrangement, top: Folder, options: FolderOptions, origin: str) -> None:
    level = options.class_level
    assert level is not None, "asked before"
    parts: dict[str, tuple[list[tuple[str, Folder]], list[Folder]]] = {}
    for folder in top.walk():
        names = folder.path.split("/") if folder.path else []
        if len(names) > level:
            continue
        words = [split_in(name) for name in names[: level - 1]]
        split = next((word for word in reversed(words) if word), "")
        labelled, flat = parts.setdefault(split, ([], []))
        if len(names) == level and folder.n_images:
            labelled.append((names[-1], folder))
        elif folder.images and len(names) < level:
            flat.append(folder)
    found.parts = [
        Part(split, tuple(labelled), tuple(flat))
        for split, (labelled, flat) in parts.items()
        if labelled or flat
    ]
    if not any(part.classes for part in found.parts):
        raise InputError(f"--class-level {level} came, but {origin!r} has no such deep folders")
    found.layout = f"class folders at level {level}"

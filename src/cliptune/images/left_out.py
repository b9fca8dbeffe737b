"""Folders that the user leaves out are taken out of a tree before it is read.

It knows trees and names, and not what any folder holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cliptune.images.reading import Ignored
from cliptune.images.roles import FolderOptions
from cliptune.images.tree import Folder

__all__ = ["leave_out"]


def leave_out(top: Folder, options: FolderOptions) -> tuple[FolderOptions, list[Ignored]]:
    """Take the folders out of a tree that the user leaves out, wherever they lie.

    Of several with one name those nearest to the root are meant.

    Returns:
        The options without what was done, so that what names no folder stays there, to be refused;
        and what was left out.
    """
    ignored = []
    for name in [n for n, role in options.roles.items() if role == "ignore" and n != "."]:
        path = "/" + name.strip("/")
        out = [f for f in top.walk() if f.path and f"/{f.path}".endswith(path) and f.n_images]
        depth = min((f.path.count("/") for f in out), default=0)
        out = [f for f in out if f.path.count("/") == depth]
        if out:
            ignored.append(_take_out(top, out))
            options = replace(options, roles={n: r for n, r in options.roles.items() if n != name})
    return options, ignored


def _take_out(top: Folder, out: Sequence[Folder]) -> Ignored:
    n = sum(folder.n_images for folder in out)
    left_out = Ignored(n, "images", next(out[0].image_paths()), "as --folder says")
    paths = {folder.path for folder in out}
    for folder in (rest := list(top.walk())):
        folder.folders = [child for child in folder.folders if child.path not in paths]
    for folder in reversed(rest[1:]):  # the root keeps its number: what is left out is counted
        folder.n_images = len(folder.images) + sum(child.n_images for child in folder.folders)
    return left_out

"""Groups of images that their paths tell: patients, videos, cameras.

It knows paths and regular expressions, and nothing about what a group means.
"""

from __future__ import annotations

from dataclasses import replace

from cliptune.errors import InputError
from cliptune.images.reading import Reading
from cliptune.images.records import LabelledImages
from cliptune.system.patterns import compile_pattern

__all__ = ["group_by_pattern"]


def group_by_pattern(images: LabelledImages, pattern: str) -> LabelledImages:
    """Give each image the group that a pattern finds in its path.

    Args:
        images: N images.
        pattern: A regular expression; its parentheses, or else all that it finds, is the group.

    Raises:
        InputError: It is no regular expression, or finds nothing in any path.
    """
    found = compile_pattern("--group-pattern", pattern, example="'patient_([0-9]+)'")
    groups = []
    for source in images.sources:
        match = found.search(source.id)
        parts = () if match is None else match.groups() or (match[0],)
        groups.append("/".join(part for part in parts if part))
    missing = [row for row, group in enumerate(groups) if not group]
    if len(missing) == len(groups):
        raise InputError(
            f"--group-pattern {pattern!r} finds nothing in any path, such as "
            f"{images.sources[0].id!r}; write for example 'patient_([0-9]+)'"
        )
    notes = []
    if missing:
        example = images.sources[missing[0]].id
        notes = [
            f"the pattern of groups finds nothing in {len(missing)} paths, such as {example!r}: "
            "each stands alone"
        ]
    reading = (images.reading or Reading("images")).add(notes=notes)
    return replace(images, groups=groups, reading=reading)

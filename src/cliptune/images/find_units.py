"""Which units a data set consists of: tars in a folder or by a pattern, here or on a store.

A store without tars has its pictures as units. Who asks learns names, sizes and versions; nothing
is opened.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from cliptune.errors import CliptuneError, DataError, InputError, UnavailableError
from cliptune.images.picture_units import find_picture_units
from cliptune.images.remote import RemoteObject, is_remote, list_remote, stat_remote
from cliptune.images.shards import (
    COMPRESSED,
    expand_braces,
    expand_names,
    find_shards,
    is_shard,
    root_of,
)
from cliptune.images.units import TarUnit, Unit, size_and_mark
from cliptune.system.atomic import os_reason
from cliptune.system.redaction import hide_passwords

__all__ = ["find_units"]

_EXPECTED = (
    "expected a folder of .tar shards, a pattern such as 'train-{000..146}.tar' or 'train-*.tar', "
    "the same at s3://, gs:// or https://, class folders of images at s3:// or gs://, or "
    "hf:OWNER/NAME; a folder of images here needs no --stream"
)


def find_units(data: str) -> tuple[Unit, ...]:
    """Find the units that a data set consists of, and open none of them.

    Args:
        data: A tar, a folder of tars, a pattern with braces or stars, an address of these, or that
            of a store's folder of images.

    Raises:
        InputError: There is nothing of this name, or nothing to stream.
        DataError: A tar is compressed, or a store's folders can be read in two ways.
        UnavailableError: A store cannot be reached, or a folder cannot be read.
    """
    units: tuple[Unit, ...] = _find_remote(data) if is_remote(data) else _find_local(data)
    if not units:
        raise InputError(f"{hide_passwords(data)!r} has no .tar shards to stream; {_EXPECTED}")
    for unit in units:
        if unit.name.lower().endswith(COMPRESSED):
            raise DataError(
                f"{hide_passwords(unit.address)!r} is compressed; expected plain .tar shards: "
                "decompress it"
            )
    return units


def _find_local(data: str) -> tuple[TarUnit, ...]:
    path = Path(data)
    try:
        if path.is_dir():
            paths, alone = find_shards(path), False
        elif path.exists():
            paths, alone = ([path] if is_shard(path) else []), True
        elif "{" in data:
            paths, alone = expand_braces(data), False
        elif any(mark in data for mark in "*?["):
            found = sorted(Path(one) for one in glob.glob(data))  # noqa: PTH207  an absolute one
            paths, alone = [one for one in found if is_shard(one) and one.is_file()], False
        else:
            raise InputError(f"there is no file or folder {data!r} to stream; {_EXPECTED}")
    except OSError as error:
        raise UnavailableError(f"cannot read {data!r} ({os_reason(error)})") from error
    except ValueError as error:  # a null byte
        if isinstance(error, CliptuneError):
            raise
        raise InputError(f"{data!r} is no name of data ({error})") from error
    if not paths:
        return ()
    root = root_of(paths)
    return tuple(
        TarUnit(one.relative_to(root).as_posix(), str(root), str(one), *size_and_mark(one), alone)
        for one in paths
    )


def _find_remote(data: str) -> tuple[Unit, ...]:
    base, pattern = _fixed_part(data)
    if not pattern:
        found = list_remote(data)
        alone = len(found) == 1 and data.rstrip("/").endswith(f"/{found[0].name}")
        if alone:
            base = data.rstrip("/").rpartition("/")[0]
        base = base.rstrip("/")
        return _as_units(base, found, alone=alone) or find_picture_units(base, found)
    if data.startswith(("http://", "https://")):
        if "{" not in data:
            raise InputError(
                f"{hide_passwords(data)!r} came, and a web server lists no files; write the "
                "numbers: train-{000..146}.tar"
            )
        addresses = expand_names(data)
        names = [address.removeprefix(f"{base}/") for address in addresses]
        objects = stat_remote(addresses)
        return _as_units(base, [replace(o, name=n) for o, n in zip(objects, names, strict=True)])
    return _as_units(base, _matching(list_remote(base), pattern, data))


def _fixed_part(data: str) -> tuple[str, str]:
    """Cut an address before its first part with a brace or a star."""
    scheme, _, rest = data.partition("://")
    parts = rest.split("/")
    first = next((n for n, part in enumerate(parts) if set(part) & set("{*[")), len(parts))
    return f"{scheme}://{'/'.join(parts[:first])}", "/".join(parts[first:])


def _matching(found: Sequence[RemoteObject], pattern: str, data: str) -> list[RemoteObject]:
    if "{" not in pattern:
        return [
            one
            for one in found
            if one.name.count("/") == pattern.count("/") and PurePosixPath(one.name).match(pattern)
        ]
    by_name, names = {one.name: one for one in found}, expand_names(pattern)
    if missing := [name for name in names if name not in by_name]:
        raise InputError(
            f"{hide_passwords(data)!r} stands for {len(names)} shards, but {missing[0]!r} is not "
            "there"
        )
    return [by_name[name] for name in names]


def _as_units(
    base: str, found: Sequence[RemoteObject], *, alone: bool = False
) -> tuple[TarUnit, ...]:
    """Keep tars in a folder and in the folders right below it, as of a folder here."""
    names = [PurePosixPath(one.name) for one in found]
    kept = [
        (name, one)
        for name, one in zip(names, found, strict=True)
        if is_shard(Path(name.name)) and name.name[0] != "." and len(name.parts) <= 2
    ]
    if not kept:
        return ()
    root: PurePath = root_of([name for name, _ in kept])
    place = base if root == PurePosixPath() else f"{base}/{root.as_posix()}"
    return tuple(
        TarUnit(
            name.relative_to(root).as_posix(), place, f"{base}/{name}", one.size, one.version, alone
        )
        for name, one in kept
    )

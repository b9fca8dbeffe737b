"""DataIdentity: which images a run rests on, what is in them, their labels, and what each is for.

It is recorded when a long run begins and compared whenever it goes on. It knows nothing about
what runs do.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cliptune.errors import RunError
from cliptune.features.keys import content_digest
from cliptune.system.atomic import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cliptune.images import ImageTable

__all__ = ["DataIdentity", "load_identity"]

_FILE = "images.parquet"
_COLUMNS = ("ids", "contents", "labels", "roles")
_SHOWN = 3
Images = Mapping[str, tuple[str, str, str]]


@dataclass(frozen=True)
class DataIdentity:
    """N images by name.

    Attributes:
        ids: Names, unique.
        contents: Digest of each file's bytes, in hex.
        labels: Class name, or all of several; of captions a digest; empty where there is neither.
        roles: ``train``, ``val``, ``test``, ``watch``, or empty where it is for nothing yet.
    """

    ids: tuple[str, ...]
    contents: tuple[str, ...]
    labels: tuple[str, ...]
    roles: tuple[str, ...]

    @classmethod
    def of(
        cls,
        table: ImageTable,
        contents: NDArray[np.bytes_],
        roles: Sequence[str] | NDArray[np.str_],
    ) -> Self:
        """Describe the rows of a table.

        Args:
            table: N images.
            contents: Digest of each file's bytes, shape (N,).
            roles: What each is for, N of them.
        """
        captions = table.captions or ((),) * len(table)
        sets = table.label_sets or (None,) * len(table)
        confidence = table.confidence or (None,) * len(table)
        return cls(
            ids=table.ids,
            contents=tuple(bytes(digest).hex() for digest in contents),
            labels=tuple(
                _label(table.class_names, *known)
                for known in zip(table.labels.tolist(), captions, sets, confidence, strict=True)
            ),
            roles=tuple(str(role) for role in roles),
        )

    def joined(self, name: str, other: DataIdentity) -> DataIdentity:
        """Return these images and those of another data set, whose names get a prefix."""
        return DataIdentity(
            ids=(*self.ids, *(f"{name}: {one}" for one in other.ids)),
            contents=(*self.contents, *other.contents),
            labels=(*self.labels, *other.labels),
            roles=(*self.roles, *other.roles),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, contents, labels and roles, in order; hex."""
        digest = hashlib.sha256()
        for name in _COLUMNS:
            text = "\0".join((*getattr(self, name), ""))
            digest.update(text.encode("utf-8", "backslashreplace") + b"\1")
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """Return the images as a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {name: _storable(getattr(self, name)) for name in _COLUMNS}
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="zstd")
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what ``to_bytes`` gave.

        Raises:
            RunError: It is something else.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(pa.BufferReader(data))
            columns = [table.column(name).to_pylist() for name in _COLUMNS]
        except (pa.ArrowException, KeyError, OSError, ValueError) as error:
            raise RunError(f"the record of a run's images cannot be read ({error})") from error
        return cls(*(tuple(str(value) for value in column) for column in columns))

    def save(self, folder: Path) -> None:
        """Write the images into a folder of a run.

        Raises:
            UnavailableError: It cannot be written to.
        """
        with atomic_path(folder / _FILE) as temporary:
            temporary.write_bytes(self.to_bytes())

    def require_same(
        self, found: DataIdentity | None, place: str, *, remedy: str = "name another with --out"
    ) -> None:
        """Make sure that a run is taken up with the images that it began with.

        Args:
            found: What it recorded at its start; nothing where that is missing.
            place: Of the run, as the message shows it.
            remedy: How to begin anew instead.

        Raises:
            RunError: They differ; the message names the first few of each kind of difference.
        """
        if found is None:
            raise RunError(
                f"{place} has no readable record of the images that it rests on, so that they "
                f"may be others than these; {remedy} to begin anew"
            )
        if difference := self.difference(found):
            raise RunError(
                f"{place} was begun with other data: {difference}; bring back the data of then, "
                f"or {remedy} to begin anew"
            )

    def difference(self, found: DataIdentity) -> str | None:
        """Say in words how these images differ from those of before, or nothing if they do not."""
        if found.digest == self.digest:
            return None
        there, here = found._by_id(), self._by_id()
        both = [name for name in here if name in there]
        parts = [
            _named("removed", [name for name in there if name not in here]),
            _named("added", [name for name in here if name not in there]),
            _named("changed", _differing(there, here, both, 0)),
            _named("labelled otherwise", _differing(there, here, both, 1)),
            _named(
                "used otherwise",
                _differing(there, here, both, 2),
                lambda name: (
                    f" ({there[name][2] or 'nothing'} then, {here[name][2] or 'nothing'} now)"
                ),
            ),
        ]
        return ", ".join(part for part in parts if part) or "the images come in another order"

    def _by_id(self) -> Images:
        rows = zip(self.ids, self.contents, self.labels, self.roles, strict=True)
        return {name: (content, label, role) for name, content, label, role in rows}


def load_identity(folder: Path) -> DataIdentity | None:
    """Read what ``DataIdentity.save`` wrote, or nothing where it is missing or damaged."""
    try:
        return DataIdentity.from_bytes((folder / _FILE).read_bytes())
    except (OSError, RunError):
        return None


def _label(
    class_names: Sequence[str],
    label: int,
    texts: Sequence[str],
    labels: Sequence[int] | None,
    shares: Mapping[int, float] | None,
) -> str:
    if labels is not None:
        return ", ".join(sorted(repr(class_names[code]) for code in labels)) or "none of them"
    if texts:
        return content_digest("\0".join(texts).encode("utf-8", "backslashreplace")).hex()
    if shares is not None:
        votes = sorted((class_names[code], share) for code, share in shares.items())
        return ", ".join(f"{share:.6g} of {name!r}" for name, share in votes)
    return class_names[label] if label >= 0 else ""


def _storable(texts: Sequence[str]) -> list[str]:
    """Return texts as Parquet takes them: file names may hold bytes that are no text."""
    return [text.encode("utf-8", "backslashreplace").decode() for text in texts]


def _differing(there: Images, here: Images, names: Sequence[str], place: int) -> list[str]:
    return [name for name in names if there[name][place] != here[name][place]]


def _named(
    what: str, names: Sequence[str], detail: Callable[[str], str] = lambda _: ""
) -> str | None:
    """Count images and name the first few."""
    if not names:
        return None
    shown = ", ".join(repr(name) + detail(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({shown}{more})"

"""Tables written as other tools read them: one module a format, pictures byte for byte.

A module with a constant ``WRITER`` is a writer; nothing else lists them. What is written is opened
again and compared before it gets its name.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from cliptune.errors import DataError, InputError, UnavailableError, UnknownNameError
from cliptune.images.table import ImageTable
from cliptune.images.writers.written import Writer
from cliptune.system.atomic import TEMPORARY, os_reason

__all__ = ["list_writers", "require_same", "require_writer", "write_table"]


@cache
def list_writers() -> dict[str, Writer]:
    """Return the formats by their names."""
    names = sorted(module.name for module in iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return {m.WRITER.name: m.WRITER for m in modules if hasattr(m, "WRITER")}


def require_writer(form: str) -> Writer:
    """Return what writes a format.

    Raises:
        UnknownNameError: There is no such format.
    """
    writers = list_writers()
    if form not in writers:
        raise UnknownNameError("format", form, writers)
    return writers[form]


def write_table(table: ImageTable, form: str, folder: Path) -> tuple[str, ...]:
    """Write a table into a new folder, which appears whole or not at all.

    Args:
        table: N images.
        form: One of ``list_writers``.
        folder: Where; it must not be there, or be empty.

    Returns:
        Sentences about what the format cannot hold.

    Raises:
        UnknownNameError: There is no such format.
        InputError: The folder holds something.
        DataError: The format cannot hold the labels, splits or names of this table.
        BadImageError: The bytes of an image cannot be had.
        UnavailableError: The folder cannot be written.
    """
    writer = require_writer(form)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} holds something; name a new folder")
    temporary: Path | None = None
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=TEMPORARY))
        notes = writer.write(table, temporary)
        require_same(table, temporary, form)
        temporary.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except UnavailableError:
        raise
    except OSError as error:
        raise UnavailableError(f"cannot write {str(folder)!r} ({os_reason(error)})") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    if table.confidence is not None:
        notes = (*notes, "how sure labels are is not written")
    return notes


def require_same(table: ImageTable, folder: Path, form: str) -> None:
    """Open what was written and compare labels and splits, whose words a format may change.

    Raises:
        DataError: An image comes back as another; the message says how.
    """
    before, after = _counted(table), _counted(ImageTable.open(folder))
    if before == after:
        return
    lost = next(iter((before - after) or (after - before)))
    raise DataError(
        f"{form} cannot hold this data set: an image of the split {lost[0]!r} with the labels "
        f"{lost[1]!r} comes back as another; take another format, such as parquet"
    )


def _counted(table: ImageTable) -> Counter[tuple[str, tuple[str, ...] | None]]:
    sets = table.label_sets or [None if code < 0 else (int(code),) for code in table.labels]
    return Counter(
        (str(split), None if codes is None else tuple(sorted(table.class_names[c] for c in codes)))
        for split, codes in zip(table.splits, sets, strict=True)
    )

"""How tables of many numbers are written as Parquet; it knows no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["repeated_columns"]


def repeated_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of texts, for ``use_dictionary``.

    Without it pyarrow 26 tries a dictionary for numbers too, which do not repeat: files of vectors
    of few rows are up to a half larger, and writing takes 1.7 times as long.
    """
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_string(field.type)]

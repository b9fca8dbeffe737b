"""TFRecord files of examples with an image each, read without TensorFlow.

It knows the framing of the files and the protocol buffers ``tf.train.Example``, and nothing about
labels. Source: tensorflow/core/lib/io/record_writer.h and tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from cliptune.errors import DataError
from cliptune.images.decode import bad_image

__all__ = ["Example", "TfRecordSource", "is_tfrecord", "list_examples"]

_LENGTH = 12  # eight bytes of length, four of its checksum
_LARGE = 4096  # bytes values up to this are texts that may be labels; the rest are pictures

Value = Any  # Any: numbers or texts, or the place of a large one


@dataclass(frozen=True, slots=True)
class TfRecordSource:
    """An image within a record: ``size`` bytes from ``offset`` on."""

    id: str
    path: str
    offset: int
    size: int

    @property
    def location(self) -> str:
        """The file's path, and the number of the record."""
        return f"{self.path}#{self.id.rpartition('#')[2]}"

    def read(self) -> bytes:
        """Return the image's bytes; see ``Source.read``."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise bad_image(self.location, error.strerror or type(error).__name__) from error
        if len(data) != self.size:
            raise bad_image(self.location, f"{self.path!r} ends before it")
        return data


@dataclass(frozen=True)
class Place:
    """Where a large value stands in its file."""

    offset: int
    size: int


@dataclass(frozen=True)
class Example:
    """One record: values by the names of their features, large ones by their place."""

    values: dict[str, list[Value]]


def is_tfrecord(name: str) -> bool:
    """Tell by the name: ``a.tfrecord``, ``a.tfrecords``, ``a-train.tfrecord-00000-of-00002``."""
    return ".tfrecord" in name.lower() and not name.endswith((".json", ".txt", ".index"))


def list_examples(path: Path) -> list[Example]:
    """Read a file's records, but not their pictures.

    Raises:
        DataError: It is damaged, compressed, or holds something else.
    """
    examples = []
    try:
        with path.open("rb") as file:
            for start, data in _records(file):
                examples.append(Example(dict(_features(data, start))))
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise DataError(
            f"record {len(examples)} of {str(path)!r} is no tf.train.Example ({error}); expected "
            "an uncompressed TFRecord file"
        ) from error
    return examples


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    size = file.seek(0, 2)
    start = 0
    while start < size:
        file.seek(start)
        (length,) = struct.unpack("<Q", file.read(_LENGTH)[:8])
        if start + _LENGTH + length + 4 > size:
            raise ValueError("the file ends within it")
        yield start + _LENGTH, file.read(length)
        start += _LENGTH + length + 4


def _features(data: bytes, start: int) -> Iterator[tuple[str, list[Value]]]:
    """Walk Example -> Features -> map entries, keeping the place of each value."""
    for number, left, right in _fields(data, 0, len(data)):
        if number != 1:
            continue
        for entry, entry_left, entry_right in _fields(data, left, right):
            if entry != 1:
                continue
            name, values = "", list[Value]()
            for part, part_left, part_right in _fields(data, entry_left, entry_right):
                if part == 1:
                    name = data[part_left:part_right].decode("utf-8")
                elif part == 2:
                    values = _feature(data, part_left, part_right, start)
            yield name, values


def _feature(data: bytes, left: int, right: int, start: int) -> list[Value]:
    values: list[Value] = []
    for kind, kind_left, kind_right in _fields(data, left, right):
        for _, value_left, value_right in _fields(data, kind_left, kind_right):
            if kind == 1:
                values.append(_bytes(data, value_left, value_right, start))
            elif kind == 2:
                count = (value_right - value_left) // 4
                values += struct.unpack(f"<{count}f", data[value_left : value_left + 4 * count])
            elif kind == 3:
                while value_left < value_right:
                    number, value_left = _varint(data, value_left)
                    values.append(number - (1 << 64) if number >> 63 else number)
    return values


def _bytes(data: bytes, left: int, right: int, start: int) -> Value:
    if right - left <= _LARGE:
        try:
            text = data[left:right].decode("utf-8")
        except UnicodeDecodeError:
            return Place(start + left, right - left)
        if text.isprintable():
            return text
    return Place(start + left, right - left)


def _fields(data: bytes, left: int, right: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field of a message, and where its value begins and ends."""
    while left < right:
        key, left = _varint(data, left)
        kind = key & 7
        if kind == 2:
            length, left = _varint(data, left)
            end = left + length
        elif kind == 0:
            _, end = _varint(data, left)
        elif kind in (1, 5):
            end = left + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field of kind {kind}")
        if end > right:
            raise ValueError("a field ends after its message")
        yield key >> 3, left, end
        left = end


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if not byte & 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number of more than 64 bits")

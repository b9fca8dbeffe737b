"""PNG files without the side facts that a decoder refuses for their size.

It knows the chunks of the format (W3C PNG, 3rd edition, section 5), and nothing about pixels.
Pillow refuses a picture when one text or profile unpacks to more than a mebibyte, or all of them
to more than 64; raising its limits would change them for the whole process.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

__all__ = ["without_large_texts"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PACKED = (b"zTXt", b"iTXt", b"iCCP")
_MAX_UNPACKED = 1 << 20
_MAX_TOGETHER = 16 << 20


def without_large_texts(data: bytes) -> tuple[bytes, int]:
    """Leave out texts and profiles that are too large to unpack, in a copy of a PNG file.

    Small ones stay: some programs keep the orientation in a text.

    Args:
        data: The bytes of a file.

    Returns:
        The bytes without these chunks, and how many there were; what is no whole PNG comes back
        as it is.
    """
    if not data.startswith(_SIGNATURE):
        return data, 0
    kept, together, dropped = [_SIGNATURE], 0, 0
    for kind, start, end in _chunks(data):
        size = 0
        if kind in _PACKED:
            size = _unpacked_size(kind, data[start + 8 : end - 4])
        elif kind == b"tEXt":
            size = end - start
        together += size if size <= _MAX_UNPACKED or kind == b"tEXt" else 0
        if (kind in _PACKED and size > _MAX_UNPACKED) or (size and together > _MAX_TOGETHER):
            dropped += 1
        else:
            kept.append(data[start:end])
    return (b"".join(kept), dropped) if dropped else (data, 0)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk, where it starts and where the next one does."""
    start = len(_SIGNATURE)
    while start < len(data):
        end = min(len(data), start + 12 + int.from_bytes(data[start : start + 4], "big"))
        yield data[start + 4 : start + 8], start, end
        start = end


def _unpacked_size(kind: bytes, body: bytes) -> int:
    """Return the size of what a chunk unpacks to, or one more than the limit when it is larger."""
    _, _, rest = body.partition(b"\0")
    packed = rest[1:]
    if kind == b"iTXt":
        if not rest.startswith(b"\1"):
            return len(rest)
        packed = rest[2:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        size = len(unpacker.decompress(packed, _MAX_UNPACKED))
    except zlib.error:
        return 0
    return size + 1 if unpacker.unconsumed_tail else size

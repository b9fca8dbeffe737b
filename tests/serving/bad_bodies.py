"""Some two hundred requests that are wrong, made by rule, each with the status that it must get."""

import base64
import gzip
import io
import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

BOUNDARY = "9b1d"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"


@dataclass(frozen=True)
class Bad:
    """A request to classify images, and its status."""

    name: str
    body: bytes
    kind: str
    status: int
    query: str = ""


def every(max_pixels, max_bytes, max_items):
    """Make all of them for a server with these limits, and one run."""
    alone = [
        *(Bad(f"raw: {name}", data, kind, status)
          for name, data, status in images(max_pixels)
          for kind in ("image/jpeg", "application/octet-stream")),
        *(Bad(f"json: {name}", in_json(data), JSON, status)
          for name, data, status in images(max_pixels)),
    ]  # fmt: skip
    return [*alone, *kinds(), *no_json(), *wrong_json(), *forms(max_items), *queries(),
            Bad("too many bytes", b"0" * (max_bytes + 1), "image/png", 413),
            Bad("too many bytes in a form", part(b"0" * max_bytes, "x.png"), FORM, 413),
            ]  # fmt: skip


def images(max_pixels):
    """Bytes that are no image, or one that is refused: (name, bytes, status where it is alone)."""
    yield "zero bytes", b"", 422
    yield "zeros", bytes(4096), 422
    yield "noise", np.random.default_rng(0).bytes(4096), 422
    texts = (
        "words",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "<!doctype html>",
        "{}",
        "%PDF-1.7",
    )
    for text in texts:
        yield f"text {text[:8]}", text.encode(), 422
    yield "UTF-16", "an image".encode("utf-16"), 422
    yield "gzip", gzip.compress(b"an image"), 422
    yield "film", b"\0\0\0\x18ftypisom" + bytes(64), 422
    for kind, magic in MAGIC.items():
        yield f"{kind}: its first bytes alone", magic, 422
        yield f"{kind}: its first bytes, then zeros", magic + bytes(256), 422
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        whole = picture(kind)
        yield f"{kind}: a third of it", whole[: len(whole) // 3], 422
        yield f"{kind}: without its head", whole[16:], 422
        side = int(max_pixels**0.5) + 1
        yield f"{kind}: too many pixels", picture(kind, side), 413
    yield "PNG: claims too many pixels", png_claiming(max_pixels, 2), 413
    yield "PNG: claims no pixels", png_claiming(0, 0), 422


MAGIC = {
    "JPEG": b"\xff\xd8\xff\xe0",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "GIF": b"GIF89a",
    "WEBP": b"RIFF\x20\0\0\0WEBPVP8 ",
    "BMP": b"BM",
    "TIFF": b"II*\0",
    "TIFF, other ends": b"MM\0*",
}


def picture(kind="PNG", side=48):
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def png_claiming(width, height):
    """Return a PNG whose header says so, without any pixels."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


def in_json(data, **more):
    text = base64.b64encode(data).decode()
    return json.dumps({"images": [{"data_base64": text}], **more}).encode()


def kinds():
    """Types of bodies that are not read, with a good image."""
    names = ("text/plain", "text/html", "text/csv", "application/xml", "application/pdf",
             "application/x-www-form-urlencoded", "application/zip", "application/jsonp",
             "video/mp4", "audio/wav", "multipart/mixed; boundary=x", "multipart/related",
             "json", "x", "image", "form-data", "*/*", "application/msgpack")  # fmt: skip
    for name in names:
        yield Bad(f"type {name}", picture(), name, 415)


def no_json():
    """What is no JSON at all."""
    texts = ("", " ", "{", "[", "}", "nul", "images", "'{}'", '{"images": [}', '{"images": [],}',
             '{"images" []}', '{"images": [{"data_base64": "QUFB"}]', "{} {}", '{"a": 01}',
             '{"images": "\\x"}')  # fmt: skip
    for text in texts:
        yield Bad(f"no JSON: {text}", text.encode(), JSON, 400)
    yield Bad("no JSON: no UTF-8", b'{"images": "\xff\xfe"}', JSON, 400)
    yield Bad("no JSON: a form", part(picture(), "x.png"), JSON, 400)
    yield Bad("no JSON: an image", picture(), JSON, 400)
    yield Bad("lists in lists", b"[" * 50_000, JSON, 400)
    yield Bad("objects in objects", b'{"a":' * 50_000, JSON, 400)


def wrong_json():
    """JSON that asks for nothing, or wrongly."""
    good = {"data_base64": base64.b64encode(picture()).decode()}
    for value in (None, 0, 1.5, True, "x", [], [good], {}):
        yield Bad(f"JSON {value!r:.20}", json.dumps(value).encode(), JSON, 422)
    for value in (None, [], {}, "x", 1, [None], [1], ["x"], [[]], [{}], [[good]], {"0": good}):
        yield Bad(f"images {value!r:.20}", json.dumps({"images": value}).encode(), JSON, 422)
    for value in (None, 1, True, [], {}, [1, 2]):
        body = {"images": [{"data_base64": value}]}
        yield Bad(f"data_base64 {value!r}", json.dumps(body).encode(), JSON, 422)
    for text in ("", "?", "A", "AAA", "QUFB=", "QU FB", "QUFB\n", "data:image/png;base64,QUFB",
                 "-_-_", "ä", "=" * 8, "QQ==QQ==", "\0"):  # fmt: skip
        body = {"images": [{"data_base64": text}]}
        yield Bad(f"base64 {text!r}", json.dumps(body).encode(), JSON, 422)
    for extra in ({"what": 1}, {"name": 1}, {"name": []}, {"url": "http://localhost/x.png"}):
        body = {"images": [{**good, **extra}]}
        yield Bad(f"an image with {extra}", json.dumps(body).encode(), JSON, 422)
    for name, values in OPTIONS.items():
        for value in values:
            body = json.dumps({"images": [good], name: value}).encode()
            yield Bad(f"JSON {name}={value!r}", body, JSON, 422)
    for name, values in TEXTS_FOR_NUMBERS.items():
        for value in values:
            yield Bad(f"JSON {name}={value!r}", in_json(picture(), **{name: value}), JSON, 422)
    for value in ("none", "", "../model", "a" * 5000):
        body = json.dumps({"images": [good], "run": value}).encode()
        yield Bad(f"JSON run={value[:9]!r}", body, JSON, 404)


OPTIONS = {
    "top": (0, -1, 1001, 1.5, "many", [], {}),
    "threshold": (-0.1, 1.1, "x", [], {}, float("nan"), float("inf")),
    "embeddings": ("maybe", 2, [], {}),
    "run": (1, [], {}),
    "what": (1, None),
}


# Fine in a form, where all are texts.
TEXTS_FOR_NUMBERS = {"top": ("2", True), "threshold": ("0.5", True), "embeddings": (0, "true")}


def part(data, filename=None, field="files", *, end=True):
    """Return the body of a form with one part."""
    name = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'
    tail = f"\r\n--{BOUNDARY}--\r\n" if end else ""
    return head.encode() + data + tail.encode()


def forms(max_items):
    """Forms that are none, or hold something else."""
    good = picture()
    whole = part(good, "x.png")
    yield Bad("a form of zero bytes", b"", FORM, 422)
    yield Bad("a form without a boundary", whole, "multipart/form-data", 400)
    yield Bad("a form of another boundary", whole, "multipart/form-data; boundary=other", 400)
    yield Bad("a form that is JSON", b"{}", FORM, 400)
    yield Bad("a form that is an image", good, FORM, 400)
    yield Bad("a part without a name", whole.replace(b' name="files";', b""), FORM, 400)
    yield Bad(
        "a part without a head", f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--".encode(), FORM, 400
    )
    yield Bad("a line that is no header", whole.replace(b"Disposition:", b"Disposition"), FORM, 400)
    yield Bad("a form with no part", f"--{BOUNDARY}--\r\n".encode(), FORM, 422)
    yield Bad("a file of another field", part(good, "x.png", "image"), FORM, 422)
    yield Bad("an image as text", part(b"x"), FORM, 422)
    yield Bad("a file of zero bytes", part(b"", "x.png"), FORM, 422)
    yield Bad("an option that is a file", part(b"1", "x", "top"), FORM, 422)
    yield Bad("only an option", part(b"1", None, "top"), FORM, 422)
    yield Bad("a long option", part(b"1" * 5000, None, "run"), FORM, 400)
    item = part(good, "x.png", end=False) + b"\r\n"
    for name, values in OPTIONS.items():
        for value in (v for v in values if isinstance(v, int | float | str)):
            if name != "run":
                body = item + part(str(value).encode(), None, name)
                yield Bad(f"form {name}={value!r}", body, FORM, 422)
    yield Bad("form run=none", item + part(b"none", None, "run"), FORM, 404)
    too_many = item * max_items + whole
    yield Bad("too many files", too_many, FORM, 413)
    options = b"".join(part(b"1", None, f"o{n}", end=False) + b"\r\n" for n in range(9))
    yield Bad("too many options", options + whole, FORM, 400)


def queries():
    """A good image, and a query that is wrong."""
    for query, status in (
        *(("run=none", 404), ("run=", 404), ("top=0", 422), ("top=x", 422), ("top=", 422)),
        *(("threshold=2", 422), ("threshold=nan", 422), ("embeddings=maybe", 422)),
        *(("what=1", 422), ("top=1&what=", 422)),
    ):
        yield Bad(f"query {query}", picture(), "image/png", status, f"?{query}")

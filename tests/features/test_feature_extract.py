from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cliptune.encoders import Preprocess
from cliptune.errors import BadImageError, DataError, InputError
from cliptune.features.extract import extract
from cliptune.images import ImageTable
from fakes import TinyEncoder


class SlowTable(ImageTable):
    """Decodes at a known speed and counts how often it is asked to."""

    seconds = 0.0
    asked = 0

    def load_image(self, row: int, **limits: int) -> Image.Image:
        type(self).asked += 1
        time.sleep(self.seconds)
        return super().load_image(row, **limits)


def slow(table: ImageTable, seconds: float) -> SlowTable:
    SlowTable.seconds, SlowTable.asked = seconds, 0
    return SlowTable(table.sources, table.labels, table.splits, table.class_names, table.root)


def decoders() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("cliptune-decode")]


def test_gives_the_rows_in_order_as_the_encoder_gives_them(make_table):
    table, encoder = make_table(21), TinyEncoder()
    batches = list(extract(encoder, table, batch_size=8, workers=3))
    assert [len(b.rows) for b in batches] == [8, 8, 5]
    assert np.concatenate([b.rows for b in batches]).tolist() == list(range(21))
    pixels = np.stack([encoder.preprocess(table.load_image(i)) for i in range(21)])
    expected = TinyEncoder().encode_images(pixels)
    np.testing.assert_allclose(np.concatenate([b.vectors for b in batches]), expected, atol=1e-6)
    assert all(b.tokens is None for b in batches)


def test_gives_tokens_when_asked(make_table):
    (batch,) = extract(TinyEncoder(), make_table(4), tokens=True)
    assert batch.tokens is not None
    assert batch.tokens.shape == (4, 16, 16)
    assert batch.trunk is None


def test_gives_trunk_rows_when_asked(make_table):
    (batch,) = extract(TinyEncoder(), make_table(4), trunk=True)
    assert batch.trunk is not None
    assert batch.trunk.shape == (4, 16 + 48)
    np.testing.assert_allclose(batch.trunk[:, :16], batch.vectors, atol=1e-6)
    assert batch.tokens is None


def test_names_an_image_that_cannot_be_decoded_and_ends_its_threads(make_table):
    table = make_table(40)
    path = Path(table.sources[29].location)
    path.write_bytes(path.read_bytes()[:60])
    encoder = TinyEncoder()
    with pytest.raises(BadImageError, match=path.name):
        list(extract(encoder, table, batch_size=8))
    assert encoder.n_images == 24
    assert not decoders()


def test_a_picture_of_one_line_is_an_image_like_any(tmp_path):
    (tmp_path / "odd" / "ant").mkdir(parents=True)
    # Its shorter side scaled to 32 pixels, the longer would have two thousand million.
    Image.new("1", (60_000_000, 1)).save(tmp_path / "odd" / "ant" / "line.png")
    encoder = TinyEncoder(preprocess=Preprocess(size=(32, 32)))
    (batch,) = extract(encoder, ImageTable.open(tmp_path / "odd"))
    assert batch.rows.tolist() == [0]


def test_names_an_image_that_cannot_be_resized(make_table):
    class Refusing(Preprocess):
        def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
            raise MemoryError("no room for it")

    table = make_table(2)
    with pytest.raises(BadImageError, match="pixels cannot be resized") as caught:
        list(extract(TinyEncoder(preprocess=Refusing(size=(32, 32))), table))
    assert "no room for it" in str(caught.value)
    assert any(name in str(caught.value) for name in table.ids)


def test_names_an_image_whose_embedding_is_not_finite(make_table):
    table = make_table(10)

    class Broken(TinyEncoder):
        def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            vectors = super().encode_images(pixels)
            vectors[3, 5] = np.nan
            return vectors

    with pytest.raises(DataError, match="not finite") as caught:
        list(extract(Broken(), table))
    assert table.ids[3] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_an_encoder_that_loses_images(make_table):
    class Losing(TinyEncoder):
        def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().encode_images(pixels)[:1]

    with pytest.raises(DataError, match="1 embeddings for 6 inputs"):
        list(extract(Losing(), make_table(6)))


def test_closing_stops_the_threads_and_what_waits(make_table):
    table = slow(make_table(400), 0.002)
    batches = extract(TinyEncoder(), table, batch_size=16, workers=2)
    next(batches)
    assert decoders()
    batches.close()
    assert not decoders()
    asked = SlowTable.asked
    time.sleep(0.05)
    assert SlowTable.asked == asked < 120


def test_never_decodes_more_than_two_batches_ahead(make_table):
    table = slow(make_table(200), 0.0)
    batches = extract(TinyEncoder(), table, batch_size=10, workers=2)
    for consumed in range(1, 6):
        next(batches)
        time.sleep(0.05)
        assert SlowTable.asked <= 10 * (consumed + 2) + 8  # which are read again, to be checked
    batches.close()


def test_tells_time_waiting_for_input_from_time_in_the_model(make_table):
    class SlowEncoder(TinyEncoder):
        def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            time.sleep(0.1)
            return super().encode_images(pixels)

    bound_by_model = list(extract(SlowEncoder(), make_table(32), batch_size=8))[1:]
    assert sum(b.model_seconds for b in bound_by_model) >= 0.3
    assert sum(b.input_seconds for b in bound_by_model) < 0.1
    table = slow(make_table(32), 0.02)
    bound_by_input = list(extract(TinyEncoder(), table, batch_size=8, workers=1))
    assert sum(b.input_seconds for b in bound_by_input) >= 0.5
    assert sum(b.model_seconds for b in bound_by_input) < 0.1


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"workers": 0}])
def test_rejects_nonsense(make_table, option):
    with pytest.raises(InputError, match="at least 1"):
        list(extract(TinyEncoder(), make_table(2), **option))


def test_an_empty_table_gives_no_batch(make_table):
    table = make_table(2)
    assert list(extract(TinyEncoder(), table.select(np.arange(0)))) == []
    assert list(extract(TinyEncoder(), replace(table, sources=[]))) == []

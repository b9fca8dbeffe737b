"""A random sample is computed again and alone; rows that differ stop the run and are not kept."""

from __future__ import annotations

import numpy as np
import pytest

from cliptune.errors import EngineError
from cliptune.features import FeatureStore, RowGuard, list_cache
from cliptune.features.extract import extract
from cliptune.features.guard import largest_difference, rounding_limit
from fakes import TinyEncoder


class Corrupting(TinyEncoder):
    """Gives other rows in the last eighth of a batch, as inputs that are lost too early do."""

    def encode_images(self, pixels):
        return self._spoilt(super().encode_images(pixels))

    def encode_tokens(self, pixels):
        return self._spoilt(super().encode_tokens(pixels))

    def encode_trunk(self, pixels):
        return self._spoilt(super().encode_trunk(pixels))

    def encode_texts(self, texts, *, truncate=False):
        return self._spoilt(super().encode_texts(texts, truncate=truncate))

    def _spoilt(self, rows):
        if len(rows) > 1:
            rows = rows.copy()
            rows[-max(1, len(rows) // 8) :] *= -1
        return rows


class WithoutPlainWay(Corrupting):
    """Has nothing but the methods of every encoder."""

    encode_alone = None


@pytest.mark.parametrize("kind", ["pooled", "tokens", "trunk"])
@pytest.mark.parametrize("encoder", [Corrupting(), WithoutPlainWay()])
def test_a_part_of_a_batch_that_is_wrong_stops_the_run(make_table, tmp_path, kind, encoder):
    table = make_table(200)
    store = FeatureStore(tmp_path / "cache")
    with pytest.raises(EngineError) as caught:
        store.features(encoder, table, tokens=kind == "tokens", trunk=kind == "trunk")
    said = str(caught.value)
    assert said.startswith("torch (fp32) gave another row for ")
    assert "\n" not in said
    with pytest.raises(EngineError):
        list(extract(encoder, table, tokens=kind == "tokens", trunk=kind == "trunk"))


def test_nothing_is_kept_of_a_batch_with_a_wrong_row_and_all_of_those_before(make_table, tmp_path):
    class LaterWrong(TinyEncoder):
        def encode_images(self, pixels):
            rows = super().encode_images(pixels)
            return rows if len(self.batch_sizes) <= 2 else np.roll(rows, 1, axis=0)

    table, rng = make_table(256), np.random.default_rng(0)
    store = FeatureStore(tmp_path / "cache", workers=1)
    store.guard = RowGuard(rng)
    encoder = LaterWrong()
    with pytest.raises(EngineError):
        store.features(encoder, table)
    (entry,) = list_cache(tmp_path / "cache")
    batches_done = len(encoder.batch_sizes) - 1
    assert 2 <= batches_done < 4
    assert entry.n_vectors == 64 * batches_done


def test_a_wrong_text_stops_the_run_and_no_text_is_kept(tmp_path):
    texts = [f"a photo of thing {i}" for i in range(40)]
    with pytest.raises(EngineError, match="a photo of thing"):
        FeatureStore(tmp_path / "cache").text_features(Corrupting(), texts)
    assert sum(entry.n_vectors for entry in list_cache(tmp_path / "cache")) == 0


def test_a_picture_that_was_mixed_up_on_its_way_to_the_encoder_is_noticed(make_table, tmp_path):
    """The sample is read again: what was wrong before the encoder is seen too."""

    class Swapping(TinyEncoder):
        def encode_images(self, pixels):
            return super().encode_images(pixels[::-1])

    with pytest.raises(EngineError):
        FeatureStore(tmp_path / "cache").features(Swapping(), make_table(100))


@pytest.mark.parametrize("n", [1, 5, 8, 9, 64, 150, 4100])
@pytest.mark.parametrize("batch_size", [1, 16, 64])
def test_one_in_five_hundred_and_at_least_eight_in_all_parts_of_a_batch(n, batch_size):
    chosen = RowGuard().choose(TinyEncoder(), "images", n, batch_size)
    assert chosen.sum() == min(n, max(8, -(-n // 500)))
    if n >= 64 and batch_size >= 8:
        places = np.flatnonzero(chosen) % batch_size
        lengths = np.minimum(batch_size, n - np.flatnonzero(chosen) // batch_size * batch_size)
        assert set(places * 8 // lengths) == set(range(8))


def test_the_eight_are_of_a_run_and_later_passes_take_their_share():
    guard, encoder, counts = RowGuard(), TinyEncoder(), []
    for n in (3, 4, 100, 1000):
        texts = ["a bee"] * int(guard.choose(encoder, "texts", n, 64).sum())
        guard.check(encoder, "texts", texts, encoder.encode_texts(texts), texts)
        counts.append(len(texts))
    assert counts == [3, 4, 1, 2]
    # what was chosen by a pass that broke off was not checked
    assert guard.choose(encoder, "images", 100, 64).sum() == 8
    assert guard.choose(TinyEncoder(), "images", 100, 64).sum() == 8
    assert guard.choose(TinyEncoder(seed=1), "texts", 100, 64).sum() == 8


def test_what_was_checked_is_counted_and_what_was_in_the_cache_is_not(make_table, tmp_path):
    table, encoder = make_table(150), TinyEncoder()
    store = FeatureStore(tmp_path / "cache")
    store.features(encoder, table)
    assert store.guard.checked.n == 8
    store.text_features(encoder, ["an ant", "a bee"])
    found = store.guard.checked.to_dict()
    assert found["n"] == 10
    assert 0 <= found["largest_difference"] < 1e-5
    again = FeatureStore(tmp_path / "cache")
    again.features(encoder, table)
    assert again.guard.checked.to_dict() == {"n": 0, "largest_difference": None}


def test_differences_are_those_of_the_farthest_vector():
    rows = np.eye(4, dtype=np.float32)
    assert largest_difference(rows, rows).tolist() == [0, 0, 0, 0]
    assert largest_difference(rows, rows[::-1]) == pytest.approx(np.sqrt(2))
    tokens = np.ones((2, 3, 4), np.float32) * 5
    moved = tokens.copy()
    moved[1, 2, 0] += 1
    assert largest_difference(moved, tokens) == pytest.approx([0, 0.1])
    assert np.isinf(largest_difference(rows * np.nan, rows)).all()
    assert np.isinf(largest_difference(rows[:, :2], rows)).all()
    assert rounding_limit("fp32") < rounding_limit("fp32", "cuda") < rounding_limit("bf16")

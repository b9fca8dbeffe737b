"""Batches cover the epoch, are balanced on demand, and load in order."""

import threading

import numpy as np
import pytest

from cliptune.errors import BadImageError, InputError
from cliptune.finetuning.batches import epoch_batches, iterate_pixels, resolve_batch_size, shard

LABELS = np.asarray([0] * 50 + [1] * 10 + [2] * 5)


def test_an_epoch_shows_every_image_once_in_batches_of_nearly_equal_size():
    batches = epoch_batches(LABELS, batch_size=16, balance=False, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(65))
    assert [len(batch) for batch in batches] == [13] * 5


def test_order_follows_from_seed_and_epoch():
    def order(seed, epoch):
        batches = epoch_batches(LABELS, batch_size=16, balance=False, seed=seed, epoch=epoch)
        return np.concatenate(batches).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_balanced_batches_hold_every_class_equally_often():
    batches = epoch_batches(LABELS, batch_size=13, balance=True, seed=0, epoch=0)
    for batch in batches:
        counts = np.bincount(LABELS[batch], minlength=3)
        assert counts.max() - counts.min() <= 2
    counts = np.bincount(LABELS[np.concatenate(batches)])
    assert counts.tolist() in ([22, 22, 21], [22, 21, 22], [21, 22, 22])
    seen = np.concatenate(batches)
    repeats = np.bincount(seen, minlength=65)
    assert repeats[60:].min() >= 4  # the rarest class deals every image before it repeats one
    assert repeats[:50].max() == 1


def test_default_batch_is_64_or_all_images():
    assert resolve_batch_size(None, 1000, contrastive=True) == 64
    assert resolve_batch_size(None, 40, contrastive=True) == 40


def test_refuses_a_batch_larger_than_the_data():
    with pytest.raises(InputError, match="batch of 64 is larger than the 40 training images"):
        resolve_batch_size(64, 40, contrastive=True)


@pytest.mark.parametrize("asked", [1, None])
def test_refuses_one_image_a_step_with_a_contrastive_loss(asked):
    with pytest.raises(InputError, match="without negatives"):
        resolve_batch_size(asked, 1, contrastive=True)
    assert resolve_batch_size(asked, 1, contrastive=False) == 1


def test_shards_cover_everything_in_order():
    parts = [shard(10, rank, 3) for rank in range(3)]
    assert [sizes for _, sizes in parts] == [[4, 3, 3]] * 3
    assert np.concatenate([np.arange(10)[part] for part, _ in parts]).tolist() == list(range(10))


def test_pixels_come_in_order_and_in_the_background():
    seen = set()

    def load(row):
        seen.add(threading.current_thread().name)
        return np.full((3, 2, 2), row, dtype=np.uint8)

    batches = [[0, 1, 2], [3], [4, 5]]
    loaded = list(iterate_pixels(batches, load, n_threads=3))
    assert [batch[:, 0, 0, 0].tolist() for batch in loaded] == batches
    assert all(name.startswith("images") for name in seen)


def test_an_unreadable_image_stops_the_epoch_with_its_own_error():
    def load(row):
        if row == 3:
            raise BadImageError("3.png is cut off")
        return np.zeros((3, 2, 2), dtype=np.uint8)

    with pytest.raises(BadImageError, match=r"3\.png"):
        list(iterate_pixels([[0, 1], [2, 3]], load, n_threads=2))

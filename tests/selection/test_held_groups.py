"""Groups of images are left out together when methods are compared."""

from dataclasses import replace

import numpy as np
from pools import make_pool

from cliptune.choosing import choose_methods
from cliptune.classifiers.head_data import HeadData


def make_task(groups=None):
    pool = make_pool(20)
    n = len(pool.labels)
    return HeadData(
        vectors=pool.vectors,
        tokens=None,
        labels=pool.labels,
        class_names=("a", "b", "c"),
        text_rows=pool.text_rows,
        logit_scale=pool.logit_scale,
        train=np.arange(n),
        val=np.zeros(0, np.int64),
        groups=groups,
    )


def test_copies_of_one_object_do_not_tell_each_other_s_class():
    """Every object of a class is photographed five times from nearly the same place."""
    task = make_task()
    rng = np.random.default_rng(0)
    objects = np.repeat(np.arange(12), 5)
    centres = rng.normal(size=(12, task.vectors.shape[1]))
    rows = centres[objects] + 0.5 * rng.normal(size=(60, task.vectors.shape[1]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = objects % 3  # which object has which class is pure chance
    task = replace(task, vectors=rows.astype(np.float32), labels=labels)
    alone = choose_methods(task, ["knn"], options={})
    names = np.array([f"object {i}" for i in objects])
    together = choose_methods(replace(task, groups=names), ["knn"], options={})
    assert alone.judged["knn"].accuracy > 0.8
    assert together.judged["knn"].accuracy < 0.6
    assert any("near-duplicates and groups" in note for note in together.notes)

"""Classifiers of a study are compared on images that neither of them has learned from."""

from types import SimpleNamespace

import numpy as np
import pytest

from cliptune.studies.candidates import Candidate, HeldOut, held_out_hits, on_shared
from cliptune.studies.sections import recipe_and_attention, ship

ANY = {"value": 0.5, "low": 0.2, "high": 0.8}


def test_images_that_a_head_did_not_answer_for_are_not_held_against_it(tmp_path):
    HeldOut(np.array([1, 4, 6]), np.array([1.0, 0.5, 0.0])).save(tmp_path / "answers.json")
    head = Candidate("lite", "blend", "run", "", ANY, 1, 0.0, 8, 3, held_out="answers.json")
    subject = SimpleNamespace(table=range(8), partition=SimpleNamespace(val=np.array([4, 5, 6])))
    hits = held_out_hits(subject, head, folder=tmp_path, progress=print)
    nan = np.nan
    np.testing.assert_array_equal(hits, [nan, 1, nan, nan, 0.5, nan, 0, nan])

    trained = np.array([nan, nan, nan, nan, 0, 1, 1, nan])
    both = on_shared(hits, trained)
    assert [one.tolist() for one in both] == [[True, False], [False, True]]


def held_by(method, accuracy):
    shown = {"value": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1}
    return Candidate("lite", method, "run", "", shown, 1, 0.0, 8, 3, held_out=f"{method}.json")


@pytest.mark.parametrize("shared", [[], [4, 5]])
def test_a_best_head_without_an_answer_on_validation_gives_way(tmp_path, monkeypatch, shared):
    nan, val = np.nan, np.array([4, 5, 6])
    for method, rows in (("blend", [0, 1]), ("linear", shared)):
        hits = np.ones(len(rows))
        HeldOut(np.array(rows, dtype=np.int64), hits).save(tmp_path / f"{method}.json")
    candidates = [held_by("linear", 0.7), held_by("blend", 0.9)]
    monkeypatch.setattr(recipe_and_attention, "read_candidates", lambda done: candidates)
    subject = SimpleNamespace(table=range(8), partition=SimpleNamespace(val=val))
    folder = tmp_path / "sections" / "attention"
    context = SimpleNamespace(done={}, folder=folder, progress=print)
    zero_shot = np.array([nan, nan, nan, nan, 0, 1, 1, nan])
    view = SimpleNamespace(name="lite")
    method, hits = recipe_and_attention._best_simple(subject, view, context, zero_shot)
    assert method == ("linear" if shared else "zero-shot")
    np.testing.assert_array_equal(np.flatnonzero(~np.isnan(hits)), shared or [4, 5, 6])


def test_what_shares_no_image_with_a_head_is_no_better_guess():
    nan = np.nan
    head, trained = np.array([0.0, 0.0, nan, nan]), np.array([nan, nan, 1.0, 1.0])
    assert not ship._is_better_guess(head, trained)
    assert ship._is_better_guess(np.zeros(40), np.ones(40))

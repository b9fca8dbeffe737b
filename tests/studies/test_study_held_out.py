"""Classifiers of a study are compared on images that neither of them has learned from."""

from types import SimpleNamespace

import numpy as np

from cliptune.studies.candidates import Candidate, HeldOut, held_out_hits, on_shared

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

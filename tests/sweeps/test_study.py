"""A study that several workers share: claims, restarts, and what is refused."""

import dataclasses

import numpy as np
import pytest

from cliptune.errors import InputError, RunError, UnavailableError
from cliptune.features import DataIdentity
from cliptune.sweeps.records import Trial, TrialConfig
from cliptune.sweeps.store import StudyStore

IDENTITY = {"epochs": 5}
IMAGES = DataIdentity(("a.png", "b.png"), ("00", "01"), ("a", "b"), ("train", "val"))


def open_study(url, name="s", identity=IDENTITY, images=IMAGES):
    return StudyStore.open(url, name, identity, images=images)


def make_cell(lr, seed=0):
    return TrialConfig({"lr": lr}, seed, 8, 16, 10)


def make_trial(cell):
    hits = np.array([True, False, True])
    return Trial(cell, float(hits.mean()), 0.5, False, 0.1, (1.0, 0.5), hits)


CELLS = [make_cell(lr) for lr in (0.01, 0.1, 1.0)]


def pick(finished, running, suggest):
    return CELLS


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'study.sqlite3'}"


def test_two_workers_never_hold_the_same_cell(url):
    with (
        open_study(url) as first,
        open_study(url) as second,
    ):
        claims, busy = first.claim(lambda *_: CELLS[:2])
        assert [c.cell for c in claims] == CELLS[:2]
        assert not busy
        others, busy = second.claim(pick)
        assert [c.cell for c in others] == CELLS[2:]
        assert busy
        for store, own in ((first, claims), (second, others)):
            for claim in own:
                store.finish(claim, make_trial(claim.cell))
        assert second.claim(pick) == ([], False)
        assert sorted(t.cell.rates["lr"] for t in first.trials()) == [0.01, 0.1, 1.0]


def test_what_a_worker_leaves_unfinished_is_free_again(url):
    with open_study(url) as store:
        claims, _ = store.claim(pick)
        store.finish(claims[0], make_trial(claims[0].cell))
    with open_study(url) as store:
        claims, busy = store.claim(pick)
        assert [c.cell for c in claims] == CELLS[1:]
        assert not busy


def test_a_study_keeps_what_the_first_worker_decided(url):
    with open_study(url) as store:
        assert store.recall("plan", lambda: {"rungs": 3}) == {"rungs": 3}
    with open_study(url) as store:
        assert store.recall("plan", lambda: {"rungs": 9}) == {"rungs": 3}


def test_a_study_of_other_data_or_options_is_refused(url):
    other = dataclasses.replace(IMAGES, ids=("a.png", "c.png"))
    with open_study(url):
        pass
    with (
        pytest.raises(RunError, match=r"other data: 1 removed \('b.png'\), 1 added \('c.png'\)"),
        open_study(url, images=other),
    ):
        pass
    with (
        pytest.raises(RunError, match=r"epochs: 5, here 9"),
        open_study(url, identity={"epochs": 9}),
    ):
        pass
    with open_study(url, "other", images=other) as store:
        assert store.trials() == []


def test_a_study_that_does_not_say_which_images_is_refused(url):
    """As versions before kept them: with a digest of what could not be named."""
    import optuna

    study = optuna.create_study(storage=url, study_name="s", direction="maximize")
    study.set_user_attr("identity", {"data": "abc", **IDENTITY})
    with (
        pytest.raises(RunError, match="study 's' has no readable record of the images") as caught,
        open_study(url),
    ):
        pass
    assert "--study" in str(caught.value)


@pytest.mark.parametrize("address", ["studies", "mysql://host/db", "sqlite://"])
def test_an_address_of_another_kind_is_refused(address):
    with (
        pytest.raises(InputError, match="no address of a study"),
        open_study(address),
    ):
        pass


def test_a_server_that_does_not_answer_is_one_line_without_the_password():
    address = "postgresql://me:secret@127.0.0.1:9/db"
    with (
        pytest.raises(UnavailableError, match="cannot reach the storage") as caught,
        open_study(address),
    ):
        pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UnavailableError, match="cannot keep a study"),
        open_study(f"sqlite:///{tmp_path / 'file' / 's.sqlite3'}"),
    ):
        pass
    (tmp_path / "text.sqlite3").write_text("this is no database, but long enough to look at")
    with (
        pytest.raises(UnavailableError, match="cannot reach the storage"),
        open_study(f"sqlite:///{tmp_path / 'text.sqlite3'}"),
    ):
        pass


def test_the_sampler_stays_in_its_range_and_follows_what_is_good(url):
    seen = []

    def ask(finished, running, suggest):
        rates = suggest({"lr": (1e-4, 1.0)})
        return [TrialConfig(rates, 0, 8, 16, 10)]

    with open_study(url) as store:
        for _ in range(40):
            (claim,), _ = store.claim(ask)
            lr = claim.cell.rates["lr"]
            seen.append(lr)
            hits = np.arange(1000) < 1000 / (1 + np.log10(lr / 0.03) ** 2)
            trial = Trial(claim.cell, float(hits.mean()), 0.5, False, 0.1, (1.0,), hits)
            store.finish(claim, trial)
        assert len(store.trials()) == 40
    assert all(1e-4 <= lr <= 1.0 for lr in seen)
    late = np.abs(np.log10(np.array(seen[20:]) / 0.03))
    early = np.abs(np.log10(np.array(seen[:12]) / 0.03))
    assert np.median(late) < np.median(early)

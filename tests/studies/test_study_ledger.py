"""What a study keeps of its decisions, and where its sections keep what is unfinished."""

import json

from cliptune.studies import StudyOptions
from cliptune.studies.ledger import Ledger
from cliptune.studies.section_run import claim_scratch
from cliptune.studies.speed import Speed, TrainingSpeed
from cliptune.studies.step import Step

OPTIONS = StudyOptions(data="made up", budget_seconds=60)


def filled(cache):
    ledger = Ledger.open(cache, "key", OPTIONS)
    ledger.speeds = {"lite": Speed(images=90.0, texts=300.0)}
    ledger.training = {"lite": TrainingSpeed(step=0.1, image=0.2, forward=0.3)}
    ledger.steps = [
        Step("data", 4.0, {}),
        Step("fine-tuning", 9.0, {"models": {"lite": {"epochs": 3}}}),
        Step("beyond", 0.0, {}, "no time", waits=True),
    ]
    ledger.took["data"] = 3.5
    ledger.save(elapsed=12.0)
    return ledger


def test_decisions_are_read_again_with_the_time_that_was_spent(tmp_path):
    before = filled(tmp_path)
    after = Ledger.open(tmp_path, "key", OPTIONS)
    assert after.spent == 12.0
    for name in ("speeds", "training", "steps", "took", "path"):
        assert getattr(after, name) == getattr(before, name), name


def test_another_study_or_budget_decides_for_itself(tmp_path):
    filled(tmp_path)
    assert Ledger.open(tmp_path, "other", OPTIONS).steps == []
    other = StudyOptions(data="made up", budget_seconds=61)
    assert Ledger.open(tmp_path, "key", other).speeds is None


def test_what_a_version_before_decided_is_decided_again(tmp_path):
    ledger = filled(tmp_path)
    for content in (json.dumps({"steps": [], "speeds": {}}), "[]", "{", ""):
        ledger.path.write_text(content)
        assert Ledger.open(tmp_path, "key", OPTIONS) == Ledger(ledger.path)


def test_what_was_begun_with_other_settings_is_not_gone_on_with(tmp_path):
    first, begins_anew = claim_scratch(tmp_path, "fine-tuning", "a" * 32)
    assert not begins_anew
    (first / "lite-full").mkdir(parents=True)
    other, _ = claim_scratch(tmp_path, "rates", "c" * 32)
    other.mkdir()
    assert claim_scratch(tmp_path, "fine-tuning", "a" * 32) == (first, False)
    second, begins_anew = claim_scratch(tmp_path, "fine-tuning", "b" * 32)
    assert begins_anew
    assert second != first
    assert not first.exists()
    assert other.exists()

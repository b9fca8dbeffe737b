"""What fits into a budget, and what is said of what does not."""

import dataclasses
import re

import numpy as np
import pytest

from cliptune.errors import InputError, UnknownNameError
from cliptune.features import FeatureStore
from cliptune.images import ImageTable
from cliptune.images.sources import FileSource
from cliptune.studies import SECTION_NAMES, StudyOptions, choose_sections
from cliptune.studies.ledger import Ledger
from cliptune.studies.plan import Clock, Planner, require_budget
from cliptune.studies.schedule import Postponed, Schedule
from cliptune.studies.speed import Speed, TrainingSpeed
from cliptune.studies.study_data import EncodedData, StudyData
from cliptune.studies.training_budget import Sizes, Training, fit_training

SPEED = TrainingSpeed(step=0.1, image=0.05, forward=0.01)
SIZES = Sizes(n_train=1000, n_val=250, n_test=200, n_classes=10, speed=SPEED)


def test_training_takes_all_images_and_ten_epochs_when_there_is_time():
    found = fit_training(SIZES, 1e6)
    assert isinstance(found, Training)
    expected = {"epochs": 10, "train_images": 1000, "val_images": 250, "mixtures": True}
    assert found.settings == expected


def test_with_less_time_there_is_less_of_it_epochs_first():
    allowances = [800, 600, 400, 300, 200, 120, 80, 60, 40, 30, 20]
    found = [fit_training(SIZES, allowance) for allowance in allowances]
    assert all(isinstance(one, Training) for one in found)
    for one, allowance in zip(found, allowances, strict=True):
        assert one.seconds <= allowance
        assert one.train_images == 1000 or one.epochs <= 3
        assert one.val_images >= 48
        assert one.epochs >= 3 or not one.mixtures
    for name in ("epochs", "mixtures", "seconds"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values, reverse=True), name
    assert found[-1].settings["mixtures"] is False


def test_choosing_takes_no_more_than_its_share_of_a_short_training():
    """With all 250 images to choose by, nothing would be left to learn in."""
    found = fit_training(SIZES, 60)
    assert SIZES.seconds(3, SIZES.fewest_images, SIZES.n_val) > 0.8 * 60
    assert SIZES.validation_seconds(3, found.val_images) <= 0.4 * 60
    assert found.train_images > SIZES.fewest_images
    assert found.mixtures


def test_the_most_images_that_fit_are_found():
    found = fit_training(SIZES, 120)
    n_val = found.val_images
    more = SIZES.seconds(3, found.train_images + 1, n_val)
    assert SIZES.seconds(3, found.train_images, n_val) <= 120 < more


def test_too_little_time_is_said_with_the_least():
    least = SIZES.seconds(1, 32, 48, mixtures=False)
    assert isinstance(fit_training(SIZES, least), Training)
    reason = fit_training(SIZES, least - 1)
    assert isinstance(reason, str)
    assert "at least" in reason


def test_a_budget_below_embedding_names_the_least_that_works():
    speeds = {"lite": Speed(images=100, texts=500)}
    with pytest.raises(InputError, match=r"the least is --budget (\d+)(s|m)") as caught:
        require_budget(10_000, speeds, 30)
    least = caught.value.args[0].rsplit(" ", 1)[1]
    seconds = float(least[:-1]) * {"s": 1, "m": 60}[least[-1]]
    require_budget(10_000, speeds, seconds)
    with pytest.raises(InputError):
        require_budget(10_000, {**speeds, "other": speeds["lite"]}, seconds)


def test_sections_come_in_the_order_of_the_report_with_what_they_need():
    assert choose_sections() == SECTION_NAMES
    assert choose_sections("ship,data") == ("data", "zero-shot", "ship")
    assert choose_sections("map-after") == ("fine-tuning", "map-after")
    assert "heads" not in choose_sections("", "heads")
    with pytest.raises(UnknownNameError, match="zero-shot"):
        choose_sections("zeroshot")


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """2,000 images of 3 classes as the planner sees them: rows, labels, splits."""
    n, rng = 2000, np.random.default_rng(0)
    vectors = rng.normal(size=(n, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = ImageTable(
        sources=[FileSource(f"{k}.png", f"/nowhere/{k}.png") for k in range(n)],
        labels=np.arange(n) % 3,
        splits=np.where(np.arange(n) < 400, "test", "train"),
        class_names=("a", "b", "c"),
        root="made up",
    )
    view = EncodedData("lite", None, FeatureStore(tmp_path_factory.mktemp("s")), table, vectors)
    return StudyData("made up", table, (), 0, (view,), val_fraction=0.2, seed=0)


class Machine:
    """A study's sections on a machine of some speed, without doing them."""

    def __init__(self, subject, path, *, budget, pace, speed, prepared=40.0):
        self.now, self.pace, self.took = prepared, pace, {}
        self.options = StudyOptions(data="made up", budget_seconds=budget)
        self.planner = Planner(
            subject, self.options, {"lite": Speed(images=100, texts=300)}, {"lite": speed}
        )
        self.ledger = Ledger.open(path, "key", self.options)
        self.steps, self.waited = [], []

    def schedule(self):
        return Schedule(
            self.options.sections,
            self.planner,
            self.ledger,
            budget_seconds=self.options.budget_seconds,
            elapsed=lambda: self.now,
        )

    def run(self, stop_before=None):
        schedule = self.schedule()
        while (step := schedule.next()) is not None:
            if isinstance(step, Postponed):
                self.waited.append(step.name)
                continue
            self.steps.append(step)
            if step.name == stop_before:
                return self
            if step.left_out is None:
                self.took[step.name] = seconds = self._seconds(step)
                self.now += seconds
                schedule.finished(step.name, seconds)
        return self

    def _seconds(self, step):
        """Return what a section takes here: its bare cost at this pace, training as planned."""
        base = self.planner.base_cost(step.name)
        if base is not None:
            return step.seconds if step.name == "ship" else self.pace * base
        return 0.9 * step.seconds

    @property
    def left_out(self):
        return {step.name: step.left_out for step in self.steps if step.left_out}


IDLE = TrainingSpeed(step=0.3, image=0.06, forward=0.02)


@pytest.mark.parametrize("pace", [0.4, 1.0, 1.8])
@pytest.mark.parametrize("slower", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("budget", [120, 240, 300, 600, 1800])
def test_a_budget_is_kept_and_used_before_anything_is_left_out(
    subject, tmp_path, budget, pace, slower
):
    machine = Machine(subject, tmp_path, budget=budget, pace=pace, speed=IDLE.slower(slower)).run()
    assert sorted(step.name for step in machine.steps) == sorted(SECTION_NAMES)
    assert machine.steps[-1].name == "ship"
    assert machine.now <= 1.02 * budget
    if machine.left_out and machine.now < 0.85 * budget:
        # Then not even the shortest training would have gone into what is left, nor its test.
        (sizes,) = machine.planner._sizes(Clock(0)).values()
        least = sizes.least_seconds + sizes.n_test * sizes.speed.forward
        assert least > 0.9 * (budget - machine.now) - 3
        assert set(machine.left_out) <= {"fine-tuning", "map-after", "beyond"}


def test_five_minutes_on_two_idle_cores_are_enough_for_training_and_its_map(subject, tmp_path):
    machine = Machine(subject, tmp_path, budget=300, pace=1.0, speed=IDLE).run()
    assert machine.left_out == {}
    assert 0.85 * 300 <= machine.now <= 300


def test_what_does_not_fit_at_first_waits_for_what_the_others_leave(subject, tmp_path):
    """Sections are quicker here than the constants say: there is time for training in the end."""
    slow = TrainingSpeed(step=0.5, image=0.2, forward=0.08)
    machine = Machine(subject, tmp_path, budget=190, pace=0.2, speed=slow).run()
    assert machine.waited[:1] == ["fine-tuning"]
    names = [step.name for step in machine.steps]
    assert names.index("fine-tuning") > names.index("map")
    assert "fine-tuning" not in machine.left_out
    assert names[-1] == "ship"


def test_what_is_left_out_says_what_it_needs_and_what_is_left(subject, tmp_path):
    slow = TrainingSpeed(step=0.5, image=0.2, forward=0.08)
    machine = Machine(subject, tmp_path, budget=130, pace=0.4, speed=slow).run()
    for name, least in (("fine-tuning", 70), ("beyond", 60)):
        found = re.fullmatch(
            r"the shortest training.* about ([\d.]+) (s|min) here, and ([\d.]+) s of the budget "
            "are left for it",
            machine.left_out[name],
        )
        assert found, machine.left_out
        needed = float(found[1]) * {"s": 1, "min": 60}[found[2]]
        assert needed > max(least, float(found[3]))


def test_a_short_training_has_a_map_of_fewer_images(subject, tmp_path):
    slow = TrainingSpeed(step=0.5, image=0.2, forward=0.08)
    drawn = []
    for budget in (210, 3600):
        machine = Machine(subject, tmp_path / str(budget), budget=budget, pace=0.2, speed=slow)
        (step,) = (step for step in machine.run().steps if step.name == "fine-tuning")
        assert step.left_out is None
        drawn.append(step.settings["map_images"])
    assert 100 <= drawn[0] <= 150
    assert drawn[1] == 500


def test_a_study_that_is_started_again_decides_as_before(subject, tmp_path):
    facts = {"budget": 400, "pace": 1.0, "speed": IDLE}
    whole = Machine(subject, tmp_path / "whole", **facts).run()
    cut = Machine(subject, tmp_path / "cut", **facts).run(stop_before="heads")
    spent = cut.now
    again = Machine(subject, tmp_path / "cut", prepared=5.0, **facts)
    assert again.ledger.spent == pytest.approx(spent)
    outlook = {step.name: step.seconds for step in again.schedule().outlook()}
    assert list(outlook) == list(SECTION_NAMES)
    assert outlook["fine-tuning"] == 0, "it is done"
    assert outlook["heads"] > 0
    again.run()
    assert again.steps[: len(cut.steps)] == cut.steps
    assert [s.name for s in again.steps] == [s.name for s in whole.steps]
    third = Machine(subject, tmp_path / "cut", prepared=5.0, **facts)
    third.planner = dataclasses.replace(third.planner, training={})
    assert third.run().steps == again.steps


def test_sections_that_take_longer_leave_less_to_those_after(subject, tmp_path):
    quick, slow = (
        Machine(subject, tmp_path / str(pace), budget=400, pace=pace, speed=IDLE).run()
        for pace in (1.0, 1.6)
    )

    def training(machine):
        steps = {step.name: step for step in machine.steps}
        moving = sum(steps["rates"].settings["moving_seconds"].values())
        return steps["fine-tuning"].seconds + steps["beyond"].seconds + moving

    assert training(slow) < training(quick)


def test_a_sweep_of_moving_weights_takes_no_time_that_training_needs(subject, tmp_path):
    short, long = (
        Machine(subject, tmp_path / str(budget), budget=budget, pace=0.6, speed=IDLE).run()
        for budget in (240, 1200)
    )
    steps = [{step.name: step for step in machine.steps} for machine in (short, long)]
    assert [bool(one["rates"].settings["moving_seconds"]) for one in steps] == [False, True]
    assert "no time" in steps[0]["rates"].settings["not_moving"]
    assert steps[0]["fine-tuning"].settings["models"]["lite"]["epochs"] == 3
    assert short.left_out == {}


def test_a_section_that_takes_all_the_time_leaves_out_others_but_not_the_last(subject, tmp_path):
    machine = Machine(subject, tmp_path, budget=240, pace=1.0, speed=IDLE)
    seconds = machine._seconds
    machine._seconds = lambda step: 300 if step.name == "rates" else seconds(step)
    machine.run()
    assert {"map", "beyond"} <= set(machine.left_out)
    assert machine.steps[-1].name == "ship"
    assert machine.steps[-1].left_out is None


def test_the_sweep_of_added_layers_stops_before_it_takes_the_time_of_others(subject, tmp_path):
    for budget in (120, 240, 1800):
        machine = Machine(subject, tmp_path, budget=budget, pace=1.0, speed=IDLE)
        steps = machine.planner.plan(SECTION_NAMES, Clock(budget - 40))
        bound = steps["rates"].settings["seconds"]
        others = sum(steps[name].seconds for name in ("data", "zero-shot", "heads", "map", "ship"))
        assert 10 <= bound <= max(30, round(2 * steps["rates"].seconds))
        assert bound <= budget - 40 - others


def test_what_cannot_be_trained_does_not_wait(subject, tmp_path):
    machine = Machine(subject, tmp_path, budget=600, pace=1.0, speed=IDLE)
    machine.planner = dataclasses.replace(machine.planner, training={}, problem="it is no model")
    machine.run()
    assert machine.waited == []
    assert machine.left_out["fine-tuning"] == "it is no model"

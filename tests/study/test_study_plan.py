"""What fits into a budget, and what is said of what does not."""

import pytest

from cliptune.errors import InputError, UnknownNameError
from cliptune.study import SECTION_NAMES, choose_sections
from cliptune.study.allowance import Sizes, Training, fit_training
from cliptune.study.plan import require_budget
from cliptune.study.speed import Speed

SIZES = Sizes(n_train=1000, n_val=250, n_classes=10, step_seconds=0.05, forward_seconds=0.01)


def test_training_takes_all_images_and_ten_epochs_when_there_is_time():
    found = fit_training(SIZES, 1e6)
    assert isinstance(found, Training)
    assert found.settings == {"epochs": 10, "train_images": 1000, "val_images": 250}


def test_with_less_time_there_are_fewer_epochs_then_fewer_images():
    allowances = [800, 600, 400, 300, 200, 120]
    found = [fit_training(SIZES, allowance) for allowance in allowances]
    assert all(isinstance(one, Training) for one in found)
    for one, allowance in zip(found, allowances, strict=True):
        assert one.seconds <= allowance
        assert one.train_images == 1000 or one.epochs == 3
    epochs = [one.epochs for one in found]
    assert epochs == sorted(epochs, reverse=True)
    assert found[-1].train_images < 1000


def test_the_most_images_that_fit_are_found():
    found = fit_training(SIZES, 120)
    assert SIZES.seconds(3, found.train_images) <= 120 < SIZES.seconds(3, found.train_images + 2)


def test_too_little_time_is_said_with_the_least():
    reason = fit_training(SIZES, 5)
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

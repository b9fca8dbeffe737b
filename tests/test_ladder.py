import numpy as np
import pytest

from cliptune.heads import HEADS
from cliptune.ladder import LADDER, recommend
from cliptune.metrics import Score

TEST = Score(0.91, 0.88, 0.93, 400, "Wilson")


def hits(n_right, n=200, shift=0):
    return np.roll(np.arange(n) < n_right, shift)


def test_the_ladder_has_every_head():
    assert set(LADDER) == set(HEADS)


def test_a_clearly_better_method_is_recommended():
    choice = recommend({"zero-shot": hits(100), "linear": hits(180), "attention": hits(181)})
    assert choice.method == "linear"
    assert choice.best == "attention"
    assert choice.as_good == ("attention",)
    sentence = choice.sentence(TEST)
    assert sentence.startswith("Use linear: +40.0 points")
    assert "no method is significantly better (attention: +0.5 points" in sentence
    assert "91.0 % on the locked test (95 % interval 88.0 to 93.0, n = 400)" in sentence


def test_zero_shot_wins_when_nothing_is_better():
    choice = recommend({"zero-shot": hits(190), "linear": hits(191), "knn": hits(150)})
    assert choice.method == "zero-shot"
    assert choice.sentence(TEST).startswith("Do not train: zero-shot is as good: linear is +0.5")


def test_zero_shot_wins_when_training_harms():
    choice = recommend({"zero-shot": hits(190), "linear": hits(120)})
    assert choice.best == "zero-shot"
    assert "no method is better" in choice.sentence(TEST)


def test_a_later_method_wins_only_when_the_earlier_ones_are_worse():
    choice = recommend({"zero-shot": hits(90), "linear": hits(120), "attention": hits(190)})
    assert choice.method == choice.best == "attention"
    assert "no simpler method is as good" in choice.sentence(TEST)


@pytest.mark.parametrize("name", ["linear", "discriminant"])
def test_equal_methods_give_the_simplest(name):
    choice = recommend({"zero-shot": hits(50), "attention": hits(180), name: hits(180)})
    assert choice.method == name

"""Mixtures of weights and the choice among them."""

import pytest
import torch

from cliptune.errors import CheckpointError
from cliptune.finetuning.merge import ALPHAS, choose_alpha, interpolate
from cliptune.finetuning.records import AlphaPoint, Scores

START = {"w": torch.tensor([0.1, 2.0]), "n": torch.tensor(3)}
END = {"w": torch.tensor([0.7, 4.0]), "n": torch.tensor(5)}


def point(alpha, accuracy, log_loss):
    return AlphaPoint(alpha, Scores(accuracy, log_loss, 10))


def test_the_ends_are_exactly_the_two_sets():
    assert torch.equal(interpolate(START, END, 0.0)["w"], START["w"])
    assert torch.equal(interpolate(START, END, 1.0)["w"], END["w"])
    assert (ALPHAS[0], ALPHAS[-1], len(ALPHAS)) == (0.0, 1.0, 11)


def test_the_middle_is_the_weighted_mean():
    torch.testing.assert_close(interpolate(START, END, 0.25)["w"], torch.tensor([0.25, 2.5]))


def test_refuses_weights_of_other_names_or_shapes():
    with pytest.raises(CheckpointError, match="'extra'"):
        interpolate(START, {**END, "extra": torch.zeros(1)}, 0.5)
    with pytest.raises(CheckpointError, match=r"'w'.*\(2,\) and \(3,\)"):
        interpolate(START, {**END, "w": torch.zeros(3)}, 0.5)


def test_accuracy_decides_then_log_loss_then_the_smaller_share():
    assert choose_alpha([point(0, 0.8, 0.1), point(1, 0.9, 0.9)]).alpha == 1
    assert choose_alpha([point(0, 0.9, 0.3), point(0.5, 0.9, 0.2), point(1, 0.9, 0.4)]).alpha == 0.5
    assert choose_alpha([point(0, 0.9, 0.2), point(0.5, 0.9, 0.2)]).alpha == 0

"""The losses agree with closed forms, with open_clip's and with plain loops."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from cliptune.finetuning.losses import (
    balanced_bias,
    class_aware_loss,
    clip_loss,
    loss_floor,
    prompt_cross_entropy,
    sigmoid_loss,
)


def rows(n, d=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=-1)


SCALE = torch.tensor(20.0, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 3])


def test_equal_cosines_give_log_n_in_the_contrastive_losses():
    same = rows(1).expand(8, -1)
    assert clip_loss(same, same, SCALE).item() == pytest.approx(math.log(8), abs=1e-12)
    assert class_aware_loss(same, same, LABELS, SCALE).item() == pytest.approx(math.log(8))


def test_equal_cosines_give_log_c_against_class_prompts():
    loss = prompt_cross_entropy(rows(8), rows(1).expand(4, -1), LABELS, SCALE)
    assert loss.item() == pytest.approx(math.log(4), abs=1e-12)


def test_clip_loss_agrees_with_open_clip():
    from open_clip.loss import ClipLoss

    images, texts = rows(8).requires_grad_(), rows(8, seed=1)
    ours = clip_loss(images, texts, SCALE)
    theirs = ClipLoss()(images, texts, SCALE)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-12)
    (ours_grad,) = torch.autograd.grad(ours, images)
    (theirs_grad,) = torch.autograd.grad(theirs, images)
    torch.testing.assert_close(ours_grad, theirs_grad)


def test_sigmoid_loss_agrees_with_open_clip_on_pairs():
    from open_clip.loss import SigLipLoss

    images, texts, bias = rows(8), rows(8, seed=1), torch.tensor(-5.0, dtype=torch.float64)
    ours = sigmoid_loss(images, texts, torch.arange(8), SCALE, bias)
    theirs = SigLipLoss()(images, texts, SCALE, bias)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-12)


def test_class_aware_loss_equals_a_plain_loop_over_the_published_equation():
    images, texts = rows(8), rows(8, seed=1)
    logits = (SCALE * images @ texts.T).tolist()
    total = 0.0
    for direction in (logits, [list(column) for column in zip(*logits, strict=True)]):
        for i, row in enumerate(direction):
            log_sum = math.log(sum(math.exp(value) for value in row))
            positives = [k for k in range(8) if LABELS[k] == LABELS[i]]
            total += sum(log_sum - row[k] for k in positives) / len(positives) / 16
    assert class_aware_loss(images, texts, LABELS, SCALE).item() == pytest.approx(total)


def test_class_aware_loss_without_repeated_classes_is_the_clip_loss():
    images, texts = rows(8), rows(8, seed=1)
    expected = clip_loss(images, texts, SCALE)
    torch.testing.assert_close(class_aware_loss(images, texts, torch.arange(8), SCALE), expected)


def test_with_one_prompt_a_class_the_diagonal_is_the_class_aware_loss():
    """Equal columns share their probability: only differing texts of a class are pushed apart."""
    images, prompts = rows(8), rows(8, seed=1)[LABELS]
    expected = class_aware_loss(images, prompts, LABELS, SCALE)
    torch.testing.assert_close(clip_loss(images, prompts, SCALE), expected)
    captions = normalize(prompts + 0.1 * rows(8, seed=2), dim=-1)
    apart = class_aware_loss(images, captions, LABELS, SCALE) - clip_loss(images, captions, SCALE)
    assert abs(apart.item()) > 1e-3


def test_perfect_features_reach_the_floor_while_the_diagonal_loss_cannot():
    """One direction a class: the class-aware gradient vanishes, the diagonal one sits above."""
    directions = torch.eye(4, dtype=torch.float64)
    images = directions[LABELS]
    scale = torch.tensor(100.0, dtype=torch.float64)
    loss = class_aware_loss(images, images, LABELS, scale)
    assert loss.item() == pytest.approx(loss_floor(LABELS), abs=1e-9)
    counts = torch.tensor([3, 2, 3, 1, 2, 3, 2, 2], dtype=torch.float64)
    assert loss_floor(LABELS) == pytest.approx(counts.log().mean().item())
    # No better features exist for the diagonal loss, yet images of one class still repel.
    apart = normalize(images + 0.01 * rows(8, d=4, seed=3), dim=-1)
    assert clip_loss(apart, apart, scale) < clip_loss(images, images, scale)


def test_sigmoid_loss_counts_equal_labels_as_positives():
    images, texts, bias = rows(8), rows(8, seed=1), torch.tensor(-5.0, dtype=torch.float64)
    total = 0.0
    for i in range(8):
        for j in range(8):
            z = 1.0 if LABELS[i] == LABELS[j] else -1.0
            logit = SCALE.item() * (images[i] @ texts[j]).item() + bias.item()
            total += math.log1p(math.exp(-z * logit)) / 8
    assert sigmoid_loss(images, texts, LABELS, SCALE, bias).item() == pytest.approx(total)


def test_balanced_bias_is_where_the_derivative_of_the_sigmoid_loss_vanishes():
    images, texts = rows(8), rows(8, seed=1)
    positive = LABELS[:, None] == LABELS[None, :]
    found = balanced_bias(images @ texts.T, positive, SCALE.item())
    bias = torch.tensor(found, dtype=torch.float64, requires_grad=True)
    sigmoid_loss(images, texts, LABELS, SCALE, bias).backward()
    assert abs(bias.grad.item()) < 1e-9


@pytest.mark.parametrize("loss", ["clip", "class-aware", "sigmoid", "cross-entropy"])
def test_gradients_match_finite_differences(loss):
    images, texts = rows(5, d=6).requires_grad_(), rows(5, d=6, seed=1).requires_grad_()
    labels, bias = LABELS[:5], torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    functions = {
        "clip": lambda i, t, s, b: clip_loss(i, t, s),
        "class-aware": lambda i, t, s, b: class_aware_loss(i, t, labels, s),
        "sigmoid": lambda i, t, s, b: sigmoid_loss(i, t, labels, s, b),
        "cross-entropy": lambda i, t, s, b: prompt_cross_entropy(i, t, labels, s),
    }
    assert torch.autograd.gradcheck(functions[loss], (images, texts, scale, bias))

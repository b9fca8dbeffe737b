"""A batch done in parts has the loss and the gradients of the whole batch."""

import pytest
import torch

from cliptune.finetuning.gradcache import Side, backward_in_parts
from cliptune.finetuning.losses import class_aware_loss
from cliptune.finetuning.towers import encode_images, encode_tokens
from tiny_training import HashTokenizer, make_model

LABELS = torch.tensor([0, 1, 2, 0, 1])


def gradients(n_images, n_texts, *, text_trains=True):
    model = make_model()
    torch.manual_seed(3)
    images, tokens = torch.randn(5, 3, 32, 32), HashTokenizer()(["red", "green", "dark blue"])
    for name, parameter in model.named_parameters():
        if not text_trains and not name.startswith(("visual", "logit_scale")):
            parameter.requires_grad_(False)
    sides = [
        Side(images.split(n_images), lambda part: encode_images(model, part), trains=True),
        Side(tokens.split(n_texts), lambda part: encode_tokens(model, part), trains=text_trains),
    ]
    loss = backward_in_parts(
        sides, lambda i, t: class_aware_loss(i, t[LABELS], LABELS, model.logit_scale.exp())
    )
    assert not loss.requires_grad
    return loss, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("n_images", "n_texts"), [(2, 3), (5, 1), (2, 2), (1, 1)])
def test_parts_give_the_gradients_of_the_whole(n_images, n_texts):
    whole_loss, whole = gradients(5, 3)
    loss, parts = gradients(n_images, n_texts)
    torch.testing.assert_close(loss, whole_loss)
    assert parts.keys() == whole.keys()
    for name, gradient in whole.items():
        # Of the tensor's norm: single elements round by more, depending on the machine.
        assert (parts[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-7, name


def test_a_frozen_side_gets_no_gradient():
    _, found = gradients(2, 1, text_trains=False)
    assert found
    assert all(name.startswith(("visual", "logit_scale")) for name in found)


def test_accumulating_separate_losses_would_not_be_the_same():
    """The reason for caching: parts that see only their own negatives have another loss."""
    whole_loss, _ = gradients(5, 3)
    model = make_model()
    torch.manual_seed(3)
    images, tokens = torch.randn(5, 3, 32, 32), HashTokenizer()(["red", "green", "dark blue"])
    texts, scale = encode_tokens(model, tokens), model.logit_scale.exp()
    losses = [
        class_aware_loss(
            encode_images(model, images[part]), texts[LABELS[part]], LABELS[part], scale
        )
        for part in (slice(0, 2), slice(2, 5))
    ]
    assert abs(whole_loss - sum(losses) / 2) > 0.1

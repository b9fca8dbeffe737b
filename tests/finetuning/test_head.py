"""The head that is fitted first starts from the texts and never does worse on validation."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from cliptune.finetuning.head import fit_head, zero_shot_head
from cliptune.finetuning.scoring import score_captions, score_logits

CENTRES = normalize(torch.eye(6)[:3] + 0.3, dim=-1)


def rows(n, seed, noise=0.35):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    return normalize(
        CENTRES[labels] + noise * torch.randn(n, 6, generator=generator), dim=-1
    ), labels


def test_the_zero_shot_head_classifies_as_the_texts_do():
    features, _ = rows(9, 0)
    torch.testing.assert_close(zero_shot_head(CENTRES, 20.0)(features), 20.0 * features @ CENTRES.T)


def test_the_fitted_head_is_at_least_as_good_on_validation():
    start = zero_shot_head(CENTRES, 5.0)
    train, val = rows(60, 0), rows(60, 1)
    fitted = fit_head(train, val, start)
    before = score_logits(start(val[0]).detach(), val[1])
    assert fitted.val.log_loss < before.log_loss
    assert fitted.val.accuracy >= before.accuracy
    assert fitted.train.n == 60


def test_one_image_a_class_keeps_a_good_zero_shot_head():
    start = zero_shot_head(CENTRES, 20.0)
    val = rows(300, 1)
    fitted = fit_head(rows(3, 5, noise=1.5), val, start)
    assert fitted.l2 is None
    assert fitted.layer is start
    assert fitted.val == score_logits(start(val[0]).detach(), val[1])


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import accuracy_score, log_loss

    features, labels = rows(40, 0)
    model = LogisticRegression().fit(features.numpy(), labels.numpy())
    logits = torch.from_numpy(model.decision_function(features.numpy()))
    scores = score_logits(logits, labels)
    assert scores.accuracy == accuracy_score(labels, model.predict(features.numpy()))
    assert scores.log_loss == pytest.approx(log_loss(labels, model.predict_proba(features.numpy())))


def test_an_image_is_found_by_any_caption_of_its_own():
    images, texts = torch.eye(3), torch.eye(3)[[1, 0, 0, 2]]
    own = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
    scores = score_captions(images, texts, own, 50.0)
    assert scores.accuracy == pytest.approx(2 / 3)  # the third image's nearest is another's
    assert scores.n == 3
    single = score_captions(torch.eye(3), torch.eye(3), torch.eye(3, dtype=torch.bool), 2.0)
    expected = -np.log(np.exp(2) / (np.exp(2) + 2))
    assert single.log_loss == pytest.approx(expected)

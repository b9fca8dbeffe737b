import numpy as np
import pytest
import torch
from head_rows import SCALE, as_tokens, make_clusters, unit

from cliptune.errors import InputError
from cliptune.heads import TrainingPlan
from cliptune.heads.attention import AttentionHead
from cliptune.heads.attention_stack import AttentionStack
from cliptune.heads.contract import check_fit
from cliptune.heads.linear import LinearHead
from cliptune.heads.options import Member
from cliptune.heads.training import train_one
from cliptune.heads.zero_shot import ZeroShotHead

CLUSTERS = make_clusters()
TEXTS = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}


def test_before_training_it_is_zero_shot_exactly():
    X = as_tokens(CLUSTERS.X)
    data = check_fit(X, CLUSTERS.y, **TEXTS, n_classes=None, validation=None, needs="tokens")
    head = AttentionHead()
    trained = train_one(head.make_stack(data), data, Member(1e-30), TrainingPlan(epochs=1))
    logits = head.adopt(trained, data).predict_logits(as_tokens(CLUSTERS.X_test))
    expected = ZeroShotHead().fit(**TEXTS).predict_logits(CLUSTERS.X_test)
    assert np.allclose(logits, expected, rtol=0, atol=2e-5)


def test_agrees_with_multi_head_attention_written_out():
    torch.manual_seed(0)
    stack = AttentionStack(CLUSTERS.text_rows, SCALE, n_heads=2, token_norm=2.0)
    parameters = {k: v + 0.3 * torch.randn_like(v) for k, v in stack.start(0).items()}
    X = torch.from_numpy(as_tokens(CLUSTERS.X[:5]))
    query, value, out, weight, bias = (
        parameters[k][0] for k in ("query", "value", "out", "weight", "bias")
    )
    expected = []
    for row in X:
        pooled, tokens = row[0], row[1:] / 2.0
        parts = []
        for head in range(2):
            shares = torch.softmax(tokens @ query[head], dim=0)
            parts.append(shares @ (tokens @ value[head].T))
        moved = pooled + out @ torch.cat(parts)
        moved = moved * pooled.norm() / moved.norm()
        expected.append(SCALE * (weight @ moved + bias))
    assert torch.allclose(stack.logits(parameters, X)[0], torch.stack(expected), atol=1e-4)


def test_finds_what_the_pooled_feature_does_not_hold():
    """The class stands in one token of six; pooled rows are noise."""
    rng = np.random.default_rng(0)
    marks = unit(rng.normal(size=(3, 16)))

    def draw(count):
        y = rng.integers(0, 3, count)
        tokens = rng.normal(size=(count, 6, 16)) / 4
        place = rng.integers(0, 6, count)
        tokens[np.arange(count), place] = 2 * marks[y]
        pooled = unit(rng.normal(size=(count, 16)))
        return np.concatenate([pooled[:, None], tokens], axis=1).astype(np.float32), y

    (X, y), (X_test, y_test) = draw(400), draw(200)
    plan = TrainingPlan(optimizer="adamw", epochs=15, batch_size=64)
    head = AttentionHead(n_heads=4, lr=5e-3, plan=plan).fit(X, y, n_classes=3)
    pooled = LinearHead().fit(X[:, 0].copy(), y)
    assert np.mean(head.predict_logits(X_test).argmax(axis=1) == y_test) > 0.9
    assert np.mean(pooled.predict_logits(X_test[:, 0].copy()).argmax(axis=1) == y_test) < 0.5


def test_refuses_more_attention_heads_than_dimensions():
    with pytest.raises(InputError, match="17 attention heads; expected 1 to 16"):
        AttentionHead(n_heads=17).fit(as_tokens(CLUSTERS.X), CLUSTERS.y, **TEXTS)


def test_refuses_rows_without_tokens():
    with pytest.raises(InputError, match="hold nothing"):
        AttentionHead().fit(CLUSTERS.X[:, None], CLUSTERS.y, **TEXTS)

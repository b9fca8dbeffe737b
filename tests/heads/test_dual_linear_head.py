import numpy as np
import pytest
from head_rows import SCALE, make_clusters

from cliptune.errors import InputError
from cliptune.heads import TrainingPlan
from cliptune.heads.contract import check_fit
from cliptune.heads.dual_linear import DualLinearHead
from cliptune.heads.options import Member
from cliptune.heads.training import train_one
from cliptune.heads.zero_shot import ZeroShotHead

CLUSTERS = make_clusters(noise=1.0, text_noise=1.5, seed=6)


@pytest.mark.parametrize("scale", [1.0, 20.0, 100.0])
@pytest.mark.parametrize("ratio", [1.0, 0.3])
def test_before_training_it_is_zero_shot_exactly(scale, ratio):
    texts = {"text_rows": CLUSTERS.text_rows, "logit_scale": scale}
    data = check_fit(CLUSTERS.X, CLUSTERS.y, **texts, n_classes=None, validation=None)
    head = DualLinearHead(residual_ratio=ratio)
    trained = train_one(head.make_stack(data), data, Member(1e-30), TrainingPlan(epochs=1))
    head.adopt(trained, data)
    zero_shot = ZeroShotHead().fit(**texts)
    assert np.allclose(
        head.predict_logits(CLUSTERS.X_test),
        zero_shot.predict_logits(CLUSTERS.X_test),
        rtol=0,
        atol=1e-6 * scale,
    )
    assert np.allclose(
        head.predict_proba(CLUSTERS.X_test),
        zero_shot.predict_proba(CLUSTERS.X_test),
        rtol=0,
        atol=1e-6,
    )


def test_training_beats_zero_shot_on_rows_it_has_not_seen():
    texts = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
    head = DualLinearHead().fit(CLUSTERS.X, CLUSTERS.y, **texts, validation=CLUSTERS.validation)
    zero_shot = ZeroShotHead().fit(**texts)
    right = [
        np.mean(one.predict_logits(CLUSTERS.X_test).argmax(axis=1) == CLUSTERS.y_test)
        for one in (head, zero_shot)
    ]
    assert right[0] > right[1] + 0.1


def test_each_side_keeps_the_length_of_its_rows():
    texts = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
    head = DualLinearHead().fit(CLUSTERS.X, CLUSTERS.y, **texts)
    images, moved = head.transform(CLUSTERS.X_test, "image"), head.transform(CLUSTERS.X, "text")
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    assert np.allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-6)
    logits = SCALE * images @ head.transform(CLUSTERS.text_rows, "text").T
    assert np.allclose(head.predict_logits(CLUSTERS.X_test), logits, atol=1e-4)


def test_a_random_start_differs_by_seed_and_begins_near_chance():
    texts = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
    plan = TrainingPlan(epochs=1)
    heads = [
        DualLinearHead(start="random", seed=seed, plan=plan).fit(CLUSTERS.X, CLUSTERS.y, **texts)
        for seed in (0, 1)
    ]
    identity = DualLinearHead(plan=plan).fit(CLUSTERS.X, CLUSTERS.y, **texts)
    assert heads[0].history_[0].train_loss != heads[1].history_[0].train_loss
    assert heads[0].history_[0].train_accuracy < identity.history_[0].train_accuracy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual_ratio": 0.0}, r"residual ratio is 0\.0"),
        ({"residual_ratio": 1.5}, r"residual ratio is 1\.5"),
        ({"start": "zeros"}, "start is 'zeros'"),
    ],
)
def test_refuses_options_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        DualLinearHead(**changes).fit(
            CLUSTERS.X, CLUSTERS.y, text_rows=CLUSTERS.text_rows, logit_scale=SCALE
        )

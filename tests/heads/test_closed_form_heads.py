import numpy as np
import pytest
from head_rows import SCALE, as_trunk, make_clusters, unit
from sklearn.covariance import empirical_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from cliptune.errors import InputError
from cliptune.heads import TrainingPlan
from cliptune.heads.cache import CacheHead
from cliptune.heads.choice import calibrated_log_loss
from cliptune.heads.discriminant import DiscriminantHead
from cliptune.heads.knn import NeighborsHead
from cliptune.heads.prototype import PrototypeHead

CLUSTERS = make_clusters(n_per_class=12, noise=0.8, seed=8)
TEXTS = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}


class TestDiscriminant:
    def test_agrees_with_linear_discriminant_analysis_of_the_same_shrinkage(self):
        n_rows, dim = CLUSTERS.X.shape
        theirs = LinearDiscriminantAnalysis(
            solver="lsqr",
            covariance_estimator=_Fixed(n_rows, dim),
            priors=[0.25] * 4,
        ).fit(CLUSTERS.X.astype(np.float64), CLUSTERS.y)
        ours = DiscriminantHead().fit(CLUSTERS.X, CLUSTERS.y)
        expected = theirs.predict_proba(CLUSTERS.X_test.astype(np.float64))
        assert np.allclose(ours.predict_proba(CLUSTERS.X_test), expected, atol=1e-3)

    def test_mixes_with_the_texts(self):
        gaussian = DiscriminantHead().fit(CLUSTERS.X, CLUSTERS.y)
        mixed = DiscriminantHead(mix=0.3).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        expected = SCALE * CLUSTERS.X_test @ CLUSTERS.text_rows.T
        expected += 0.3 * gaussian.predict_logits(CLUSTERS.X_test)
        assert np.allclose(mixed.predict_logits(CLUSTERS.X_test), expected, atol=1e-3)

    def test_validation_chooses_the_mix(self):
        chosen = DiscriminantHead().fit(
            CLUSTERS.X, CLUSTERS.y, **TEXTS, validation=CLUSTERS.validation
        )
        losses = {}
        for power in np.arange(-4, 2.5, 0.5):
            head = DiscriminantHead(mix=10.0**power).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
            logits = head.predict_logits(CLUSTERS.X_val)
            losses[10.0**power] = calibrated_log_loss(logits, CLUSTERS.y_val)
        assert losses[chosen.mix_] == pytest.approx(min(losses.values()), abs=1e-3)

    def test_over_trunk_rows_the_texts_see_only_the_embedding(self):
        X, X_test = as_trunk(CLUSTERS.X), as_trunk(CLUSTERS.X_test)
        gaussian = DiscriminantHead(features="trunk").fit(X, CLUSTERS.y)
        mixed = DiscriminantHead(0.3, "trunk").fit(X, CLUSTERS.y, **TEXTS)
        expected = SCALE * CLUSTERS.X_test @ CLUSTERS.text_rows.T
        expected += 0.3 * gaussian.predict_logits(X_test)
        assert np.allclose(mixed.predict_logits(X_test), expected, atol=1e-3)
        same = DiscriminantHead().fit(X, CLUSTERS.y)  # its Gaussians do not know what rows are
        assert np.allclose(gaussian.predict_logits(X_test), same.predict_logits(X_test), atol=1e-4)

    def test_one_row_a_class_is_the_nearest_mean(self):
        first = [np.flatnonzero(CLUSTERS.y == c)[0] for c in range(4)]
        head = DiscriminantHead().fit(CLUSTERS.X[first], CLUSTERS.y[first])
        nearest = (CLUSTERS.X_test @ CLUSTERS.X[first].T).argmax(axis=1)
        assert np.array_equal(head.predict_logits(CLUSTERS.X_test).argmax(axis=1), nearest)

    def test_refuses_a_mix_of_zero(self):
        with pytest.raises(InputError, match="mix is 0"):
            DiscriminantHead(mix=0.0).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)


class _Fixed:
    """The covariance estimate of arXiv:2402.04087 for one class of a pooled estimate."""

    def __init__(self, n_rows, dim):
        self.n_rows, self.dim = n_rows, dim

    def fit(self, X):
        # scikit-learn averages what this gives over the classes; the estimate is linear in it.
        within = empirical_covariance(X)
        spread = np.trace(within) * np.eye(self.dim)
        self.covariance_ = ((self.n_rows - 1) * within + spread) / (self.n_rows - 1 + self.dim)
        return self


class TestPrototype:
    def test_is_the_nearest_normalised_class_mean(self):
        head = PrototypeHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        means = NearestCentroid().fit(CLUSTERS.X, CLUSTERS.y).centroids_
        expected = SCALE * CLUSTERS.X_test @ unit(means).T
        assert np.allclose(head.predict_logits(CLUSTERS.X_test), expected, atol=1e-4)


class TestNeighbours:
    @pytest.mark.parametrize("k", [1, 7])
    def test_agrees_with_scikit_learn(self, k):
        def weigh(distances):
            return np.exp((distances[:, :1] - distances) / 0.07)

        theirs = KNeighborsClassifier(k, metric="cosine", weights=weigh)
        theirs.fit(CLUSTERS.X, CLUSTERS.y)
        ours = NeighborsHead(k=k).fit(CLUSTERS.X, CLUSTERS.y)
        votes = theirs.predict_proba(CLUSTERS.X_test)
        cosines = np.sort(CLUSTERS.X_test @ CLUSTERS.X.T, axis=1)[:, ::-1][:, :k]
        total = np.exp((cosines - cosines[:, :1]) / 0.07).sum(axis=1, keepdims=True)
        expected = (votes * total + 0.25) / (total + 1)
        assert np.allclose(ours.predict_proba(CLUSTERS.X_test), expected, atol=1e-3)

    def test_validation_chooses_k(self):
        head = NeighborsHead().fit(CLUSTERS.X, CLUSTERS.y, validation=CLUSTERS.validation)
        losses = {}
        for k in (1, 3, 5, 10, 20):
            other = NeighborsHead(k=k).fit(CLUSTERS.X, CLUSTERS.y)
            losses[k] = calibrated_log_loss(other.predict_logits(CLUSTERS.X_val), CLUSTERS.y_val)
        assert head.k_ == min(losses, key=losses.get)

    def test_without_validation_k_is_no_more_than_the_rows_of_a_class(self):
        assert NeighborsHead().fit(CLUSTERS.X, CLUSTERS.y).k_ == 12

    @pytest.mark.parametrize("k", [0, 49])
    def test_refuses_more_neighbours_than_rows(self, k):
        with pytest.raises(InputError, match=f"k is {k}; expected 1 to the 48"):
            NeighborsHead(k=k).fit(CLUSTERS.X, CLUSTERS.y)


class TestCache:
    def test_is_tip_adapter_for_a_balanced_cache(self):
        head = CacheHead(alpha=2.0, beta=3.0).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        closeness = np.exp(-3.0 * (1 - CLUSTERS.X_test @ CLUSTERS.X.T))
        one_hot = np.eye(4)[CLUSTERS.y]
        expected = SCALE * CLUSTERS.X_test @ CLUSTERS.text_rows.T + 2.0 * closeness @ one_hot
        assert np.allclose(head.predict_logits(CLUSTERS.X_test), expected, atol=1e-3)

    def test_a_large_cache_weighs_like_one_of_16_shots(self):
        repeated = np.repeat(CLUSTERS.X, 4, axis=0)
        large = CacheHead().fit(repeated, np.repeat(CLUSTERS.y, 4), **TEXTS)
        small = CacheHead(alpha=16 / 12).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        assert np.allclose(
            large.predict_logits(CLUSTERS.X_test),
            small.predict_logits(CLUSTERS.X_test),
            atol=1e-3,
        )

    def test_groups_average_their_rows(self):
        head = CacheHead(keys_per_class=1).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        means = np.stack([CLUSTERS.X[CLUSTERS.y == c].mean(axis=0) for c in range(4)])
        assert np.allclose(head.keys_, unit(means), atol=1e-6)
        assert CacheHead(keys_per_class=5).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS).keys_.shape == (
            20,
            16,
        )

    def test_validation_chooses_weights_no_worse_than_the_sources(self):
        usual = CacheHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        chosen = CacheHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS, validation=CLUSTERS.validation)
        losses = [
            calibrated_log_loss(head.predict_logits(CLUSTERS.X_val), CLUSTERS.y_val)
            for head in (chosen, usual)
        ]
        assert losses[0] <= losses[1]

    def test_training_the_keys_lowers_the_loss(self):
        plan = TrainingPlan(optimizer="adamw", epochs=20, batch_size=16)
        head = CacheHead(fine_tuned=True, lr=1e-2, plan=plan).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        assert head.history_[-1].train_loss < head.history_[0].train_loss
        assert head.n_parameters_ == 2 + 48 * 16
        free = CacheHead().fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)
        before = calibrated_log_loss(free.predict_logits(CLUSTERS.X), CLUSTERS.y)
        assert calibrated_log_loss(head.predict_logits(CLUSTERS.X), CLUSTERS.y) < before

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"alpha": 0.0}, "alpha is 0"),
            ({"beta": float("nan")}, "beta is nan"),
            ({"keys_per_class": 0}, "keys_per_class is 0"),
        ],
    )
    def test_refuses_options_that_make_no_sense(self, changes, message):
        with pytest.raises(InputError, match=message):
            CacheHead(**changes).fit(CLUSTERS.X, CLUSTERS.y, **TEXTS)


def test_calibrated_loss_does_not_depend_on_the_scale_of_the_logits():
    logits = SCALE * CLUSTERS.X_val @ CLUSTERS.text_rows.T
    losses = [calibrated_log_loss(factor * logits, CLUSTERS.y_val) for factor in (0.1, 1, 7)]
    assert losses == pytest.approx([losses[0]] * 3, rel=2e-3)

import json

import numpy as np
import pytest
from head_rows import SCALE, as_tokens, as_trunk, make_clusters
from safetensors.numpy import load, save
from sklearn.base import clone

from cliptune.errors import CheckpointError, DataError, InputError, UnknownNameError
from cliptune.heads import HEADS, Head

CLUSTERS = make_clusters()
# The same heads over other rows.
VARIANTS = {f"{name} trunk": name for name in ("linear", "discriminant", "blend")}
NAMES = (*HEADS, *VARIANTS)
LEARNING = tuple(name for name in NAMES if name != "zero-shot")
WITHOUT_TEXTS = (
    *("linear", "linear-sgd", "attention", "discriminant", "blend", "prototype", "knn"),
    *VARIANTS,
)
NEEDS_EVERY_CLASS = (
    *("discriminant", "discriminant trunk", "blend", "blend trunk", "prototype", "knn"),
)
WITHOUT_HISTORY = (*NEEDS_EVERY_CLASS, "cache")


def class_of(name):
    return HEADS[VARIANTS.get(name, name)]


def make(name):
    return class_of(name)(**({"features": "trunk"} if name in VARIANTS else {}))


def rows_for(name, rows):
    shapes = {"pooled": lambda same: same, "tokens": as_tokens, "trunk": as_trunk}
    return shapes[make(name).needs](rows)


def fit(name, data=CLUSTERS, *, texts=True, validation=True, **changes):
    arguments = {
        "text_rows": data.text_rows if texts else None,
        "logit_scale": SCALE if texts else None,
        "n_classes": None if texts else len(data.text_rows),
        "validation": (rows_for(name, data.X_val), data.y_val) if validation else None,
    }
    head = make(name)
    return head.fit(rows_for(name, data.X), data.y, **{**arguments, **changes})


def accuracy(head, name, data=CLUSTERS):
    predicted = head.predict_logits(rows_for(name, data.X_test)).argmax(axis=1)
    return np.mean(predicted == data.y_test)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_arguments_are_stored_verbatim_and_survive_a_clone(self, name):
        head = make(name)
        copy = clone(head)
        assert copy is not head
        assert copy.get_params(deep=False) == head.get_params(deep=False)
        assert all(not argument.endswith("_") for argument in head.get_params())
        assert not any(attribute.endswith("_") for attribute in vars(head))

    def test_parameters_are_plain_json_values(self, name):
        parameters = make(name).get_params()
        assert json.loads(json.dumps(parameters)) == parameters

    def test_fit_returns_the_head_and_changes_no_argument(self, name):
        head = make(name)
        before = head.get_params()
        X = rows_for(name, CLUSTERS.X)
        frozen = X.copy()
        fitted: Head = head.fit(X, CLUSTERS.y, text_rows=CLUSTERS.text_rows, logit_scale=SCALE)
        assert fitted is head
        assert head.get_params() == before
        assert np.array_equal(X, frozen)

    def test_probabilities_are_finite_and_sum_to_one(self, name):
        head = fit(name)
        X = rows_for(name, CLUSTERS.X_test)
        logits, probabilities = head.predict_logits(X), head.predict_proba(X)
        assert logits.dtype == np.float32
        assert logits.shape == probabilities.shape == (len(X), 4)
        assert np.isfinite(logits).all()
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)
        assert np.array_equal(probabilities.argmax(axis=1), logits.argmax(axis=1))
        assert head.classes_.tolist() == [0, 1, 2, 3]

    def test_same_seed_gives_the_same_bits(self, name):
        X = rows_for(name, CLUSTERS.X_test)
        first, second = fit(name), fit(name)
        assert np.array_equal(first.predict_logits(X), second.predict_logits(X))
        assert first.history_ == second.history_

    def test_one_row_is_answered_as_in_a_batch(self, name):
        head = fit(name)
        X = rows_for(name, CLUSTERS.X_test)
        alone = head.predict_logits(X[:1])
        assert np.allclose(alone, head.predict_logits(X)[:1], atol=1e-4)

    def test_renumbering_the_classes_renumbers_the_answers(self, name):
        order = np.array([2, 0, 3, 1])  # class c becomes order[c]
        head = fit(name)
        renumbered = make(name).fit(
            rows_for(name, CLUSTERS.X),
            order[CLUSTERS.y],
            text_rows=CLUSTERS.text_rows[np.argsort(order)],
            logit_scale=SCALE,
            validation=(rows_for(name, CLUSTERS.X_val), order[CLUSTERS.y_val]),
        )
        X = rows_for(name, CLUSTERS.X_test)
        assert np.allclose(renumbered.predict_proba(X)[:, order], head.predict_proba(X), atol=2e-3)

    def test_comes_back_from_its_saved_form(self, name):
        head = fit(name)
        parameters = json.loads(json.dumps(head.get_params()))
        state = load(save({k: np.ascontiguousarray(v) for k, v in head.state().items()}))
        again = class_of(name).from_state(parameters, state)
        X = rows_for(name, CLUSTERS.X_test)
        assert np.array_equal(again.predict_logits(X), head.predict_logits(X))
        assert again.n_parameters_ == head.n_parameters_
        assert again.get_params() == head.get_params()
        assert again.history_ == ()

    def test_refuses_a_broken_saved_form(self, name):
        head = fit(name)
        state = head.state()
        missing = dict(list(state.items())[1:])
        with pytest.raises(CheckpointError, match="expected"):
            class_of(name).from_state(head.get_params(), missing)
        key = next(k for k, v in state.items() if v.dtype.kind == "f")
        with pytest.raises(CheckpointError, match=key):
            class_of(name).from_state(head.get_params(), {**state, key: state[key] * np.nan})
        with pytest.raises(CheckpointError, match="unexpected"):
            class_of(name).from_state({"unexpected": 1}, state)

    def test_refuses_to_predict_before_fit(self, name):
        with pytest.raises(InputError, match="not fitted"):
            make(name).predict_logits(rows_for(name, CLUSTERS.X_test))

    def test_refuses_rows_of_another_dimension(self, name):
        head = fit(name)
        X = rows_for(name, CLUSTERS.X_test)
        dim = X.shape[-1]
        with pytest.raises(InputError, match=f"{dim - 1} dimensions, expected {dim}"):
            head.predict_logits(X[..., :-1])
        texts = as_trunk(CLUSTERS.text_rows) if name in VARIANTS else CLUSTERS.text_rows[:, :15]
        with pytest.raises(InputError, match=r"dimensions.* expected"):
            fit(name, text_rows=texts)

    def test_names_rows_that_are_not_finite(self, name):
        head = fit(name)
        X = rows_for(name, CLUSTERS.X_test).copy()
        X[7].flat[0], X[11].flat[-1] = np.nan, np.inf
        with pytest.raises(DataError, match=r"2 row\(s\): 7, 11"):
            head.predict_logits(X)

    def test_refuses_another_number_of_axes(self, name):
        other = CLUSTERS.X if make(name).needs == "tokens" else as_tokens(CLUSTERS.X)
        with pytest.raises(InputError, match="expected a float array"):
            fit(name).predict_logits(other)

    def test_refuses_text_rows_without_their_scale(self, name):
        with pytest.raises(InputError, match="logit_scale"):
            fit(name, logit_scale=None)

    def test_agrees_on_rows_read_from_a_memory_map_of_half_precision(self, name, tmp_path):
        X = rows_for(name, CLUSTERS.X).astype(np.float16)
        np.save(tmp_path / "rows.npy", X)
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        arguments = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
        from_disk = make(name).fit(mapped, CLUSTERS.y, **arguments)
        in_memory = make(name).fit(X.astype(np.float32), CLUSTERS.y, **arguments)
        assert np.allclose(from_disk.predict_logits(mapped), in_memory.predict_logits(X), atol=2e-3)


@pytest.mark.parametrize("name", LEARNING)
class TestLearning:
    def test_learns_separable_classes(self, name):
        easy = make_clusters(noise=0.1, text_noise=0.5, seed=3)
        assert accuracy(fit(name, easy), name, easy) == 1

    def test_beats_chance_from_two_rows_a_class(self, name):
        few = make_clusters(n_per_class=2, noise=0.5, seed=4)
        assert accuracy(fit(name, few, validation=False), name, few) > 0.5

    def test_refuses_labels_that_do_not_fit(self, name):
        X = rows_for(name, CLUSTERS.X)
        arguments = {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
        with pytest.raises(DataError, match=r"label 4 of row 5 is outside 0\.\.3"):
            wrong = CLUSTERS.y.copy()
            wrong[5] = 4
            make(name).fit(X, wrong, **arguments)
        with pytest.raises(DataError, match="all 120 labels are 2"):
            make(name).fit(X, np.full(len(X), 2), **arguments)
        with pytest.raises(InputError, match="119 labels came for 120 rows"):
            make(name).fit(X, CLUSTERS.y[1:], **arguments)
        with pytest.raises(InputError, match="expected integers"):
            make(name).fit(X, CLUSTERS.y.astype(float), **arguments)

    def test_names_training_rows_that_are_not_finite(self, name):
        X = rows_for(name, CLUSTERS.X).copy()
        X[3] = np.nan
        with pytest.raises(DataError, match=r"features hold .* 1 row\(s\): 3"):
            make(name).fit(X, CLUSTERS.y, text_rows=CLUSTERS.text_rows, logit_scale=SCALE)

    def test_a_class_without_rows_is_rejected_or_keeps_its_text(self, name):
        kept = CLUSTERS.y != 1
        X = rows_for(name, CLUSTERS.X)[kept]
        y, arguments = CLUSTERS.y[kept], {"text_rows": CLUSTERS.text_rows, "logit_scale": SCALE}
        if name in NEEDS_EVERY_CLASS:
            with pytest.raises(DataError, match="class 1 has none"):
                make(name).fit(X, y, **arguments)
            return
        head = make(name).fit(X, y, **arguments)
        logits = head.predict_logits(rows_for(name, CLUSTERS.X_test))
        assert logits.shape == (200, 4)
        assert np.isfinite(logits).all()

    def test_works_without_texts_or_says_that_it_needs_them(self, name):
        if name not in WITHOUT_TEXTS:
            with pytest.raises(InputError, match="text_rows"):
                fit(name, texts=False)
            return
        assert accuracy(fit(name, texts=False), name) > 0.6
        kept = CLUSTERS.y != 3
        with pytest.raises(DataError, match="class 3 has none"):
            make(name).fit(rows_for(name, CLUSTERS.X)[kept], CLUSTERS.y[kept], n_classes=4)

    def test_history_starts_before_training(self, name):
        head = fit(name)
        if name in WITHOUT_HISTORY:
            assert head.history_ == ()
            return
        start = head.history_[0]
        zero_shot = fit("zero-shot").predict_logits(CLUSTERS.X_val)
        assert start.epoch == 0
        assert start.val_accuracy == np.mean(zero_shot.argmax(axis=1) == CLUSTERS.y_val)
        assert [record.epoch for record in head.history_] == sorted(
            {record.epoch for record in head.history_}
        )
        assert min(record.val_loss for record in head.history_) < start.val_loss


def test_unknown_head_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"nearest: .*linear"):
        HEADS["liner"]
    assert "liner" not in HEADS
    assert "linear" in HEADS


def test_names_match_the_classes():
    assert {name: HEADS[name].name for name in HEADS} == {name: name for name in HEADS}


def test_only_zero_shot_needs_no_images():
    head = HEADS["zero-shot"]().fit(None, None, text_rows=CLUSTERS.text_rows, logit_scale=SCALE)
    expected = SCALE * CLUSTERS.X @ CLUSTERS.text_rows.T
    assert np.allclose(head.predict_logits(CLUSTERS.X), expected, atol=1e-5)

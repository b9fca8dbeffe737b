"""Heads among the estimators of scikit-learn: checks, pipelines, searches, former saved forms."""

import json
from pathlib import Path

import numpy as np
import pytest
from head_rows import SCALE, make_clusters
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import check_estimator

import cliptune as ct
from cliptune.heads import HEADS
from cliptune.heads.saved import load_head

FORMER = Path(__file__).parent.parent / "former" / "heads"
CLUSTERS = make_clusters()

# Heads that learn from rows and labels alone. The others start from class texts (zero-shot,
# dual-linear, cache) or take three axes (attention), which no check of scikit-learn's brings.
CHECKED = ("linear", "linear-sgd", "discriminant", "blend", "prototype", "knn")

OUR_WORDS = "it raises, as it should, in our own words"
EXPECTED = {
    "check_n_features_in_after_fitting": OUR_WORDS,
    "check_dtype_object": "what is no number is a ValueError here, not a TypeError",
    "check_estimators_empty_data_messages": OUR_WORDS,
    "check_supervised_y_2d": "labels are one axis; a column is refused, not flattened",
    "check_fit2d_1sample": OUR_WORDS,
}
ROUNDING = "logits are float32 and carry a large factor: probabilities agree to 1e-5, not 1e-7"
PLAN = "the plan is a frozen record of several options; with deep it is given as JSON values"
OWN_EXPECTED = {
    "prototype": {"check_methods_subset_invariance": ROUNDING},
    "discriminant": {"check_methods_subset_invariance": ROUNDING},
    "linear": {"check_methods_subset_invariance": ROUNDING},
    "blend": {
        "check_methods_subset_invariance": ROUNDING,
        "check_parameters_default_constructible": "arguments of its two parts are mappings",
    },
    "knn": {"check_methods_subset_invariance": ROUNDING},
    "linear-sgd": {
        "check_methods_subset_invariance": ROUNDING,
        "check_parameters_default_constructible": PLAN,
        "check_get_params_invariance": PLAN,
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKED)
def test_passes_the_checks_of_scikit_learn(name):
    expected = EXPECTED | OWN_EXPECTED[name]
    results = check_estimator(HEADS[name](), expected_failed_checks=expected, on_fail=None)
    failed = {
        r["check_name"]: str(r["exception"])[:300] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 40


def test_every_head_is_checked_or_needs_more_than_rows():
    assert set(HEADS) - set(CHECKED) == {"zero-shot", "dual-linear", "cache", "attention"}


def test_a_grid_search_over_a_pipeline_finds_the_penalty():
    noisy = make_clusters(noise=1.5)
    pipeline = make_pipeline(Normalizer(), ct.heads.Linear())
    grid = {"linearhead__penalty": [1e-4, 1e-2, 1e2]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(5 * noisy.X, noisy.y)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) > 1
    assert (
        search.best_params_["linearhead__penalty"] == grid["linearhead__penalty"][scores.argmax()]
    )
    assert search.score(5 * noisy.X_test, noisy.y_test) > 0.4


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_cloned_scored_and_predicts(name):
    head = HEADS[name]()
    assert is_classifier(head)
    assert type(clone(head)) is type(head)
    if head.needs != "pooled":
        return
    with pytest.raises(NotFittedError):
        head.predict(CLUSTERS.X)
    head.fit(CLUSTERS.X, CLUSTERS.y, text_rows=CLUSTERS.text_rows, logit_scale=SCALE)
    predicted = head.predict(CLUSTERS.X_test)
    assert np.array_equal(predicted, head.predict_proba(CLUSTERS.X_test).argmax(axis=1))
    assert head.score(CLUSTERS.X_test, CLUSTERS.y_test) == np.mean(predicted == CLUSTERS.y_test)
    assert head.n_features_in_ == CLUSTERS.X.shape[1]


def test_labels_may_be_names_but_are_not_saved():
    names = np.array(["ant", "bee", "cat", "dog"])
    head = ct.heads.Prototype().fit(CLUSTERS.X, names[CLUSTERS.y])
    assert head.classes_.tolist() == names.tolist()
    assert set(head.predict(CLUSTERS.X_test)) <= set(names)
    with pytest.raises(ct.InputError, match="number them from 0"):
        head.state()


def test_arguments_are_set_by_name():
    head = ct.heads.Linear().set_params(penalty=0.5)
    assert head.penalty == 0.5
    with pytest.raises(ct.UnknownNameError, match="penalty"):
        head.set_params(penalti=1)


def test_short_names_are_the_heads():
    assert {ct.heads.Linear, ct.heads.Neighbors, ct.heads.ZeroShot} <= {HEADS[n] for n in HEADS}
    with pytest.raises(AttributeError, match="no attribute 'Linea'"):
        ct.heads.Linea  # noqa: B018


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_the_former_version_saved_answers_the_same(name):
    saved = json.loads((FORMER / "heads.json").read_text())
    if name not in saved:
        pytest.skip("the former version had no such head")
    facts = saved[name]["facts"]
    head = load_head(FORMER / f"{name}.safetensors", facts, dim=8, n_classes=3)
    rows = np.array(saved["rows"][saved[name]["needs"]], dtype=np.float32)
    assert head.predict_logits(rows) == pytest.approx(np.array(saved[name]["logits"]), abs=1e-5)

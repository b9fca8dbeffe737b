import json

import numpy as np
import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.errors import CheckpointError, RunError
from cliptune.evaluation.calibration import Threshold
from cliptune.heads.zero_shot import ZeroShotHead
from cliptune.runs import RunDir
from fakes import TinyEncoder


def make_classifier(encoder, threshold=None):
    rows = encoder.encode_texts(["ant", "bee"])
    head = ZeroShotHead().fit(text_rows=rows, logit_scale=10.0)
    return CalibratedHead(
        head=head,
        class_names=("ant", "bee"),
        templates=("{}",),
        encoder=EncoderRecord.of(encoder),
        temperature=2.0,
        threshold=threshold,
    )


def saved(path, classifier):
    run = RunDir.create(path, {})
    classifier.save(run)
    run.finish({})
    return path


def vectors(dim, n=5):
    rows = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_loaded_classifier_says_the_same(tmp_path):
    encoder = TinyEncoder()
    threshold = Threshold(0.7, 0.95, 0.9, 0.99, 0.8, 40)
    classifier = make_classifier(encoder, threshold)
    loaded = CalibratedHead.load(str(saved(tmp_path / "run", classifier)))
    X = vectors(encoder.dim)
    assert (loaded.predict_proba(X) == classifier.predict_proba(X)).all()
    assert loaded.class_names == ("ant", "bee")
    assert loaded.threshold == threshold
    assert loaded.encoder == classifier.encoder


def test_the_temperature_divides_the_logits(tmp_path):
    encoder = TinyEncoder()
    classifier = make_classifier(encoder)
    X = vectors(encoder.dim)
    logits = classifier.head.predict_logits(X).astype(np.float64) / 2
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert classifier.predict_proba(X) == pytest.approx(expected)


def test_abstains_below_the_threshold():
    classifier = make_classifier(TinyEncoder(), Threshold(0.7, 1, 1, 1, 1, 1))
    assert classifier.abstains(np.asarray([[0.69, 0.31], [0.7, 0.3]])).tolist() == [True, False]
    assert not make_classifier(TinyEncoder()).abstains(np.asarray([[0.5, 0.5]])).any()


def test_another_encoder_is_refused_by_its_fingerprint():
    classifier = make_classifier(TinyEncoder(seed=0))
    classifier.encoder.require_same(TinyEncoder(seed=0))
    with pytest.raises(RunError, match="weights or preprocessing differ"):
        classifier.encoder.require_same(TinyEncoder(seed=1))


@pytest.mark.parametrize("name", ["head.safetensors", "classifier.json"])
def test_a_tampered_or_cut_file_is_refused(tmp_path, name):
    path = saved(tmp_path / "run", make_classifier(TinyEncoder()))
    file = path / name
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(RunError, match="altered or cut"):
        CalibratedHead.load(str(path))


def test_a_run_without_a_classifier_says_so(tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    run.finish({})
    with pytest.raises(RunError, match="holds no classifier"):
        CalibratedHead.load(str(tmp_path / "run"))


def test_a_head_of_an_unknown_kind_is_refused(tmp_path):
    run = RunDir.create(tmp_path / "run", {})
    make_classifier(TinyEncoder()).save(run)
    facts = json.loads((run.path / "classifier.json").read_text())
    facts["head"]["name"] = "oracle"
    run.write_json("classifier.json", facts)
    run.finish({})
    with pytest.raises(CheckpointError, match="unknown head 'oracle'"):
        CalibratedHead.load(run)

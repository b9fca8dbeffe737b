import numpy as np
import pytest

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.errors import DataError
from cliptune.heads.dual_linear import DualLinearHead
from cliptune.heads.linear import LinearHead
from cliptune.prompts import ensemble_rows
from cliptune.runs import RunDir
from cliptune.workflows.map_views import Viewer, make_inputs, make_view
from fakes import TinyEncoder
from test_map_data import make_table

NAMES = ("ant", "bee", "cat")
TEMPLATES = ("a photo of a {}.", "a {}")


@pytest.fixture
def encoder():
    return TinyEncoder(dim=8)


@pytest.fixture
def table():
    return make_table([0, 1, 2] * 10, names=NAMES)


@pytest.fixture
def vectors():
    rows = np.random.default_rng(0).normal(size=(30, 8)) + 2 * np.eye(8)[[0, 1, 2] * 10]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def make_viewer(tmp_path, encoder):
    """A viewer of a finished run with a head fitted on classes in this order."""

    def make(head, names=NAMES, partition=()):
        run = RunDir.create(tmp_path / "run", {"data": "data"})
        classifier = CalibratedHead(head, names, TEMPLATES, EncoderRecord.of(encoder))
        classifier.save(run)
        lines = ["id,part", *(f"{row}.png,{part}" for row, part in partition)]
        run.write_text("partition.csv", "\n".join(lines) + "\n")
        run.finish({"data_digest": "d" * 64})
        return Viewer("run", encoder, TEMPLATES, classifier, run)

    return make


def test_an_encoder_shows_its_vectors_and_the_templates_texts(encoder, table, vectors):
    view = make_view(Viewer("tiny", encoder, TEMPLATES), table, vectors, encoder.encode_texts)
    assert view.image_vectors is vectors
    expected = ensemble_rows(encoder.encode_texts, NAMES, TEMPLATES)
    assert (view.text_vectors == expected).all()
    assert view.predictions is None
    assert view.data_digest == ""


def test_a_frozen_run_adds_its_predictions_in_the_tables_numbers(
    encoder, table, vectors, make_viewer
):
    order = ("cat", "ant", "bee")
    labels = np.asarray([order.index(NAMES[c]) for c in table.labels])
    head = LinearHead().fit(vectors, labels)
    view = make_view(make_viewer(head, order), table, vectors, encoder.encode_texts)
    assert view.image_vectors is vectors
    said = [order[c] for c in head.predict_proba(vectors).argmax(axis=1)]
    assert [NAMES[c] for c in view.predictions] == said
    assert (view.predictions == table.labels).mean() > 0.9
    assert view.data_digest == "d" * 64


def test_a_run_over_trunk_rows_predicts_from_them(encoder, table, vectors, make_viewer):
    trunk = np.concatenate([vectors, np.abs(vectors)], axis=1)
    trunk[:, 8:] /= np.linalg.norm(trunk[:, 8:], axis=1, keepdims=True)
    viewer = make_viewer(LinearHead(features="trunk").fit(trunk, table.labels))
    assert viewer.needs == "trunk"
    view = make_view(viewer, table, vectors, encoder.encode_texts, trunk=trunk)
    assert (view.predictions == table.labels).mean() > 0.9
    assert view.image_vectors is vectors


def test_added_layers_move_images_and_texts(encoder, table, vectors, make_viewer):
    texts = ensemble_rows(encoder.encode_texts, NAMES, TEMPLATES)
    head = DualLinearHead(lr=0.1).fit(vectors, table.labels, text_rows=texts, logit_scale=20.0)
    view = make_view(make_viewer(head), table, vectors, encoder.encode_texts)
    assert (view.image_vectors == head.transform(vectors, "image")).all()
    assert (view.text_vectors == head.transform(texts, "text")).all()
    # The space that is shown is the one that the classifier decides in.
    nearest = (view.image_vectors @ view.text_vectors.T).argmax(axis=1)
    assert (nearest == view.predictions).all()
    assert np.abs(view.image_vectors - vectors).max() > 0.01


def test_a_run_on_other_classes_is_refused(encoder, table, vectors, make_viewer):
    head = LinearHead().fit(vectors, table.labels)
    viewer = make_viewer(head, ("ant", "bee", "dog"))
    with pytest.raises(DataError, match=r"unknown to the classifier \('cat'\)"):
        make_view(viewer, table, vectors, encoder.encode_texts)


def test_captions_are_texts_of_their_images(encoder, vectors):
    captions = (("one", "two"), (), ("two",), *[(f"text {row}",) for row in range(27)])
    table = make_table([-1] * 30, captions=captions, names=())
    viewer = Viewer("tiny", encoder, TEMPLATES)
    view = make_view(viewer, table, vectors, encoder.encode_texts)
    inputs = make_inputs("data", table, [viewer], [view])
    assert inputs.labels is None
    assert inputs.texts[:3] == ("one", "two", "two")
    assert inputs.text_groups[:4].tolist() == [0, 0, 2, 3]
    assert (view.text_vectors[1] == view.text_vectors[2]).all()
    assert view.text_vectors == pytest.approx(encoder.encode_texts(inputs.texts))


def test_what_misleads_is_said(encoder, table, vectors, make_viewer):
    head = LinearHead().fit(vectors, table.labels)
    parts = [(0, "train"), (1, "val"), (2, "test"), (99, "train")]
    run = make_viewer(head, partition=parts)
    base = Viewer("tiny", encoder, ("a {}",))
    views = [make_view(v, table, vectors, encoder.encode_texts) for v in (base, run)]
    inputs = make_inputs("data", table, [base, run], views, remarks=["first"])
    assert inputs.remarks[0] == "first"
    assert "learned or chosen on 2 of the 30 images" in inputs.remarks[1]
    assert "different templates" in inputs.remarks[2]
    assert len(make_inputs("other data", table, [base, run], views).remarks) == 1

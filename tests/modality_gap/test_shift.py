import numpy as np
import pytest

from cliptune.modality_gap.shift import SHIFTS, shift_along_gap


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def orthogonal_gap():
    """Content in some directions, the gap in another: moving it cannot change an order."""
    rng = np.random.default_rng(0)
    middles = unit(rng.normal(size=(7, 20)))
    labels = np.arange(300) % 7
    images = unit(middles[labels] + 0.35 * rng.normal(size=(300, 20)))
    apart = np.full((300, 1), 0.6), np.full((7, 1), -0.6)
    return unit(np.hstack([images, apart[0]])), unit(np.hstack([middles, apart[1]])), labels


def test_the_unmoved_point_is_the_encoder_as_it_is(orthogonal_gap):
    images, texts, labels = orthogonal_gap
    curve = shift_along_gap(images, texts, labels, np.arange(7))
    at = curve.shifts.index(0.0)
    accuracy = ((images @ texts.T).argmax(axis=1) == labels).mean()
    assert curve.scores["accuracy"][at].value == pytest.approx(accuracy)
    distance = np.linalg.norm(images.mean(axis=0) - texts[labels].mean(axis=0))
    assert curve.distances[at] == pytest.approx(distance, rel=1e-5)


def test_half_way_the_centroids_meet_and_then_pass(orthogonal_gap):
    curve = shift_along_gap(*orthogonal_gap, np.arange(7))
    distances = dict(zip(curve.shifts, curve.distances, strict=True))
    assert abs(distances[0.5]) < 0.03
    assert distances[-0.5] > distances[0.0] > distances[0.25] > 0 > distances[0.75]
    assert (np.diff(curve.distances) < 0).all()


def test_a_gap_orthogonal_to_the_content_can_be_closed_at_no_cost(orthogonal_gap):
    # As arXiv:2603.29080 argues; the texts' own mean keeps a few images from it here.
    curve = shift_along_gap(*orthogonal_gap, np.arange(7))
    assert curve.closed.n == 300
    assert abs(curve.closed.difference) < 0.03
    assert curve.closed.low <= 0 <= curve.closed.high


def test_moves_as_the_paper_says():
    rng = np.random.default_rng(1)
    images, texts = unit(rng.normal(size=(30, 5)) + 1), unit(rng.normal(size=(30, 5)) - 1)
    curve = shift_along_gap(images, texts, np.arange(30), np.arange(30))
    gap = images.mean(axis=0) - texts.mean(axis=0)
    for number, shift in enumerate(SHIFTS):
        x, y = unit(images - shift * gap), unit(texts + shift * gap)
        similarities = x @ y.T
        found = (similarities.argmax(axis=1) == np.arange(30)).mean()
        back = (similarities.argmax(axis=0) == np.arange(30)).mean()
        assert curve.scores["image_to_text_recall_at_1"][number].value == pytest.approx(found)
        assert curve.scores["text_to_image_recall_at_1"][number].value == pytest.approx(back)
        distance = np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))
        assert abs(curve.distances[number]) == pytest.approx(distance, abs=1e-5)


def test_classes_without_images_stay_candidates():
    texts = unit(np.asarray([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.3, 0.0]]))
    images = unit(np.asarray([[1.0, 0.2, 0.1], [0.1, 1.0, 0.1], [1.0, 0.01, 0.1]]))
    curve = shift_along_gap(images, texts, np.asarray([0, 1, 0]), np.arange(3))
    # The first image is nearer to the text of class 2, of which there is no image.
    assert curve.scores["accuracy"][curve.shifts.index(0.0)].value == pytest.approx(2 / 3)

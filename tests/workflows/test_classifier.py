"""A classifier takes pictures of any kind, and says the same of each."""

import numpy as np
import pytest
from PIL import Image

import cliptune as ct


@pytest.fixture(scope="module")
def classifier(fitted, compute):
    return ct.load_classifier(fitted.run, compute=compute)


@pytest.fixture(scope="module")
def paths(small_data):
    return sorted((small_data / "val").glob("*/*.jpg"))


def test_paths_images_arrays_and_batches_are_alike(classifier, paths):
    images = [Image.open(path) for path in paths[:4]]
    square = [np.asarray(image.convert("RGB").resize((224, 224))) for image in images]
    from_paths = classifier.predict([str(path) for path in paths[:4]])
    from_images = classifier.predict(images)
    assert from_paths.probabilities == pytest.approx(from_images.probabilities, abs=2e-2)
    assert from_paths.labels == from_images.labels
    one_by_one = classifier.predict(square)
    batch = classifier.predict(np.stack(square))
    floats = classifier.predict([array / 255 for array in square])
    assert np.array_equal(one_by_one.probabilities, batch.probabilities)
    assert np.array_equal(one_by_one.probabilities, floats.probabilities)


def test_kinds_stand_beside_each_other(classifier, paths):
    image = Image.open(paths[0])
    found = classifier.predict([paths[0], image, np.asarray(image)])
    assert found.images == (str(paths[0]), "image 1", "image 2")
    assert len(set(found.labels)) == 1
    assert [one.label for one in found] == list(found.labels)


def test_gives_labels_probabilities_and_abstentions(classifier, paths):
    found = classifier.predict(list(map(str, paths)))
    assert len(found) == len(paths)
    assert found.class_names == ("ant", "bee") == classifier.class_names
    assert found.probabilities.shape == (len(paths), 2)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(len(paths)))
    threshold = classifier.calibrated.threshold.probability
    assert np.array_equal(found.abstained, found.probabilities.max(axis=1) < threshold)
    right = [("ant" if "ants" in str(path) else "bee") for path in paths]
    assert np.mean([a == b for a, b in zip(found.labels, right, strict=True)]) > 0.8
    assert "<table>" in found._repr_html_()


def test_says_what_the_verb_says(classifier, paths, compute):
    names = list(map(str, paths))
    by_verb = ct.predict(names, run=classifier, compute=compute)
    direct = classifier.predict(names)
    said = [(p.labels[0].label, p.labels[0].probability, p.abstains) for p in by_verb.predictions]
    assert said == [(one.label, one.probability, one.abstained) for one in direct]


def test_an_upright_picture_comes_out_of_a_turned_one(classifier, paths, tmp_path):
    turned = Image.open(paths[0]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it back by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    from_file = classifier.predict(str(tmp_path / "turned.png"))
    from_image = classifier.predict(Image.open(tmp_path / "turned.png"))
    assert from_file.probabilities == pytest.approx(from_image.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        ([], "no image came"),
        (7, "int came for images"),
        ([None], "image 0 is NoneType"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\); expected \(H, W, 3\)"),
        (np.zeros((3, 4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.int32), "is int32; expected uint8"),
        (np.full((4, 4, 3), 2.0), "outside of 0 to 1"),
        (np.full((4, 4, 3), np.nan), "outside of 0 to 1"),
        ("nowhere.jpg", "no image file 'nowhere.jpg'"),
    ],
)
def test_refuses_what_is_no_picture(classifier, pictures, expected):
    with pytest.raises(ct.InputError, match=expected):
        classifier.predict(pictures)

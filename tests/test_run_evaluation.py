"""A classifier's classes beside those of the data that it is scored on."""

import pytest

from cliptune.errors import DataError
from cliptune.images import ImageTable
from cliptune.workflows.fitted_scores import match_classes


def test_classes_of_the_classifier_may_be_absent(make_tree):
    table = ImageTable.open(make_tree("dog/1.jpg", "horse/2.jpg"))
    matched = match_classes(table, ("elephant", "horse", "dog"))
    assert matched.class_names == ("elephant", "horse", "dog")
    assert matched.labels.tolist() == [2, 1]


def test_an_empty_folder_need_not_be_a_class_of_the_classifier(make_tree):
    folder = make_tree("dog/1.jpg", "horse/2.jpg")
    (folder / "cat").mkdir()
    assert match_classes(ImageTable.open(folder), ("dog", "horse")).labels.tolist() == [0, 1]


def test_a_part_of_a_known_data_set_has_its_names(make_tree):
    table = ImageTable.open(make_tree("bees/1.jpg"))
    assert table.class_names == ("bees",)
    assert match_classes(table, ("ant", "bee")).labels.tolist() == [1]


def test_images_of_unknown_classes_are_refused(make_tree):
    table = ImageTable.open(make_tree("dog/1.jpg", "horse/2.jpg"))
    with pytest.raises(DataError, match=r"1 unknown to the classifier \('horse'\), 1 missing"):
        match_classes(table, ("dog", "cat"))

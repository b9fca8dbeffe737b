import json

import pytest

from cliptune.errors import DataError
from cliptune.images import ImageTable, list_captions, number_texts


@pytest.fixture
def captioned(make_tree):
    """Write three pictures with the captions of each."""

    def make(*captions):
        folder = make_tree(*(f"{row}.png" for row in range(len(captions))))
        lines = (
            json.dumps({"file_name": f"{row}.png", "captions": texts})
            for row, texts in enumerate(captions)
        )
        (folder / "metadata.jsonl").write_text("\n".join(lines))
        return ImageTable.open(folder)

    return make


def test_lists_texts_with_the_rows_they_describe(captioned):
    table = captioned(["one", "two"], [], ["three"])
    texts, owners = list_captions(table)
    assert texts == ("one", "two", "three")
    assert owners.tolist() == [0, 0, 2]
    assert list_captions(table.select([2, 0]))[0] == ("three", "one", "two")


def test_fewer_than_two_captioned_images_are_refused(captioned):
    with pytest.raises(DataError, match=r"1 of the 3 images .* have captions"):
        list_captions(captioned(["one"], [], []))


def test_other_captions_are_other_data(captioned):
    first, second = captioned(["one"], ["two"]), captioned(["one"], ["three"])
    assert first.digest() == captioned(["one"], ["two"]).digest()
    assert first.digest() != second.digest()


def test_texts_are_equal_whatever_their_case_and_white_space():
    assert number_texts(["A dog .", "a  dog .", "a cat", "a dog"]).tolist() == [0, 0, 1, 2]

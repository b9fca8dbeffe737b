"""Which texts are counted to find those that were cut."""

import numpy as np
import pytest

from cliptune.encoders.text_end import TextEnd, reject_long
from cliptune.errors import InputError


@pytest.mark.parametrize(
    ("text", "is_counted"),
    [
        ("an ant", False),
        ("a" * 12, False),
        ("a" * 13, True),
        ("\ufdfa", True),  # one letter that becomes eighteen
    ],
)
def test_short_plain_texts_are_not_counted(text, is_counted):
    counted = []

    def count(given):
        counted.append(given)
        return 20

    ids = np.zeros((1, 20), np.int64)
    reject_long([text], ids, end=TextEnd(), count_tokens=count, name="a model")
    assert counted == [text] * is_counted


def test_a_long_text_is_refused_with_both_lengths():
    ids = np.zeros((2, 20), np.int64)
    with pytest.raises(InputError, match="text of 21 tokens, but a model takes 20"):
        reject_long(
            ["an ant", "word " * 21],
            ids,
            end=TextEnd(),
            count_tokens=lambda text: len(text.split()),
            name="a model",
        )

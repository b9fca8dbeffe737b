"""How numbers are written in a study."""

import pytest

from cliptune.study.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "less than 0.01 s"),
        (0.0123, "0.012 s"),
        (0.5, "0.5 s"),
        (9.44, "9.4 s"),
        (9.96, "10 s"),
        (1044.3, "1044 s"),
    ],
)
def test_a_time_shows_two_digits_and_never_nothing(seconds, words):
    assert duration(seconds) == words

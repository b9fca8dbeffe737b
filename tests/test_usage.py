import sys
import time

import numpy as np
import pytest

from cliptune.usage import Usage


def test_measures_time():
    with Usage() as usage:
        time.sleep(0.05)
    assert 0.05 <= usage.seconds < 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak")
def test_measures_the_peak_even_when_it_is_given_back():
    with Usage() as usage:
        block = np.ones(100 << 20, np.uint8)
        del block
    assert usage.peak_bytes is not None
    assert 90 << 20 < usage.peak_bytes < 200 << 20
    with Usage() as usage:
        pass
    assert usage.peak_bytes < 20 << 20

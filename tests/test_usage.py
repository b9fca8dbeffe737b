import subprocess
import sys
import time

import pytest

from cliptune.system.usage import Usage


def test_measures_time():
    with Usage() as usage:
        time.sleep(0.05)
    assert 0.05 <= usage.seconds < 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak")
def test_measures_the_peak_even_when_it_is_given_back():
    """In a process of its own: one that keeps freed memory would use that again."""
    code = """
import numpy as np
from cliptune.system.usage import Usage
with Usage() as usage:
    block = np.ones(100 << 20, np.uint8)
    del block
print(usage.peak_bytes >> 20)
with Usage() as usage:
    pass
print(usage.peak_bytes >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with_block, without = map(int, done.stdout.split())
    assert 90 < with_block < 200
    assert without < 20

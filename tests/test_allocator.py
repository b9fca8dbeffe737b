import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux")
def test_a_large_block_is_faulted_in_once_and_not_at_every_allocation():
    code = """
import resource, numpy as np
from cliptune.system.allocator import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**24, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
without = faults()
assert keep_freed_memory()
faults()
print(without, faults())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    without, kept = map(int, done.stdout.split())
    assert kept < without / 4


HEAP = """
import numpy as np
def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) // 1024
def fill():
    blocks = [np.ones(2**20, np.uint8) for _ in range(300)]
    return [np.ones(100, np.uint8) for _ in range(10)]  # what outlives them lies behind
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux")
def test_memory_is_kept_within_a_block_and_given_back_after_the_outermost():
    code = """
from cliptune.system.allocator import freed_memory_kept
before = anonymous()
with freed_memory_kept():
    with freed_memory_kept():
        small = fill()
    print(anonymous() - before)
print(anonymous() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", HEAP + code], capture_output=True, text=True, check=True
    )
    within, after = map(int, done.stdout.split())
    assert within > 250
    assert after < 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux")
def test_a_training_gives_its_memory_back():
    code = """
from cliptune.finetuning.setup import open_session
from tiny_training import make_data, make_encoder
from cliptune.finetuning.options import FinetuneOptions
encoder, before = make_encoder(), anonymous()
with open_session(
    encoder, make_data(), FinetuneOptions(batch_size=8), watch={}, trackers=(), folder=None
):
    small = fill()
    print(anonymous() - before)
print(anonymous() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", HEAP + code], cwd=Path(__file__).parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    within, after = map(int, done.stdout.split())
    assert within > 250
    assert after < 100

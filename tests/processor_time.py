"""A plugin that names the tests that take the most processor time, their processes included.

    python -m pytest -p tests.processor_time

Unlike seconds on the clock, these hardly depend on what else the machine does. What is made for
several tests is counted with the first.
"""

import os
from collections import Counter

import pytest

SHOWN = 20


def spent():
    """Seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


taken = Counter()
marks = [spent()]  # at the last report


def pytest_collection_finish():
    marks.append(spent())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    marks.append(spent())
    report.processor_seconds = marks[-1] - marks[-2]
    return report


def pytest_runtest_logreport(report):
    """Where there are workers, their reports arrive in the process that shows them."""
    taken[report.nodeid] += report.processor_seconds


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section(f"processor time, {SHOWN} of {len(taken)} tests")
    for name, seconds in taken.most_common(SHOWN):
        terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
    terminalreporter.write_line(f"{taken.total():7.1f} s  all")

"""Data sets as people have them: every case of the shared ones gives the right value."""

import os
from pathlib import Path

import pytest

from cases import CASES, run_case


@pytest.fixture(scope="module")
def cases_root():
    """The folder of cases."""
    default = Path(__file__).parent.parent.parent / "shared" / "cases"
    root = Path(os.environ.get("CLIPTUNE_TEST_CASES", default)).resolve()
    if not root.is_dir():
        pytest.skip(f"no cases at {root}; name their folder in CLIPTUNE_TEST_CASES")
    return root


@pytest.fixture(scope="module")
def cases_cache(make_cache):
    return make_cache()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_right(case, cases_root, cases_cache):
    if not (cases_root / case.folder).is_dir():
        pytest.skip(f"no case {case.folder} at {cases_root}")
    answer = run_case(case, cases_root, cases_cache)
    assert case.is_right(answer), (case.right, answer)

"""One set of formats, and none that turns something into nothing."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from cliptune.system import formatting as f


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0 s"),
        (2e-5, "< 1 ms"),
        (0.0004, "< 1 ms"),
        (0.0123, "12 ms"),
        (0.0996, "0.1 s"),
        (0.5, "0.5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (119.6, "2.0 min"),
        (1044.3, "17.4 min"),
        (7200, "2.0 h"),
    ],
)
def test_a_time_is_never_nothing_and_has_the_unit_of_its_size(seconds, written):
    assert f.duration(seconds) == written


@pytest.mark.parametrize(
    ("p", "written"),
    [(9.5e-26, "p < 0.0001"), (0.0, "p < 0.0001"), (1e-4, "p = 0.0001"), (0.0123, "p = 0.012"),
     (1.0, "p = 1")],
)  # fmt: skip
def test_a_p_value_is_written_one_way(p, written):
    assert f.with_p(p) == written
    assert f.p_value(p) in written


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0.0 %"), (0.0002, "< 0.1 %"), (0.714285, "71.4 %"), (0.99951, "> 99.9 %"),
     (1.0, "100.0 %")],
)  # fmt: skip
def test_a_share_is_never_all_or_nothing_unless_it_is(share, written):
    assert f.percent(share) == written


def test_what_rounds_to_zero_has_no_minus():
    assert (f.change(-0.0001), f.change(0.0123), f.change(-0.0123)) == ("+0.0", "+1.2", "-1.2")
    assert (f.decimal(-1e-9), f.decimal(0.0002), f.decimal(0.1312)) == ("0.000", "< 0.001", "0.131")


def test_sentences_name_interval_test_and_number():
    difference = SimpleNamespace(difference=0.05, low=-0.01, high=0.11, p_value=9.5e-26, n=153)
    assert f.points(difference) == (
        "+5.0 points (95 % interval -1.0 to +11.0, p < 0.0001, n = 153)"
    )
    share = SimpleNamespace(value=0.5, low=0.4, high=0.6, n=90)
    assert f.span(share) == "50.0 % (95 % interval 40.0 to 60.0, n = 90)"


def test_speeds_rates_counts_and_sizes():
    assert [f.per_second(s) for s in (0.312, 4.24, 11.7, 1234.5)] == ["0.31", "4.2", "12", "1,234"]
    assert [f.rate(r) for r in (0.0316227, 1e-05, 0.1)] == ["0.03162", "1e-05", "0.1"]
    assert (f.count(12345), f.size(0), f.size(1.234e9)) == ("12,345", "0 B", "1.23 GB")


def test_nobody_else_writes_shares_times_or_p_values():
    own = re.compile(r":\+?\.[1-9][fg]\} ?%|\bp = \{[^}]*:|:\.\d[fg]\} (s|min|MB)\b")
    package = Path(f.__file__).parent
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in sorted(package.rglob("*.py"))
        if path not in (Path(f.__file__), package / "ladder.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    ]
    assert found == []

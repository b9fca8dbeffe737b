"""Drift in numbers: both tests keep their level, and see what is there."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from cliptune.serving.drift import DriftMeter, make_reference

RNG = np.random.default_rng(0)
SCALES = 0.3 / np.arange(1, 33)


def draw(count, shift=0.0):
    rows = 1.0 + RNG.normal(size=(count, 32)) * SCALES
    rows[:, 0] += shift
    return rows.astype(np.float32)


def served(reference, rows, classes):
    meter = DriftMeter(reference)
    for row, chosen in zip(rows, classes, strict=True):
        meter.add(row, int(chosen))
    return meter.report()


def test_without_drift_p_values_are_even():
    found = []
    for _ in range(200):
        train, labels = draw(400), RNG.integers(0, 3, 400)
        reference = make_reference(train, labels, 3)
        report = served(reference, draw(100), RNG.integers(0, 3, 100))
        found.append((report.embedding.p_value, report.classes.p_value))
    below = (np.array(found) < 0.1).mean(axis=0)
    assert (below > 0.04).all()
    assert (below < 0.18).all()


def test_drift_is_seen():
    reference = make_reference(draw(400), np.repeat([0, 1], 200), 2)
    report = served(reference, draw(100, shift=0.3), np.repeat([0, 1], [90, 10]))
    assert report.embedding.p_value < 1e-6
    assert report.distance > 0.2
    assert report.classes.p_value < 1e-6
    wanted = chi2_contingency([[90, 10], [200, 200]], correction=False)
    assert report.classes.statistic == pytest.approx(wanted.statistic)
    assert report.classes.p_value == pytest.approx(wanted.pvalue)
    assert report.served_shares == (0.9, 0.1)


def test_nothing_served_says_nothing():
    report = DriftMeter(make_reference(draw(40), np.repeat([0, 1], 20), 2)).report()
    assert (report.n_served, report.embedding, report.classes) == (0, None, None)


def test_a_server_tells_of_drift(open_local, fitted, bee):
    with open_local({"insects": fitted.run}, drift=True) as server:
        for _ in range(4):
            assert server.predict(("bee", bee)).status == 200
        report = server.get("/v1/runs/insects/drift").json
        assert report["n_served"] == 4
        assert report["n_training"] > 4
        assert report["served_shares"] == {"ant": 0.0, "bee": 1.0}
        assert sum(report["training_shares"].values()) == pytest.approx(1)
        assert 0 <= report["embedding"]["p_value"] <= 1
        assert server.get("/v1/runs/none/drift").status == 404

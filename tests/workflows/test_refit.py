"""Runs on a journal's labels: fitted without the test, compared, and opened by a person alone."""

import pytest

import cliptune as ct
from cliptune.annotations import Answer
from cliptune.errors import DataError, InputError, RunError, UnknownNameError
from cliptune.workflows.label_next import propose_labels
from cliptune.workflows.label_project import open_project
from cliptune.workflows.options import ComputeOptions
from cliptune.workflows.progress import watching
from cliptune.workflows.prove import compare_runs, list_runs, open_test
from cliptune.workflows.refit import RefitCancelledError, refit
from cliptune.workflows.session import Session

PERSON = {"who": "ada", "tab": "one"}


@pytest.fixture
def project(data_root, tmp_path, tmp_path_factory):
    """Seventy images of a real split, labelled by a journal alone, and what each is."""
    cache = tmp_path_factory.getbasetemp() / "refit-cache"
    compute = ComputeOptions(cache_dir=cache, engine="torch", precision="fp32")
    folder = data_root / "hymenoptera_data" / "val"
    table = ct.open_images([folder])
    table = table.select(list(range(0, len(table), 2)))
    session = Session(compute, watching(None))
    return open_project(table, session, journal=tmp_path / "journal.jsonl")


def answer(project, image):
    return Answer.of("label", "ant" if "/ants/" in f"/{image.path}" else "bee")


def label(project, n):
    for one in propose_labels(project, n, data="insects").images:
        project.journal.label([one.content], answer(project, one), **PERSON)


def label_test(project, n):
    rows = project.test_mask().nonzero()[0][:n]
    for row in rows.tolist():
        source = project.source.sources[row]
        name = Answer.of("label", "ant" if "/ants/" in source.location else "bee")
        project.journal.label([project.contents[row]], name, **PERSON)
    return len(rows)


def test_a_loop_of_labels_fits_and_proof(project):
    with pytest.raises(InputError, match="two at least"):
        refit(project)
    label(project, 20)
    first = refit(project)
    label(project, 20)
    second = refit(project, method="linear")
    assert [entry.run for entry in list_runs(project)] == ["fit-001", "fit-002"]
    assert (first.n_labels, second.n_labels) == (20, 40)
    assert first.held_out.n == 20
    loaded = ct.load_result(second.run)
    assert loaded == second
    found = compare_runs(project, "fit-001", "fit-002")
    assert (found.on, found.comparison.n) == ("held-out", 20)
    assert found.verdict in ("better", "cannot-tell")

    with pytest.raises(DataError, match="no image of the locked test has a label"):
        open_test(project, "fit-001", **PERSON)
    n = label_test(project, 10)
    assert open_test(project, "fit-001", **PERSON).opened == 1
    opened = open_test(project, "fit-002", **PERSON)
    assert (opened.opened, opened.accuracy.n) == (2, n)
    assert "opened 2 times" in opened.sentence
    assert [entry.opened for entry in list_runs(project)] == [1, 1]
    assert compare_runs(project, "fit-001", "fit-002").on == "test"
    third = refit(project)
    assert third.n_labels == 40, "labels of the test are not learned from"


def test_what_is_called_off_or_unknown_leaves_no_run(project):
    label(project, 12)
    with pytest.raises(RefitCancelledError, match="called off"):
        refit(project, cancelled=lambda: True)
    with pytest.raises(UnknownNameError, match="unknown method 'magic'"):
        refit(project, method="magic")
    assert list_runs(project) == []
    with pytest.raises(RunError, match="there is no run 'fit-001'"):
        open_test(project, "fit-001", **PERSON)
    with pytest.raises(InputError, match="named twice"):
        compare_runs(project, "fit-001", "fit-001")


def test_a_run_of_another_encoder_is_refused(project):
    from dataclasses import replace

    label(project, 12)
    refit(project)

    class Other:
        fingerprint, name, dim = "0" * 64, "another", project.encoder.dim

    with pytest.raises(RunError, match=r"fitted on encoder 'lite'.*'another'"):
        open_test(replace(project, encoder=Other()), "fit-001", **PERSON)

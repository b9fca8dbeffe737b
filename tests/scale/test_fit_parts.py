"""Heads fitted on the parts of a job are those that the same rows give in memory."""

import json
import os
import shutil
import signal
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from written_job import make_rows, write_job

import cliptune as ct
from cliptune.cli import run_command_line
from cliptune.errors import DataError, InputError, RunError
from cliptune.evaluation.metric_sums import MetricSums
from cliptune.evaluation.metrics import compute_metrics
from cliptune.heads.arrays import log_loss
from cliptune.heads.discriminant import DiscriminantHead
from cliptune.heads.linear import LinearHead
from cliptune.heads.prototype import PrototypeHead
from cliptune.partwise import choosing
from cliptune.partwise.roles import Role, assign_roles
from cliptune.scale.reading import JobRows
from fakes import TinyEncoder

DIM, CLASSES, SCALE = 16, 4, 20.0
ENCODER = TinyEncoder(dim=DIM)


def rows_of(n=1800, **options):
    return make_rows(n, DIM, CLASSES, spread=1.6, **options)


@pytest.fixture(scope="module")
def rows():
    return rows_of()


@pytest.fixture(scope="module")
def job(rows, tmp_path_factory):
    return write_job(tmp_path_factory.mktemp("job") / "job", rows, ENCODER, rows_per_shard=256)


@pytest.fixture(scope="module")
def found(job, tmp_path_factory):
    return ct.fit(job, model=ENCODER, out=tmp_path_factory.mktemp("runs") / "run")


def fit(job, tmp_path, **options):
    return ct.fit(job, **{"model": ENCODER, "out": tmp_path / "run", **options})


def saved_head(run):
    from cliptune.classifiers.calibrated_head import CalibratedHead

    return CalibratedHead.load(str(run)).head


def learned(rows):
    kept = np.array([split != "test" for split in rows.splits])
    return rows.vectors[kept], rows.labels[kept]


def texts_of(rows):
    from cliptune.prompts import ensemble_rows, load_template_set

    return ensemble_rows(
        ENCODER.encode_texts, rows.class_names, load_template_set("simple").templates
    )


@pytest.mark.parametrize("method", ["prototype", "discriminant"])
def test_sums_give_the_head_that_rows_in_memory_give(method, rows, job, tmp_path):
    result = fit(job, tmp_path, method=method)
    kind = {"prototype": PrototypeHead, "discriminant": DiscriminantHead}[method]
    X, y = learned(rows)
    expected = kind(**result.shipped.settings).fit(
        X, y, text_rows=texts_of(rows), logit_scale=ENCODER.logit_scale
    )
    logits = saved_head(tmp_path / "run").predict_logits(X)
    wanted = expected.predict_logits(X)
    np.testing.assert_allclose(logits, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(("mix", "text"), [(1.0, 0.0), (0.3, 1.0)])
def test_discriminants_with_and_without_texts_are_those_in_memory(mix, text, rows):
    from cliptune.partwise.moments import Moments, discriminant_of

    X, y = learned(rows)
    moments = Moments.none(CLASSES, DIM)
    for part in np.array_split(np.arange(len(X)), 7):
        moments.add(X[part], y[part])
    texts, settings = texts_of(rows), {"mix": mix, "text": text, "shrinkage": 0.1}
    wanted = DiscriminantHead(**settings).fit(X, y, text_rows=texts, logit_scale=SCALE)
    ours = discriminant_of(moments, settings, text_rows=texts, logit_scale=SCALE)
    np.testing.assert_allclose(ours.weight_, wanted.weight_, atol=1e-5 * abs(wanted.weight_).max())
    np.testing.assert_allclose(ours.bias_, wanted.bias_, atol=1e-5 * abs(wanted.bias_).max())


def test_linear_is_as_good_as_the_head_in_memory(rows, job, tmp_path):
    result = fit(job, tmp_path, method="linear")
    settings = dict(result.shipped.settings)
    X, y = learned(rows)
    texts = texts_of(rows)
    wanted = LinearHead(**settings).fit(X, y, text_rows=texts, logit_scale=ENCODER.logit_scale)
    ours = saved_head(tmp_path / "run")
    test = np.array(rows.splits) == "test"
    for vectors, labels in ((X, y), (rows.vectors[test], rows.labels[test])):
        gap = log_loss(ours.predict_logits(vectors), labels) - log_loss(
            wanted.predict_logits(vectors), labels
        )
        assert abs(gap) < 1e-3


@pytest.mark.parametrize("text", [0.0, 1.0])
def test_every_penalty_reaches_its_own_minimum_from_far_away(text, rows):
    """Without a sample to start from, all penalties in the same passes."""
    from cliptune.partwise.linear import MULTIPLES, Basis, Regressions
    from cliptune.partwise.moments import Moments

    X, y = learned(rows)
    moments = Moments.none(CLASSES, DIM)
    moments.add(X, y)
    texts, passes = texts_of(rows), []
    shared = Regressions(Basis.of(moments), texts, SCALE)

    def read():
        passes.append(1)
        return ((X[part], y[part]) for part in np.array_split(np.arange(len(X)), 5))

    solved, n_passes = shared.minimise(shared.nothing(MULTIPLES, text), read, len(X))
    assert n_passes == len(passes) > 3
    for number, multiple in enumerate(MULTIPLES):
        wanted = LinearHead(penalty=multiple / len(X), text=text)
        wanted.fit(X, y, text_rows=texts, logit_scale=SCALE)
        ours = shared.head(solved, number, len(X)).predict_logits(X)
        assert abs(log_loss(ours, y) - log_loss(wanted.predict_logits(X), y)) < 1e-3


def test_the_result_names_methods_passes_and_rows(found, rows):
    assert list(found.methods) == ["zero-shot", "prototype", "discriminant", "linear"]
    assert found.recommended in ("discriminant", "linear")
    assert (found.rows, found.test.n) == (1800, rows.splits.count("test"))
    assert found.parts.held_out == rows.splits.count("val")
    assert found.parts.passes_of["prototype"] == found.parts.passes_of["discriminant"] == 1
    # The first pass, those of linear behind it, and the test.
    assert found.passes == found.parts.passes_of["linear"] + 1
    for one in found.methods.values():
        assert one.cross_validation.n == found.parts.held_out
        assert one.test.accuracy.low < one.test.accuracy.value < one.test.accuracy.high
    assert ct.FitResult.from_json(found.to_json()).to_dict() == found.to_dict()


def test_scores_of_the_test_are_those_of_the_written_answers(found, rows):
    table = pq.read_table(f"{found.run}/predictions.parquet")
    assert table["id"].to_pylist() == [
        one for one, split in zip(rows.ids, rows.splits, strict=True) if split == "test"
    ]
    names, shipped = np.array(rows.class_names), found.shipped.method
    right = np.array(table[f"{shipped}.predicted"]) == names[table["label"].to_numpy()]
    assert found.test.accuracy.value == pytest.approx(right.mean())
    wrong = Path(found.run, "misclassified.csv").read_text().splitlines()
    assert len(wrong) - 1 == (~right).sum()


def test_altered_test_labels_change_nothing_but_the_scores_of_the_test(rows, found, tmp_path):
    test = np.array(rows.splits) == "test"
    other = replace_labels(rows, np.where(test, (rows.labels + 1) % CLASSES, rows.labels))
    job = write_job(tmp_path / "job", other, ENCODER, rows_per_shard=256)
    again = fit(job, tmp_path)
    assert again.test.accuracy.value < 0.5 < found.test.accuracy.value
    assert again.recommended == found.recommended
    for name, one in found.methods.items():
        own = again.methods[name]
        assert (own.settings, own.temperature) == (one.settings, one.temperature)
        assert own.cross_validation == one.cross_validation
    first, second = saved_head(found.run).state(), saved_head(again.run).state()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def replace_labels(rows, labels):
    return SimpleNamespace(**{**vars(rows), "labels": labels})


def test_vectors_of_half_precision_are_read(rows, found, tmp_path):
    job = write_job(tmp_path / "job", rows, ENCODER, rows_per_shard=700, dtype="float16")
    again = fit(job, tmp_path)
    assert again.test.accuracy.value == pytest.approx(found.test.accuracy.value, abs=0.02)
    assert again.methods["linear"].test.log_loss.value == pytest.approx(
        found.methods["linear"].test.log_loss.value, abs=0.01
    )


def test_rows_without_a_label_are_left_out_and_counted(rows, tmp_path):
    labels = rows.labels.copy()
    labels[[3, 500, 1001, 1799]] = -1
    job = write_job(tmp_path / "job", replace_labels(rows, labels), ENCODER)
    result = fit(job, tmp_path, method="prototype")
    assert result.parts.without_label == 4
    assert result.n_train + result.test.n == 1796
    assert "4 rows without a label are left out" in result.notes
    kept = np.array(rows.splits) != "test"
    kept &= labels >= 0
    wanted = PrototypeHead().fit(rows.vectors[kept], labels[kept], logit_scale=20.0)
    np.testing.assert_allclose(saved_head(result.run).prototypes_, wanted.prototypes_, atol=1e-5)


def test_a_class_only_in_the_test_is_said_and_not_scored(rows, tmp_path):
    test = np.array(rows.splits) == "test"
    labels = np.where(test & (np.arange(len(test)) // 9 % 3 == 2), CLASSES, rows.labels)
    only = SimpleNamespace(
        **{**vars(rows), "labels": labels, "class_names": [*rows.class_names, "zebra"]}
    )
    n_only = int((labels == CLASSES).sum())
    assert n_only > 10
    result = fit(write_job(tmp_path / "job", only, ENCODER), tmp_path, method="discriminant")
    assert result.class_names == tuple(rows.class_names)
    assert result.test.n == test.sum() - n_only
    said = f"1 class only in the test ('zebra'): the classifier cannot know it, and {n_only} test"
    assert any(note.startswith(said) for note in result.notes)


def test_a_class_only_in_val_is_learned(rows, tmp_path):
    val = np.array(rows.splits) == "val"
    labels = np.where(val & (np.arange(len(val)) % 2 == 0), CLASSES, rows.labels)
    only = SimpleNamespace(
        **{**vars(rows), "labels": labels, "class_names": [*rows.class_names, "zebra"]}
    )
    result = fit(write_job(tmp_path / "job", only, ENCODER), tmp_path, method="prototype")
    assert "zebra" in result.class_names
    assert result.parts.held_out == int((val & (labels < CLASSES)).sum())


@pytest.mark.parametrize(
    ("splits", "n_test"),
    [(("train", "train", "val"), 600), (("train",), None), ((None,), None), (("test",), None)],
)
def test_a_test_is_found_or_cut_class_by_class(splits, n_test, tmp_path):
    own = rows_of(splits=splits)
    job = JobRows.open(write_job(tmp_path / "job", own, ENCODER))
    roles = assign_roles(job, seed=0)
    n = roles.counts.sum(axis=0)
    assert n.sum() == 1800
    if n_test is not None:
        assert roles.n(Role.TEST) == n_test
    else:
        np.testing.assert_allclose(roles.counts[Role.TEST] / n, 0.2, atol=0.02)
    share = roles.counts[Role.HELD] / (n - roles.counts[Role.TEST])
    np.testing.assert_allclose(share, 0.2, atol=0.02)
    again, other = assign_roles(job, seed=0), assign_roles(job, seed=1)
    assert np.array_equal(again.of, roles.of)
    assert not np.array_equal(other.of, roles.of)


def test_roles_do_not_depend_on_the_order_or_the_parts(rows, tmp_path):
    own = rows_of(splits=("train",))
    order = np.random.default_rng(0).permutation(1800)
    shuffled = SimpleNamespace(
        **{
            **vars(own),
            "ids": [own.ids[n] for n in order],
            "labels": own.labels[order],
            "splits": [own.splits[n] for n in order],
            "vectors": own.vectors[order],
        }
    )
    first = assign_roles(JobRows.open(write_job(tmp_path / "a", own, ENCODER)), seed=0)
    second = assign_roles(
        JobRows.open(write_job(tmp_path / "b", shuffled, ENCODER, rows_per_shard=999)), seed=0
    )
    assert np.array_equal(first.of[order], second.of)


def test_a_share_to_hold_out_is_honoured_or_refused(rows, job, tmp_path):
    own = write_job(tmp_path / "job", rows_of(splits=("train", "train", "test")), ENCODER)
    result = fit(own, tmp_path, method="prototype", val=0.4)
    assert result.parts.held_out == pytest.approx(0.4 * 1200, rel=0.03)
    with pytest.raises(InputError, match="leave --val out"):
        fit(job, tmp_path / "other", val=0.3)


def test_held_out_rows_have_a_bound(monkeypatch, rows, job):
    from cliptune.partwise import roles

    monkeypatch.setattr(roles, "_MOST_HELD", 50)
    found = assign_roles(JobRows.open(job), seed=0)
    assert 30 <= found.n(Role.HELD) <= 70
    assert found.n(Role.HELD, Role.REST) == rows.splits.count("val")


REFUSED = {
    "another method": {"method": "knn"},
    "shots": {"shots": 4},
    "balance": {"balance": "loss", "method": "linear"},
    "class thresholds": {"class_thresholds": True, "method": "linear"},
    "images without labels": {"unlabelled": ".", "method": "linear"},
    "features": {"features": "both", "method": "linear"},
    "an option of heads": {"method": "linear", "epochs": 3},
    "how data are read": {"dataset": ct.DataOptions(group_column="patient")},
    "how sure labels are": {"dataset": ct.DataOptions(label_confidence="sure")},
    "an engine": {"compute": ct.ComputeOptions(engine="onnx")},
    "crops": {"model": "lite", "compute": ct.ComputeOptions(crops=2)},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_parts_cannot_give_is_refused_in_one_line(what, job, tmp_path):
    with pytest.raises(InputError, match=r"there one can ask for --method all") as refusal:
        fit(job, tmp_path, **REFUSED[what])
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_another_model_or_weights_are_refused(job, tmp_path):
    with pytest.raises(InputError, match="was embedded by 'tiny'"):
        fit(job, tmp_path, model="ViT-B-32/openai")
    with pytest.raises(InputError, match="other weights"):
        fit(job, tmp_path, model=TinyEncoder(dim=DIM, seed=1))
    assert not (tmp_path / "run").exists()


def test_training_of_the_model_is_refused(job, capsys):
    assert run_command_line(["fit", str(job), "--method", "lora"]) == 2
    assert "trains on images" in capsys.readouterr().err


def test_a_job_that_is_not_finished_or_was_altered_is_refused(job, tmp_path):
    again = tmp_path / "job"
    shutil.copytree(job, again)
    part = again / "parts/part-000001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    with pytest.raises(RunError, match=r"part-000001.parquet' cannot be read"):
        fit(again, tmp_path)
    part.unlink()
    with pytest.raises(RunError, match=r"part-000001.parquet' cannot be read"):
        fit(again, tmp_path)
    (again / "manifest.json").unlink()
    with pytest.raises(RunError, match="is not finished"):
        fit(again, tmp_path)
    record = json.loads((again / "job.json").read_text())
    (again / "job.json").write_text(json.dumps({**record, "digest": "0"}))
    with pytest.raises(RunError, match="was altered"):
        fit(again, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("labels", "said"), [(-1, "have no labels"), (2, "is one class")])
def test_no_labels_or_one_class_are_refused(labels, said, rows, tmp_path):
    same = replace_labels(rows, np.full(len(rows.labels), labels))
    with pytest.raises(DataError, match=said):
        fit(write_job(tmp_path / "job", same, ENCODER), tmp_path)


def test_vectors_of_another_length_are_refused(rows, tmp_path):
    job = write_job(tmp_path / "job", rows, ENCODER)
    wider = TinyEncoder(dim=DIM)
    wider.dim = DIM + 1
    with pytest.raises(RunError, match=f"vectors have {DIM} numbers"):
        fit(job, tmp_path, model=wider, method="prototype")


@pytest.fixture
def interruptible():
    """Python's own answer to Ctrl-C, which it leaves out where a shell started it behind ``&``."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_any_pass_leaves_nothing(job, tmp_path):
    for stage in ("pass 1", "linear", "the locked test"):
        with pytest.raises(KeyboardInterrupt):
            fit(job, tmp_path, progress=_stop_at(stage))
        assert not (tmp_path / "run").exists()


def _stop_at(stage):
    def tell(event):
        if stage in getattr(event, "stage", ""):
            os.kill(os.getpid(), signal.SIGINT)

    return tell


def test_progress_names_passes_and_rows(job, tmp_path):
    events = []
    fit(job, tmp_path, progress=events.append)
    shown = [e for e in events if hasattr(e, "stage")]
    labels = list(dict.fromkeys(e.stage for e in shown))
    assert labels[0] == "reading labels"
    assert labels[-1] == "the locked test"
    assert "pass 2: linear" in labels
    assert {e.unit for e in shown if e.stage.startswith("pass")} == {"rows"}
    last = [e for e in shown if e.stage == "pass 1: sums of classes"][-1]
    assert last.done == last.total == 1800


def traced_peak(job, tmp_path):
    tracemalloc.start()
    try:
        fit(job, tmp_path, method="all")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_rows(monkeypatch, tmp_path):
    """Twelve times the rows take no more than a few bytes a row more; all vectors would be 3 MB."""
    from cliptune.partwise import roles
    from cliptune.scale import reading

    monkeypatch.setattr(roles, "_MOST_HELD", 200)
    monkeypatch.setattr(choosing, "_SAMPLE_ROWS", 200)
    monkeypatch.setattr(reading, "_ROWS", 256)
    sizes, peaks = (4_000, 48_000), []
    for n in (sizes[0], *sizes):  # the first one imports what all need
        folder = tmp_path / f"{n}-{len(peaks)}"
        folder.mkdir()
        own = rows_of(n, splits=("train",) * 9 + ("test",))
        job = write_job(folder / "job", own, ENCODER, rows_per_shard=1000)
        del own
        peaks.append(traced_peak(job, folder))
    more = peaks[2] - peaks[1]
    assert more < 8 * (sizes[1] - sizes[0])
    assert 4 * DIM * (sizes[1] - sizes[0]) > 5 * max(more, 1)


def test_one_row_group_is_read_in_batches(rows, tmp_path):
    job = JobRows.open(write_job(tmp_path / "job", rows, ENCODER, rows_per_shard=1800))
    whole = [len(batch) for batch in job.batches(["vector"])]
    assert whole == [1800]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cliptune.scale.reading._ROWS", 500)
        assert [len(batch) for batch in job.batches(["vector"])] == [500, 500, 500, 300]


def test_parts_without_wanted_rows_are_not_opened(tmp_path, monkeypatch):
    """Tests at the end of a job: the passes over what is learned read no part of them."""
    own = rows_of()
    own.splits = ["train"] * 1500 + ["test"] * 300
    job = write_job(tmp_path / "job", own, ENCODER, rows_per_shard=300)
    opened = []
    usual = JobRows._part

    def count(self, number, start, columns):
        if "vector" in columns:
            opened.append(number)
        return usual(self, number, start, columns)

    monkeypatch.setattr(JobRows, "_part", count)
    result = fit(job, tmp_path)
    assert opened.count(5) == 1  # the test itself
    assert opened.count(0) == result.passes - 1


def test_sums_give_the_scores_of_all_rows_at_once():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 3000)
    logits = rng.normal(size=(3000, 5)) + 2 * np.eye(5)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sums, names = MetricSums(5), list("abcde")
    for part in np.array_split(np.arange(3000), 7):
        sums.add(labels[part], probabilities[part])
    ours, wanted = sums.metrics(names), compute_metrics(labels, probabilities, class_names=names)
    assert np.array_equal(ours.confusion, wanted.confusion)
    assert ours.per_class == wanted.per_class
    assert ours.accuracy == wanted.accuracy
    for name in ("balanced_accuracy", "log_loss", "ece"):
        own, other = getattr(ours, name), getattr(wanted, name)
        assert own.value == pytest.approx(other.value, abs=1e-12)
        width = other.high - other.low
        assert own.low == pytest.approx(other.low, abs=0.1 * width)
        assert own.high == pytest.approx(other.high, abs=0.1 * width)


@pytest.fixture(scope="module")
def embedded(data_root, make_cache, tmp_path_factory):
    """A real job of ants and bees, and where its encoder is."""
    cache, out = make_cache(), tmp_path_factory.mktemp("embedded") / "job"
    words = ["embed", str(data_root / "hymenoptera_data"), "--out", str(out)]
    words += ["--executor", "local", "--workers", "1", "--rows-per-shard", "64"]
    assert run_command_line([*words, "--cache-dir", str(cache), "--engine", "torch"]) == 0
    return out, cache


def test_a_run_that_other_commands_use(embedded, data_root, tmp_path, capsys):
    job, cache = embedded
    run = tmp_path / "run"
    words = ["--cache-dir", str(cache), "--json"]
    capsys.readouterr()
    assert run_command_line(["fit", str(job), "--out", str(run), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["parts"]["rows"] == 397
    assert result["test"]["accuracy"] > 0.9
    picture = sorted((data_root / "hymenoptera_data/val/ants").iterdir())[0]
    assert run_command_line(["predict", str(picture), "--run", str(run), *words]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["labels"][0]["label"] == "ant"
    assert run_command_line(["report", str(run), "--out", str(tmp_path / "report.html")]) == 0
    assert "Fit on" in (tmp_path / "report.html").read_text()
    assert ct.load_classifier(run).class_names == ("ant", "bee")

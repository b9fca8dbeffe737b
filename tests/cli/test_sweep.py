"""``cliptune sweep`` on real images: trials, noise band, advice, files, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line
from cliptune.runs import RunDir


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small_data(data_root, tmp_path_factory):
    """Thirty training and six locked images of each class, split as Hymenoptera is."""
    folder = tmp_path_factory.mktemp("hymenoptera")
    for split, n in (("train", 30), ("val", 6)):
        for name in ("ants", "bees"):
            (folder / split / name).mkdir(parents=True)
            for image in sorted((data_root / "hymenoptera_data" / split / name).iterdir())[:n]:
                shutil.copy(image, folder / split / name)
    return folder


def run(arguments, capsys):
    code = run_command_line([str(word) for word in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out), captured.err


def test_a_sweep_ends_in_advice_and_the_same_command_goes_on_from_it(
    small_data, cache, tmp_path, capsys
):
    arguments = [
        "sweep",
        small_data,
        "--epochs",
        "5",
        "--json",
        "--cache-dir",
        cache,
        "--engine",
        "torch",
    ]
    arguments += ["--grid", "lr=1e-3..1e1:9 wd=0"]
    result, messages = run([*arguments, "--out", tmp_path / "one"], capsys)
    assert "12 images stay locked as the test" in messages
    trials = result["trials"]
    assert len(trials) >= 27
    expected = {"lr", "frozen", "seed", "val_accuracy", "diverged", "seconds"}
    assert all(expected <= set(trial) for trial in trials)
    assert {trial["n_val"] for trial in trials} == {12}
    assert any(trial["diverged"] for trial in trials)
    low, high = (result["within_noise"][end] for end in ("low", "high"))
    assert low <= result["best"]["lr"] <= high
    assert low <= result["recommendation"]["lr"] <= high
    assert result["best"]["n"] == 12
    assert result["recommendation"]["text"].startswith(("Train", "Do not train", "Too few"))
    check_files(tmp_path / "one", result)
    again, messages = run([*arguments, "--out", tmp_path / "two"], capsys)
    assert f"holds {len(trials)} finished trials already" in messages
    assert again["n_trained_here"] == 0
    assert again["trials"] == trials
    assert again["recommendation"] == result["recommendation"]


def check_files(out, result):
    kept = RunDir.open(out).read_json("metrics.json")
    assert kept["trials"] == result["trials"]
    table = pq.read_table(out / "trials.parquet")
    assert table.column("val_accuracy").to_pylist() == [
        trial["val_accuracy"] for trial in result["trials"]
    ]
    curves = pq.read_table(out / "curves.parquet").to_pydict()
    assert set(curves["trial"]) == set(range(len(result["trials"])))
    assert set(result["figures"]) == {"rates", "losses"}
    for paths in result["figures"].values():
        assert (out / "figures").joinpath(paths["png"].split("/")[-1]).stat().st_size > 5000
        assert "<svg" in (out / "figures").joinpath(paths["svg"].split("/")[-1]).read_text()


def test_a_table_and_the_advice_are_printed(small_data, cache, tmp_path, capsys):
    arguments = ["sweep", small_data, "--method", "linear", "--grid", "penalty=1e-3..1e-1:3"]
    arguments += ["--cache-dir", cache, "--engine", "torch", "--out", tmp_path / "run"]
    assert run_command_line([str(word) for word in arguments]) == 0
    shown = capsys.readouterr().out
    assert "penalty" in shown
    assert "Within noise of the best" in shown


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--grid", "lr=1e0..1e-4:9"], "reversed"),
        (["--grid", "lr=1e-2..1e-2:9"], "empty"),
        (["--method", "dual"], "nearest: dual-linear"),
        (["--budget", "soon"], "no time"),
        (["--budget", "0.01s"], "takes about"),
        (["--seeds", "0"], "--seeds 0"),
        (["--storage", "postgresql://me:secret@127.0.0.1:9/db"], "cannot reach the storage"),
        (["--storage", "somewhere"], "no address of a study"),
        (["--train-images", "3"], "--train-images 3"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(
    options, expected, small_data, cache, tmp_path, capsys
):
    arguments = [
        "sweep",
        small_data,
        *options,
        "--cache-dir",
        cache,
        "--engine",
        "torch",
        "--out",
        tmp_path / "run",
    ]
    assert run_command_line([str(word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1]
    assert "secret" not in captured.err
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_a_study_of_other_data_is_refused(small_data, cache, tmp_path, capsys):
    arguments = [
        "sweep",
        small_data,
        "--grid",
        "lr=0.01,0.1",
        "--epochs",
        "1",
        "--cache-dir",
        cache,
        "--engine",
        "torch",
    ]
    arguments += ["--storage", f"sqlite:///{tmp_path / 's.sqlite3'}", "--study", "mine", "--json"]
    run([*arguments, "--out", tmp_path / "run"], capsys)
    other = ["--train-images", "40", "--out", tmp_path / "other"]
    assert run_command_line([str(word) for word in [*arguments, *other]]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "study 'mine' was begun with other data: 20 removed ('train/" in message
    assert not (tmp_path / "other").exists()
    other = ["--template", "an insect, {}", "--out", tmp_path / "other"]
    assert run_command_line([str(word) for word in [*arguments, *other]]) == 2
    assert "study 'mine' was begun with other options (templates:" in capsys.readouterr().err


def test_ctrl_c_keeps_finished_trials_and_prints_the_best_so_far(small_data, cache, tmp_path):
    """Each stack of two ends at once, four hundred of them take a while."""
    storage = f"sqlite:///{tmp_path / 's.sqlite3'}"
    arguments = ["sweep", str(small_data), "--grid", "lr=0.01,0.1", "--epochs", "1", "--json"]
    arguments += ["--cache-dir", str(cache), "--engine", "torch", "--storage", storage]
    slow = [*arguments, "--out", str(tmp_path / "run"), "--seeds", "400"]
    # A shell lets what it starts in the background ignore the signal, and a process inherits that.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; from cliptune.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *slow],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        wait_for_trials(storage)
        process.send_signal(signal.SIGINT)
        out, messages = process.communicate(timeout=120)
    assert process.returncode == 130, messages
    assert "finished trials are kept" in messages
    assert "Traceback" not in messages
    result = json.loads(out)
    assert result["interrupted"]
    assert result["best"]["lr"] in (0.01, 0.1)
    assert len(result["trials"]) >= 2
    assert not (tmp_path / "run").exists()


def wait_for_trials(storage):
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError

    engine = create_engine(storage)
    for _ in range(600):
        time.sleep(0.2)
        try:
            with engine.connect() as connection:
                done = connection.execute(
                    text("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")
                ).scalar()
        except OperationalError:
            continue
        if done >= 2:
            break
    engine.dispose()

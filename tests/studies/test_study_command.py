"""``cliptune study`` on real images: every section, its files, resuming, and wrong input."""

import csv
import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from cliptune.report import Section
from cliptune.studies import SECTION_NAMES

QUICK = "data,top5,zero-shot,heads,map,ship"


@pytest.fixture(scope="module")
def finished(small_insects, cache, tmp_path_factory):
    """One study that several tests look at."""
    from cliptune.cli import run_command_line

    out = tmp_path_factory.mktemp("studies") / "one"
    arguments = ["study", str(small_insects), "--only", QUICK, "--budget", "30m"]
    arguments += ["--out", str(out), "--cache-dir", str(cache)]
    assert run_command_line(arguments) == 0
    return out


@pytest.fixture(scope="module")
def result(finished):
    return json.loads((finished / "study.json").read_text())


def leaves(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_every_section_has_a_question_an_answer_and_its_time(result):
    assert list(result["sections"]) == QUICK.split(",")
    assert {"report", "recommendation", "budget_seconds", "seconds"} <= set(result)
    assert {"engine", "precision"} <= set(result)
    assert result["rows_checked"].keys() == {"n", "largest_difference"}
    for section in result["sections"].values():
        assert section["skipped"] is None
        assert section["question"].endswith("?")
        assert section["conclusion"]
        assert section["numbers"]
        assert section["seconds"] > 0


def test_every_figure_is_svg_and_every_table_is_csv(finished, result):
    for name, section in result["sections"].items():
        for figure in section["figures"]:
            assert (finished / figure).read_text().startswith(("<?xml", "<svg"))
        for table in Section.from_dict(section).tables:
            with (finished / "sections" / name / f"{table.name}.csv").open() as file:
                rows = list(csv.reader(file))
            assert len(rows) == 1 + len(table.rows)


def test_every_number_of_a_table_is_in_the_section_s_json(finished, result):
    for name in result["sections"]:
        values = json.loads((finished / "sections" / f"{name}.json").read_text())
        numbers = {v for v in leaves(values["numbers"]) if isinstance(v, (int, float))}
        for block in values["blocks"]:
            cells = leaves(block["table"]["rows"]) if "table" in block else ()
            counted = {"rank", "n_templates", "n", "share"}  # positions and shares of counts
            columns = [c["name"] for c in block.get("table", {"columns": []})["columns"]]
            if counted & set(columns):
                continue
            assert {c for c in cells if isinstance(c, (int, float))} <= numbers, (name, block)


def test_the_shipped_classifier_is_the_one_that_was_scored(finished, result, run, data_root):
    shipped = result["sections"]["ship"]["numbers"]["recommended"]
    assert result["command"] == shipped["command"]
    image = next((data_root / "hymenoptera_data/val/bees").iterdir())
    code, answer, _ = run("predict", image, "--run", finished / shipped["run"])
    assert code == 0
    assert answer["predictions"][0]["labels"][0]["label"] == "bee"


@pytest.mark.parametrize("method", ["discriminant", "linear"])
def test_a_classifier_s_command_makes_it_again(finished, result, run, tmp_path, method):
    methods = result["sections"]["ship"]["numbers"]["methods"]
    kept = next(m for m in methods if m["method"] == method)
    code, again, _ = run(*shlex.split(kept["command"])[1:], "--out", tmp_path / "run")
    assert code == 0
    for scores in ("val", "test"):
        assert again[scores]["accuracy"] == kept[scores]["accuracy"]
    assert again["test"]["log_loss"] == kept["test"]["log_loss"]
    assert again["trained_parameters"] == kept["parameters"]


def test_the_page_opens_without_a_word_or_a_request(finished, visit):
    page, complaints, requests = visit(finished / "report.html", 390, "dark")
    assert complaints == []
    assert len(requests) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_a_second_study_finds_every_section(small_insects, finished, result, run, tmp_path):
    code, again, said = run(
        "study", small_insects, "--only", QUICK, "--budget", "30m", "--out", tmp_path / "two"
    )
    assert code == 0
    assert said.count("done before") == len(QUICK.split(","))
    assert again["sections"] == result["sections"]
    assert (tmp_path / "two" / "report.html").is_file()


def test_a_second_study_that_reads_otherwise_prints_its_own_commands(small_insects, run, tmp_path):
    insects = shutil.copytree(small_insects, tmp_path / "insects")
    table = insects / "list.csv"
    files = [file.relative_to(insects).parts for file in sorted(insects.glob("*/*/*"))]
    rows = [["/".join(parts), parts[1], parts[0], "yes"] for parts in files]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "sharp"], *rows])
    sections = "data,heads"
    for out, words in (("plain", ()), ("sharp", ("--where", "sharp=yes"))):
        code, found, said = run(
            "study", table, *words, "--only", sections, "--budget", "30m", "--out", tmp_path / out
        )
        assert code == 0, said
        commands = [value for value in leaves(found) if str(value).startswith("cliptune fit ")]
        assert commands
        assert all(("--where sharp=yes" in command) == bool(words) for command in commands)


def test_a_report_is_rendered_again_without_computing(finished, run):
    before = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    from cliptune.cli import run_command_line

    assert run_command_line(["report", str(finished)]) == 0
    assert (finished / "report.html").read_bytes() == before


def test_interrupted_it_shows_what_is_finished_and_goes_on(
    small_insects, run, make_cache, tmp_path, monkeypatch
):
    from cliptune.studies.sections import heads

    def interrupt(*_):
        raise KeyboardInterrupt

    own_cache = make_cache()
    words = ("study", small_insects, "--only", "data,zero-shot,heads,ship", "--budget", "30m")
    words += ("--out", tmp_path / "study")
    with monkeypatch.context() as patch:
        patch.setattr(heads, "study_heads", interrupt)
        code, answer, said = run(*words, cache=own_cache)
    assert (code, answer) == (130, None)
    assert "the same command goes on" in said
    page = (tmp_path / "study" / "report.html").read_text()
    assert "interrupted before it" in page
    code, answer, said = run(*words, cache=own_cache)
    assert code == 0
    assert said.count("done before") == 2, "what was finished is not done again"
    assert all(s["skipped"] is None for s in answer["sections"].values())


@pytest.mark.parametrize(
    ("missing", "dependent"), [("fine-tuning", "map-after"), ("zero-shot", "ship")]
)
def test_a_section_that_is_left_out_stops_only_what_rests_on_it(
    missing, dependent, small_insects, run, make_cache, tmp_path, monkeypatch
):
    from cliptune.studies.plan import Planner

    plan = Planner.plan

    def without(self, names, clock):
        steps = plan(self, names, clock)
        if missing in steps:
            steps[missing] = dataclasses.replace(steps[missing], left_out="no time is left")
        return steps

    monkeypatch.setattr(Planner, "plan", without)
    sections = ["data", "zero-shot", "heads", "map", "ship", missing, dependent]
    words = ("--only", ",".join(sections), "--budget", "30m", "--out", tmp_path / "study")
    code, answer, said = run("study", small_insects, *words, cache=make_cache())
    assert code == 0, said
    skipped = {name for name, section in answer["sections"].items() if section["skipped"]}
    assert skipped == {missing, dependent}
    assert "times as long" not in answer["sections"]["heads"]["conclusion"]


def shuffled(small_insects, folder):
    """The same images under labels that have nothing to do with them."""
    shutil.copytree(small_insects, folder, dirs_exist_ok=True)
    images = sorted(folder.rglob("*.jpg"))
    rng = np.random.default_rng(3)
    lines = ["image,label,split"]
    for split in ("train", "val"):
        own = [path for path in images if path.parent.parent.name == split]
        labels = rng.permutation([path.parent.name for path in own])
        lines += [
            f"{path.relative_to(folder)},{label},{split}"
            for path, label in zip(own, labels, strict=True)
        ]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


def test_shuffled_labels_end_in_no_recommendation(small_insects, run, tmp_path):
    data = shuffled(small_insects, tmp_path)
    code, result, _ = run(
        "study", data, "--only", "data,zero-shot,heads,ship", "--budget", "30m", "--out",
        tmp_path / "study",
    )  # fmt: skip
    assert code == 0
    assert result["recommendation"] is None
    assert result["command"] == ""
    assert "Ship nothing" in result["sections"]["ship"]["conclusion"]
    assert "label signal" in result["sections"]["data"]["conclusion"]


def test_perfect_zero_shot_is_said(small_insects, run, tmp_path, cache):
    """Images that lite gets right are kept; on these there is nothing to gain."""
    code, scored, _ = run("evaluate", small_insects, "--split", "train", "--out", tmp_path / "e")
    assert code == 0
    wrong = set()
    if scored["accuracy"] < 1:
        with (tmp_path / "e" / "misclassified.csv").open() as file:
            wrong = {row["id"].split("/")[-1] for row in csv.DictReader(file)}
    folder = tmp_path / "right"
    shutil.copytree(small_insects, folder)
    for path in folder.rglob("train/*/*.jpg"):
        if path.name in wrong:
            path.unlink()
    code, result, _ = run(
        "study", folder, "--only", "zero-shot,ship", "--budget", "30m", "--out",
        tmp_path / "study",
    )  # fmt: skip
    assert code == 0
    assert "already perfect" in result["sections"]["zero-shot"]["conclusion"]
    assert result["recommendation"].startswith("Do not train: zero-shot is perfect")


def test_unlabelled_images_get_the_sections_that_need_no_labels(data_root, run, tmp_path):
    folder = tmp_path / "loose"
    folder.mkdir()
    for image in sorted((data_root / "hymenoptera_data/val/bees").iterdir())[:12]:
        shutil.copy(image, folder)
    code, result, _ = run("study", folder, "--budget", "30m", "--out", tmp_path / "study")
    assert code == 0
    done = [n for n, s in result["sections"].items() if s["skipped"] is None]
    assert done == ["data", "top5"]
    assert result["sections"]["top5"]["numbers"]["names"] == 1000
    assert all("labels" in s["skipped"] for n, s in result["sections"].items() if n not in done)


def test_too_few_images_for_a_test_leave_out_what_needs_one(data_root, run, tmp_path):
    folder = tmp_path / "few"
    for name in ("ants", "bees"):
        (folder / name).mkdir(parents=True)
        image = next((data_root / "hymenoptera_data/val" / name).iterdir())
        shutil.copy(image, folder / name)
    code, result, _ = run("study", folder, "--budget", "30m", "--out", tmp_path / "study")
    assert code == 0
    sections = result["sections"]
    assert sections["zero-shot"]["skipped"] is None
    assert "too small to lock a test away" in " ".join(sections["zero-shot"]["notes"])
    assert "too small" in sections["heads"]["skipped"]
    assert "map needs at least" in sections["map"]["skipped"]
    assert result["recommendation"] is None


def test_data_without_a_test_get_one_and_say_so(small_insects, run, tmp_path):
    shutil.copytree(small_insects / "train", tmp_path / "train")
    code, result, _ = run(
        "study", tmp_path / "train", "--only", "data", "--budget", "30m", "--out", tmp_path / "s"
    )
    assert code == 0
    notes = " ".join(result["sections"]["data"]["notes"])
    assert "the data come without a test" in notes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--budget", "soon"), "90s"),
        (("--budget", "1s"), "the least is --budget"),
        (("--only", "zero-shots"), "zero-shot"),
        (("--only", "map", "--skip", "map"), "leave no section"),
        (("--image", "nowhere.jpg", "--only", "top5", "--budget", "29m"), "nowhere.jpg"),
        (("--model", "lite2"), "lite"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(words, expected, small_insects, run, tmp_path):
    out = tmp_path / "study"
    code, answer, said = run("study", small_insects, "--out", out, *words)
    assert (code, answer) == (2, None)
    assert expected in said.splitlines()[-1]
    assert not out.exists()


def test_a_folder_of_another_study_is_not_touched(finished, data_root, run):
    before = (finished / "study.json").read_bytes()
    other = data_root / "hymenoptera_data"
    code, _, said = run("study", other, "--split", "val", "--out", finished, "--only", "data")
    assert code == 2
    assert "was begun with other data" in said
    assert (finished / "study.json").read_bytes() == before


def test_a_study_goes_on_with_the_images_of_its_start_only(small_insects, run, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_insects, data)
    words = ("study", data, "--only", "data", "--budget", "30m", "--out", tmp_path / "study")
    assert run(*words)[0] == 0
    before = (tmp_path / "study" / "study.json").read_bytes()
    first, second, *_ = sorted((data / "train" / "ants").iterdir())
    first.write_bytes(second.read_bytes())
    second.rename(second.with_name("zz.jpg"))
    code, _, said = run(*words)
    assert code == 2
    named = [f"1 removed ('train/ants/{second.name}')", "1 added ('train/ants/zz.jpg')"]
    named.append(f"1 changed ('train/ants/{first.name}')")
    assert ", ".join(named) in said.splitlines()[-1]
    assert (tmp_path / "study" / "study.json").read_bytes() == before


def test_every_section_is_found_and_its_function_is_there():
    from cliptune.studies.section_specs import SECTIONS

    assert tuple(SECTIONS) == SECTION_NAMES
    assert all(callable(spec.load()) for spec in SECTIONS.values())
    places = {name: spec.place for name, spec in SECTIONS.items()}
    for name, spec in SECTIONS.items():
        earlier = {*spec.draws_on, *([spec.rests_on] if spec.rests_on else [])}
        assert all(places[other] < places[name] for other in earlier)


def test_killed_outright_it_goes_on_where_it_was(small_insects, run, make_cache, tmp_path, cache):
    own_cache, out = make_cache(), tmp_path / "study"
    shutil.copytree(cache / "features", own_cache / "features")
    words = ["study", str(small_insects), "--only", "data,top5,zero-shot", "--budget", "31m"]
    words += ["--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "cliptune", *words, "--cache-dir", str(own_cache)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = out / "sections" / "data.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = first.read_bytes()
    code, result, said = run(*words, cache=own_cache)
    assert code == 0
    assert "data (done before)" in said
    assert first.read_bytes() == kept
    assert all(s["skipped"] is None for s in result["sections"].values())

"""Small data sets as people have them, each read by the command line beside the right value.

    python tests/cases.py ../shared/cases

prints every case of a folder of cases with what came and what is right, and ends with 1 when one
of them is wrong. Each case is a folder with a README that tells where it comes from. The values
are of the encoder ``lite``.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "Answer", "Case", "run_case"]


@dataclass(frozen=True)
class Answer:
    """How a command ended: its exit code, its JSON object and its messages."""

    code: int
    result: dict[str, Any]
    messages: str


@dataclass(frozen=True)
class Case:
    """A command, and what is right.

    Attributes:
        name: The folder of the case, and which of its data.
        commands: Arguments, relative to the folder; the last one's answer counts.
        right: What is right, in words.
        is_right: Tells it of an answer.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    right: str
    is_right: Callable[[Answer], bool]

    @property
    def folder(self) -> str:
        """The folder of the case."""
        return self.name.partition(" ")[0]


def _scored(n: int, accuracy: float, *, says: str = "") -> Callable[[Answer], bool]:
    def is_right(answer: Answer) -> bool:
        got = answer.result
        near = abs(got.get("accuracy", -1) - accuracy) < 6e-4
        return answer.code == 0 and got.get("n") == n and near and says in answer.messages

    return is_right


def _several(n: int, names: list[str]) -> Callable[[Answer], bool]:
    def is_right(answer: Answer) -> bool:
        metrics = answer.result.get("metrics", {})
        same = answer.result.get("class_names") == names and metrics.get("n") == n
        return answer.code == 0 and same and answer.result.get("task") == "label-sets"

    return is_right


def _refused(*words: str) -> Callable[[Answer], bool]:
    def is_right(answer: Answer) -> bool:
        lines = [line for line in answer.messages.splitlines() if line]
        return answer.code == 2 and bool(lines) and all(word in lines[-1] for word in words)

    return is_right


def _counts(key: str, n: int, *, says: str = "") -> Callable[[Answer], bool]:
    def is_right(answer: Answer) -> bool:
        value: Any = answer.result
        for part in key.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        return answer.code == 0 and value == n and says in answer.messages

    return is_right


def _recalls(value: float) -> Callable[[Answer], bool]:
    def is_right(answer: Answer) -> bool:
        found = answer.result.get("image_to_text", {}).get("recall_at_1", -1)
        return answer.code == 0 and abs(found - value) < 6e-4

    return is_right


def _evaluate(
    name: str, data: str, right: str, is_right: Callable[[Answer], bool], *options: str
) -> Case:
    return Case(name, (("evaluate", data, *options),), right, is_right)


_FIT = ("fit", "train", "--method", "linear", "--out", "{out}/run")
_RUN = ("--run", "{out}/run")
CASES = (
    *(
        _evaluate(
            f"01-numbered-folders {data}, {names}",
            data,
            "45.5 % of 200",
            _scored(200, 0.455),
            "--class-names",
            names,
        )
        for data in ("data", "prefixed")
        for names in ("names.txt", "names.json")
    ),
    _evaluate("02-split-words a", "a", "95 % of 20, test set apart", _scored(20, 0.95)),
    _evaluate("02-split-words b", "b", "95 % on eval", _scored(20, 0.95)),
    _evaluate("02-split-words c", "c", "95 % on seg_test", _scored(20, 0.95)),
    _evaluate("03-side-table data", "data", "93.8 % of the table's 16", _scored(16, 0.9375)),
    _evaluate("04-metadata-and-folders data", "data", "93.8 % of 16", _scored(16, 0.9375)),
    _evaluate("04-metadata-and-folders data2", "data2", "93.8 % of 16", _scored(16, 0.9375)),
    _evaluate("06-dotted-names mixed.tar", "mixed.tar", "all 20 samples", _counts("n", 20)),
    _evaluate("06-dotted-names inputs.tar", "inputs.tar", "all 20 samples", _counts("n", 20)),
    _evaluate("06-dotted-names augs.tar", "augs.tar", "both views of all 8", _counts("n", 16)),
    _evaluate("07-png-text data", "data", "all 12", _counts("n", 12)),
    _evaluate(
        "07-png-text data, skip", "data", "all 12", _counts("n", 12), "--on-bad-image", "skip"
    ),
    _evaluate(
        "09-several-labels labels.jsonl",
        "labels.jsonl",
        "three classes, several labels an image",
        _several(20, ["ant", "bee", "flower"]),
    ),
    _evaluate(
        "09-several-labels labels.parquet",
        "labels.parquet",
        "three classes, several labels an image",
        _several(20, ["ant", "bee", "flower"]),
    ),
    *(
        Case(
            f"12-absent-class {data} {' '.join(options)}".strip(),
            (_FIT, ("evaluate", data, *_RUN, *options)),
            "42 scored, elephant said to be absent",
            _counts("n", 42, says="elephant"),
        )
        for data, options in (
            ("three", ()),
            ("three-and-empty", ()),
            ("three", ("--class-names", "names.txt")),
        )
    ),
    _evaluate(
        "14-same-caption captions.jsonl",
        "captions.jsonl",
        "R@1 71.4 %",
        _recalls(20 / 28),
        "--task",
        "retrieval",
    ),
    _evaluate(
        "14-same-caption varied.jsonl",
        "varied.jsonl",
        "20 images with 1 to 5 captions, 4 without",
        _counts("image_to_text.n", 20),
        "--task",
        "retrieval",
    ),
    _evaluate("16-shards-by-class s", "s-{0..1}.tar", "95 % of 20", _scored(20, 0.95)),
    _evaluate("16-shards-by-class csv", "csv", "the 18 of test.csv, 4 classes", _counts("n", 18)),
    _evaluate("16-shards-by-class words", "words-{0..1}.tar", "95 % of 20", _scored(20, 0.95)),
    *(
        Case(
            f"17-unlabelled-test {' '.join(options)}".strip(),
            (("fit", "data", "--method", "linear", *options),),
            "learns from the 40 of train, cuts 8 for a test",
            _counts("test.n", 8),
        )
        for options in ((), ("--split", "train"))
    ),
    Case(
        "17-unlabelled-test predict",
        (
            ("fit", "data", "--method", "linear", "--out", "{out}/run"),
            ("predict", "data/test", *_RUN),
        ),
        "an answer for each of the 10 of test",
        lambda answer: answer.code == 0 and len(answer.result.get("predictions", ())) == 10,
    ),
)


def run_case(case: Case, cases: Path, cache: Path) -> Answer:
    """Run a case's commands on a copy of its folder, and return how the last one ended.

    Args:
        case: What to run.
        cases: The folder of cases.
        cache: Where embeddings, and the classifiers of a case, are kept between cases.
    """
    from cliptune.cli import run_command_line

    answer = Answer(0, {}, "")
    with tempfile.TemporaryDirectory() as place, _working_in(cases / case.folder):
        for command in case.commands:
            words = [word.replace("{out}", str(cache / "runs" / case.folder)) for word in command]
            if words[0] == "fit" and Path(words[-1], "manifest.json").is_file():
                continue
            if "--out" not in words and words[0] != "predict":
                words += ["--out", f"{place}/last"]
            printed, said = io.StringIO(), io.StringIO()
            with redirect_stdout(printed), redirect_stderr(said):
                code = run_command_line([*words, "--json", "--cache-dir", str(cache)])
            text = printed.getvalue()
            answer = Answer(code, json.loads(text) if text.strip() else {}, said.getvalue())
            if code:
                break
    return answer


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _came(answer: Answer) -> str:
    """Say in a few words what came."""
    if answer.code:
        return f"exit {answer.code}: {answer.messages.strip().splitlines()[-1][:150]}"
    got = answer.result
    if "predictions" in got:
        return f"{len(got['predictions'])} predictions"
    if "image_to_text" in got:
        found = got["image_to_text"]
        return f"R@1 {100 * found['recall_at_1']:.1f} % of {found['n']}"
    if got.get("task") == "label-sets":
        area = got["metrics"]["mean_average_precision"]["value"]
        return f"mAP {100 * area:.1f} % of {got['metrics']['n']}"
    scores = got.get("test", got)
    return f"{100 * scores['accuracy']:.1f} % of {scores['n']}"


def main(cases: Path) -> int:
    """Print every case that is there with what came and what is right."""
    cache = Path(os.environ.get("CLIPTUNE_CACHE") or tempfile.mkdtemp())
    wrong = 0
    for case in CASES:
        if not (cases / case.folder).is_dir():
            sys.stdout.write(f"absent  {case.name}\n")
            continue
        answer = run_case(case, cases, cache)
        right = case.is_right(answer)
        wrong += not right
        word = "right" if right else "WRONG"
        sys.stdout.write(f"{word}   {case.name}: {_came(answer)} (right: {case.right})\n")
        sys.stdout.flush()
    sys.stdout.write(f"{wrong} wrong\n")
    return int(wrong > 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/cases.py FOLDER_OF_CASES")
    sys.exit(main(Path(sys.argv[1]).resolve()))

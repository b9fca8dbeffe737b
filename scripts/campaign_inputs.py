"""The part of the campaign that gives wrong options, wrong data and altered runs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from campaign_options import NOWHERE, OPTIONS
from campaign_tools import Tally, Workplace, draw_picture, refusal_fault

from cliptune.features import list_cache

__all__ = ["run"]

_LONG = "x" * 300
_DEEP = "[" * 50_000 + "]" * 50_000
_HALF = "\ud800"  # half a character


def run(work: Workplace, tally: Tally) -> None:
    """Try every wrong input."""
    _try_options(work, tally)
    _try_data(work, tally)
    _try_runs(work, tally)
    _try_processes(work, tally)


def _try_options(work: Workplace, tally: Tally) -> None:
    """Options with data that are not there: the line has to speak of the option."""
    for command, lines in OPTIONS.items():
        name, *words = shlex.split(command)
        for line in lines:
            outcome = work.here([name, NOWHERE, *words, *shlex.split(line)])
            fault = refusal_fault(outcome)
            if not fault and NOWHERE in outcome.last_line:
                fault = f"data were looked at first: {outcome.last_line}"
            tally.add("options", f"{command} {line}", fault)


def _try_data(work: Workplace, tally: Tally) -> None:
    for name, make in _DATA.items():
        folder = work.new("strange")
        folder.mkdir()
        data = make(folder)
        for command, more in (("evaluate", ()), ("predict", ("--labels", "ant,bee"))):
            if command == "predict" and name not in _ALSO_PREDICT:
                continue
            out = work.new("out")
            place = [] if command == "predict" else ["--out", out]
            words = [command, data, "--model", work.model, "--engine", "torch", *place, *more]
            tally.add("data", f"{command} {name}", refusal_fault(work.here(words), out=out))
    _try_counts(work, tally)


def _try_counts(work: Workplace, tally: Tally) -> None:
    """What numbers of images and layers rule out, before an image is embedded."""
    cases = {
        "fit": [
            *("--shots 1000", "--method full --batch-size 999", "--method full --watch nowhere"),
            *("--method full --train image.last99", "--method full --freeze all"),
            *("--method lora --rank 100000", "--method full --unfreeze 0:tail"),
        ],
        "check": ["--method lora --rank 100000"],
        "sweep": ["--train-images 99999"],
    }
    for command, lines in cases.items():
        for line in lines:
            cache, out = work.new("cache"), work.new("out")
            words = [command, work.data, "--model", work.model, "--cache-dir", cache, "--out", out]
            outcome = work.here([*words, *shlex.split(line)])
            fault = refusal_fault(outcome, out=out)
            n = sum(entry.n_vectors for entry in list_cache(cache) if entry.kind == "pooled")
            fault = fault or (f"{n} images were embedded before" if n else "")
            tally.add("counts", f"{command} {line}", fault)


def _try_runs(work: Workplace, tally: Tally) -> None:
    good = work.new("run")
    base = ["--model", work.model, "--engine", "torch"]
    fitted = work.here(["fit", work.data, "--method", "prototype", *base, "--out", good])
    tally.add("runs", "a run to alter", "" if fitted.code == 0 else fitted.err[-400:])
    picture = next((work.data / "test").rglob("*.png"))
    for name, alter in _ALTERED.items():
        run = work.new("altered")
        shutil.copytree(good, run)
        alter(run)
        for words in (["predict", picture, "--run", run], ["evaluate", work.data, "--run", run]):
            out = work.new("out")
            place = ["--out", out] if words[0] == "evaluate" else []
            fault = refusal_fault(work.here([*words, *place]), out=out)
            tally.add("runs", f"{words[0]} {name}", fault)


def _try_processes(work: Workplace, tally: Tally) -> None:
    """A sample of all this as real processes."""
    for line in (
        f"fit {NOWHERE} --seed -1",
        f"sweep {NOWHERE} --grid lr=nan",
        "evaluate 's-{000..30000000000}.tar'",
        f"predict {_LONG}.png --labels a,b",
    ):
        tally.add("processes", line, refusal_fault(work.apart(shlex.split(line))))


def _lines(*rows: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        draw_picture(1).save(folder / "a.png")
        (folder / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        return folder / "m.jsonl"

    return make


def _raw(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _tree(*names: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            draw_picture(number).save(folder / name, format="PNG")
        return folder

    return make


def _parquet(path: object, kind: pa.DataType) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        cells = pa.struct([("bytes", pa.binary()), ("path", kind)])
        images = pa.array([{"bytes": None, "path": path}] * 2, cells)
        pq.write_table(pa.table({"image": images, "label": ["a", "b"]}), folder / "t.parquet")
        return folder / "t.parquet"

    return make


def _pipe(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return make


def _loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def _broken_image(folder: Path) -> Path:
    _tree("ant/a.png", "bee/b.png")(folder)
    (folder / "ant" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


_DATA: dict[str, Callable[[Path], Path]] = {
    "nothing there": lambda folder: folder / "nothing",
    "an empty folder": lambda folder: folder,
    "a name of 300 letters": lambda folder: folder / _LONG,
    "a name of 5,000 letters": lambda folder: folder / ("y/" * 2500),
    "braces for 30 billion shards": lambda folder: folder / "s-{000..30000000000}.tar",
    "braces for no shard": lambda folder: folder / "s-{3..1}.tar",
    "a link to itself": _loop,
    "a pipe": _pipe("pipe"),
    "a pipe that is called a table": _pipe("pipe.csv"),
    "a pipe that is called a shard": _pipe("pipe.tar"),
    "one class": _tree("ant/a.png", "ant/b.png"),
    "images beside class folders": _tree("ant/a.png", "b.png"),
    "images that are none": _broken_image,
    "no labels": _tree("a.png", "b.png"),
    "two classes of one name": _tree("ant_lion/a.png", "ant-lion/b.png"),
    "a class that is no text": _tree("caf\udce9/a.png", "tea/b.png"),
    "a path that is a number": _lines({"image": 3, "label": "a"}),
    "a path with a null byte": _lines({"image": "a\0.png", "label": "a"}),
    "a path that is no text": _lines({"image": _HALF, "label": "a"}),
    "a path that is too long": _lines({"image": f"{_LONG}.png", "label": "a"}),
    "a path out of the folder": _lines({"image": "../../a.png", "label": "a"}),
    "a label that is no text": _lines({"image": "a.png", "label": _HALF}),
    "one image of several labels": _lines({"image": "a.png", "label": ["a", "b"]}),
    "labels within labels": _lines({"image": "a.png", "label": [["a"], "b"]}),
    "labels that are none": _lines(*[{"image": "a.png", "label": []}] * 2),
    "a caption that is no text": _lines({"image": "a.png", "caption": _HALF}),
    "one image twice": _lines(*[{"image": "a.png", "label": "a"}] * 2),
    "rows that are no objects": _lines(3, [1]),
    "no column of images": _lines({"x": "a.png", "label": "a"}),
    "JSON nested beyond reason": _raw("m.jsonl", f'{{"image": {_DEEP}}}'.encode()),
    "a number of 5,000 digits": _raw(
        "m.jsonl", b'{"image": "a.png", "label": ' + b"9" * 5000 + b"}"
    ),
    "bytes as a table": _raw("m.csv", bytes(range(256)) * 4),
    "a header alone": _raw("m.csv", b"image,label\n"),
    "rows of other lengths": _raw("m.csv", b"image,label\na.png\nb.png,x,y\n"),
    "an empty table": _raw("m.csv", b""),
    "bytes as Parquet": _raw("t.parquet", b"PAR1" + bytes(100) + b"PAR1"),
    "bytes as a shard": _raw("s.tar", bytes(range(256)) * 4),
    "an empty shard": _raw("s.tar", bytes(10240)),
    "a compressed shard": _raw("s.tar.gz", b"\x1f\x8b" + bytes(100)),
    "a file of another kind": _raw("notes.txt", b"hello"),
    "Parquet with a path that is a number": _parquet(7, pa.int64()),
    "Parquet with a path with a null byte": _parquet("a\0b", pa.string()),
    "Parquet with a path that is too long": _parquet(_LONG, pa.string()),
    "Parquet with a path out of the folder": _parquet("../../x", pa.string()),
}
_ALSO_PREDICT = (
    *("nothing there", "an empty folder", "a name of 300 letters", "a link to itself", "a pipe"),
    *("braces for 30 billion shards", "JSON nested beyond reason", "a path with a null byte"),
)


def _edit(file: str, change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def alter(run: Path) -> None:
        value = json.loads((run / file).read_text())
        change(value)
        (run / file).write_text(json.dumps(value))

    return alter


def _replace(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda run: (run / file).write_bytes(data) and None


def _unlink(file: str) -> Callable[[Path], None]:
    return lambda run: (run / file).unlink()


_ALTERED: dict[str, Callable[[Path], None]] = {
    "without a manifest": _unlink("manifest.json"),
    "without a head": _unlink("head.safetensors"),
    "without a classifier": _unlink("classifier.json"),
    "a manifest that is a list": _replace("manifest.json", b"[]"),
    "a manifest of bytes": _replace("manifest.json", bytes(range(256))),
    "a manifest nested beyond reason": _replace("manifest.json", _DEEP.encode()),
    "a head of nothing": _replace("head.safetensors", b""),
    "a head of zeros": _replace("head.safetensors", bytes(64)),
    "a classifier with other classes": _edit("classifier.json", lambda c: c.update(class_names=[])),
    "a manifest of the future": _edit("manifest.json", lambda m: m.update(format_version=99)),
    "a manifest without files": _edit("manifest.json", lambda m: m.update(files={})),
    "a manifest whose files are a list": _edit("manifest.json", lambda m: m.update(files=[1])),
}

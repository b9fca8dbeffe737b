"""The part of the campaign that puts a strange file at every path, and alters folders of shards."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from campaign_tools import Tally, Workplace, refusal_fault

__all__ = ["run"]

_DEEP = b"[" * 50_000 + b"]" * 50_000
_KINDS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda at: None,
    "a folder": lambda at: at.mkdir(),
    "a pipe": os.mkfifo,
    "a link to itself": lambda at: at.symlink_to(at),
    "a link to a device": lambda at: at.symlink_to("/dev/zero"),
    "an empty file": lambda at: at.write_bytes(b""),
    "bytes": lambda at: at.write_bytes(bytes(range(256)) * 8),
    "JSON nested beyond reason": lambda at: at.write_bytes(b'{"a": ' + _DEEP + b"}"),
    "a list of numbers": lambda at: at.write_bytes(b"[1, 2]"),
    "not a number": lambda at: at.write_bytes(b'{"a": NaN, "format_version": NaN}'),
    "a number of 5,000 digits": lambda at: at.write_bytes(b'{"a": ' + b"9" * 5000 + b"}"),
    "half a character": lambda at: at.write_bytes(b'["\\ud800", "b", "c"]'),
    "a line without end": lambda at: at.write_bytes(b"x" * 200_000),
}
# What takes a path ({at}), and the kinds that are right there.
_PATHS: dict[str, Sequence[str]] = {
    "fit {data} {model} --class-names {at} --out {out}": (),
    "evaluate {data} {model} --journal {at} --out {out}": (),
    "evaluate {data} {model} --labels-from {at} --out {out}": (),
    "evaluate {data} --run {at} --out {out}": (),
    "evaluate {data} --model {at} --out {out}": (),
    "predict {image} {model} --labels {at}": (),
    "predict {image} --run {at}": (),
    "predict {at} --run {run}": (),
    "relabel {data} {at}": (),
    "relabel {data} {answers} --journal {at}": ("nothing",),
    "label-next {data} {model} --journal {at}": ("nothing",),
    "label-next {data} --run {at}": (),
    "fit {data} {model} --method full --resume {at}": (),
    "fit {data} {model} --method full --watch {at} --out {out}": (),
    "serve {at}": (),
    "serve {run} --token-file {at}": (),
    "index {at}": (),
    "search {at} ant": (),
    "report {at}": (),
    "export {at} --out {out}": (),
    "export {run} --data {at} --out {out}": (),
    "app {data} --no-browser --run {at}": (),
    "map {data} --run {at} --out {out}": (),
}


def run(work: Workplace, tally: Tally) -> None:
    """Try every kind of file at every path, and what may be wrong in a folder of shards."""
    good = _make_good(work, tally)
    for line, right in _PATHS.items():
        for kind, make in _KINDS.items():
            at, out = work.new("strange"), work.new("out")
            make(at)
            outcome = work.here(shlex.split(line.format(at=at, out=out, **good)))
            fine = kind in right and outcome.code == 0
            fault = "" if fine else refusal_fault(outcome, out=out)
            tally.add("paths", f"{line}: {kind}", fault)
    for name, (alter, refused_by) in _ALTERED.items():
        for command in ("index {}", "search {} ant", "embed {data} {model} {shards} --out {}"):
            job = work.new("job")
            shutil.copytree(good["job"], job)
            alter(job)
            outcome = work.here(shlex.split(command.format(job, **good)))
            refused = command.split()[0] in refused_by
            fault = refusal_fault(outcome) if refused else outcome.err[-400:] * bool(outcome.code)
            tally.add("shards", f"{command}: {name}", fault)


def _make_good(work: Workplace, tally: Tally) -> dict[str, object]:
    """Make what is right, to be spoilt; the words of commands by what they stand for."""
    run, job, answers = work.new("run"), work.new("job"), work.new("a").with_suffix(".csv")
    answers.write_text("id,label\ntrain/ant/0.png,ant\n")
    model = f"--model {shlex.quote(str(work.model))} --engine torch"
    shards = "--executor local --workers 1 --rows-per-shard 40"
    for line in (
        f"fit {work.data} --method prototype {model} --out {run}",
        f"embed {work.data} {shards} {model} --out {job}",
        f"index {job}",
    ):
        outcome = work.here(shlex.split(line))
        tally.add("paths", line, "" if outcome.code == 0 else outcome.err[-400:])
    image = next((work.data / "test").rglob("*.png"))
    return {
        "data": work.data, "image": image, "run": run, "job": job, "answers": answers,
        "model": model, "shards": shards,
    }  # fmt: skip


def _edit(file: str, **changes: object) -> Callable[[Path], None]:
    """Change values of a JSON object; ``a__b`` is ``b`` within ``a``."""

    def alter(job: Path) -> None:
        value = json.loads((job / file).read_text())
        for name, change in changes.items():
            at = value
            *above, last = name.split("__")
            for key in above:
                at = at[key]
            at[last] = change
        (job / file).write_text(json.dumps(value))

    return alter


def _write(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda job: (job / file).write_bytes(data) and None


def _part(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """Change the first part and leave what it says of itself."""

    def alter(job: Path) -> None:
        file = job / _FIRST
        table = pq.read_table(file, partitioning=None)
        pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), file)

    return alter


def _with_vectors(value: float, length: int = 32) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        flat = pa.array(np.full(len(table) * length, value, np.float32))
        column = pa.FixedSizeListArray.from_arrays(flat, length)
        return table.set_column(table.column_names.index("vector"), "vector", column)

    return change


_FIRST = "parts/part-000000.parquet"
_ALL = ("index", "search", "embed")
_READERS = ("index", "search")
_ALTERED: Mapping[str, tuple[Callable[[Path], None], Sequence[str]]] = {
    "no record": (lambda job: (job / "job.json").unlink(), _ALL),
    "a record of bytes": (_write("job.json", bytes(range(256))), _ALL),
    "a record nested beyond reason": (_write("job.json", b'{"a": ' + _DEEP + b"}"), _ALL),
    "a record of other rows": (_edit("job.json", facts__rows=7), _READERS),
    "a record of rows that are true": (_edit("job.json", facts__rows=True), _READERS),
    "a record of another model": (_edit("job.json", facts__model="../x"), _READERS),
    "no manifest": (lambda job: (job / "manifest.json").unlink(), _READERS),
    "a manifest of bytes": (_write("manifest.json", bytes(range(256))), _READERS),
    "a manifest without parts": (_edit("manifest.json", parts=[]), _READERS),
    "parts that are numbers": (_edit("manifest.json", parts=[1, 2, 3]), _READERS),
    "parts that are text": (_edit("manifest.json", parts="abc"), _READERS),
    "rows that are text": (_edit("manifest.json", rows="many"), _READERS),
    "rows that are none": (_edit("manifest.json", rows=-1), _READERS),
    "a part out of the folder": (
        _edit("manifest.json", parts=[{"file": "../x", "rows": 40, "sha256": "0"}] * 3), _READERS,
    ),
    "a part of bytes": (_write(_FIRST, bytes(range(256))), _READERS),
    "a part that is cut": (lambda job: os.truncate(job / _FIRST, 900), _READERS),
    "a part that is gone": (lambda job: (job / _FIRST).unlink(), _READERS),
    "a part of fewer rows": (_part(lambda table: table.slice(0, 3)), _READERS),
    "a part without names": (_part(lambda table: table.drop_columns("id")), _READERS),
    # A search reads the index alone, which was made before.
    "a part without vectors": (_part(lambda table: table.drop_columns("vector")), ("index",)),
    "vectors of another length": (_part(_with_vectors(1.0, 7)), ("index",)),
    "vectors that are no numbers": (_part(_with_vectors(float("nan"))), ("index",)),
    "vectors without end": (_part(_with_vectors(float("inf"))), ("index",)),
    "an index of bytes": (_write("index.usearch", bytes(range(256))), ("search",)),
    "an index that is cut": (lambda job: os.truncate(job / "index.usearch", 5000), ("search",)),
    "an index of nothing": (_write("index.usearch", b""), ("search",)),
    "an index without facts": (lambda job: (job / "index.json").unlink(), ("search",)),
    "an index of another job": (_edit("index.json", job="x"), ("search",)),
    "an index of other rows": (_edit("index.json", rows=1), ("search",)),
    "failures of bytes": (_write("failed.json", bytes(range(256))), ("embed",)),
    "failures that are numbers": (_write("failed.json", b'{"0": 1, "x": 2}'), ()),
    "what a kill left": (_write("parts/.tmp-x.parquet", b"x"), ()),
}  # fmt: skip

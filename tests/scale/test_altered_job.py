"""What somebody altered in a folder of shards is refused in one line, or computed again."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cliptune.cli import run_command_line

FIRST = "parts/part-000000.parquet"


@pytest.fixture(scope="module")
def job(data_root, make_cache, tmp_path_factory):
    """A finished job with an index, and how it was made."""
    pytest.importorskip("usearch", reason="needs the extra scale")
    place = tmp_path_factory.mktemp("job")
    for name in ("ants", "bees"):
        (place / "data" / name).mkdir(parents=True)
        for image in sorted((data_root / "hymenoptera_data/train" / name).iterdir())[:4]:
            shutil.copy(image, place / "data" / name)
    words = ["embed", str(place / "data"), "--cache-dir", str(make_cache()), "--engine", "torch"]
    words += ["--executor", "local", "--workers", "1", "--rows-per-shard", "4", "--out"]
    assert run_command_line([*words, str(place / "job")]) == 0
    assert run_command_line(["index", str(place / "job")]) == 0
    return place / "job", words


@pytest.fixture
def altered(job, tmp_path):
    shutil.copytree(job[0], tmp_path / "job")
    return tmp_path / "job"


def edit(folder, **changes):
    value = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(value | changes))


def spoil_part(folder, change):
    table = pq.read_table(folder / FIRST, partitioning=None)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), folder / FIRST)


def fill(value, length):
    def change(table):
        flat = pa.array(np.full(len(table) * length, value, np.float32))
        column = pa.FixedSizeListArray.from_arrays(flat, length)
        return table.set_column(table.column_names.index("vector"), "vector", column)

    return change


ALTERED = {
    "rows that are text": lambda at: edit(at, rows="many"),
    "rows below none": lambda at: edit(at, rows=-1),
    "parts that are text": lambda at: edit(at, parts="abc"),
    "parts that are numbers": lambda at: edit(at, parts=[1, 2]),
    "other counts": lambda at: edit(at, rows=7),
    "a part of fewer rows": lambda at: spoil_part(at, lambda table: table.slice(0, 2)),
    "a part without ids": lambda at: spoil_part(at, lambda table: table.drop_columns("id")),
    "vectors of another length": lambda at: spoil_part(at, fill(1.0, 7)),
    "vectors that are no numbers": lambda at: spoil_part(at, fill(float("nan"), 512)),
    "a part that is cut": lambda at: os.truncate(at / FIRST, 900),
    "no part": lambda at: (at / FIRST).unlink(),
}


def refused(words, capsys):
    assert run_command_line(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("cliptune: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("what", ALTERED)
def test_no_index_is_made_of_it(what, altered, capsys):
    before = (altered / "index.usearch").stat().st_mtime_ns
    ALTERED[what](altered)
    refused(["index", str(altered)], capsys)
    assert (altered / "index.usearch").stat().st_mtime_ns == before
    if what.startswith(("rows", "parts", "other", "a part of", "a part without", "no part")):
        refused(["search", str(altered), "an ant", "--n", "8"], capsys)


@pytest.mark.parametrize("n_bytes", [0, 2000])
def test_an_index_that_is_cut_is_not_searched(n_bytes, altered, capsys):
    os.truncate(altered / "index.usearch", n_bytes)
    assert "cut or altered" in refused(["search", str(altered), "an ant"], capsys)


def test_an_altered_part_is_computed_again(job, altered):
    spoil_part(altered, fill(float("nan"), 512))
    assert run_command_line([*job[1], str(altered)]) == 0
    assert pq.read_table(altered / FIRST).equals(pq.read_table(job[0] / FIRST))
    assert run_command_line(["index", str(altered)]) == 0

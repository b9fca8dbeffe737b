"""A finished job folder written from arrays, as ``cliptune embed --executor`` leaves one."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cliptune.scale.parts import file_digest
from cliptune.scale.plan import JobPlan


def make_rows(n, dim, n_classes, *, seed=0, spread=0.9, splits=("train",) * 7 + ("val", "test")):
    """Draw unit rows around class centres with a common part, shuffled over splits."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, dim)) / np.sqrt(dim)
    common = rng.normal(size=dim) / np.sqrt(dim)
    labels = rng.integers(0, n_classes, n)
    scales = np.linspace(1.5, 0.5, dim) / np.sqrt(dim)
    rows = common + centres[labels] + spread * rng.normal(size=(n, dim)) * scales
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return SimpleNamespace(
        ids=[f"image-{number}" for number in range(n)],
        labels=labels,
        splits=[splits[number % len(splits)] for number in range(n)],
        vectors=rows.astype(np.float32),
        class_names=[f"class {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[:n_classes]],
    )


def write_job(folder, rows, encoder, *, rows_per_shard=64, dtype="float32", row_group=None):
    """Write a job of rows; a label below 0 is none."""
    facts = {
        "images": "0" * 64,
        "rows": len(rows.ids),
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "preprocess": encoder.preprocess.to_dict(),
        "engine": "torch",
        "precision": encoder.precision,
        "rows_per_shard": rows_per_shard,
        "dtype": dtype,
        "on_bad_image": "fail",
        "layout": 1,
    }
    plan = JobPlan(json.loads(json.dumps(facts)), len(rows.ids), rows_per_shard)
    plan.begin(folder)
    parts = []
    for number in range(plan.n_shards):
        path = plan.part(folder, number)
        path.parent.mkdir(exist_ok=True)
        table = _part(rows, list(plan.rows(number)), dtype, plan.digest)
        pq.write_table(table, path, compression="zstd", row_group_size=row_group)
        entry = {"file": path.relative_to(folder).as_posix(), "rows": len(table)}
        parts.append({**entry, "sha256": file_digest(path)})
    manifest = {"job": plan.digest, "facts": plan.facts, "rows": len(rows.ids), "parts": parts}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _part(rows, numbers, dtype, digest):
    labels = [int(rows.labels[n]) for n in numbers]
    vectors = rows.vectors[numbers].astype(dtype)
    kind = pa.float16() if dtype == "float16" else pa.float32()
    columns = {
        "id": pa.array([rows.ids[n] for n in numbers]),
        "path": pa.array([f"{rows.ids[n]}.jpg" for n in numbers]),
        "label": pa.array([c if c >= 0 else None for c in labels], pa.int64()),
        "class_name": pa.array([rows.class_names[c] if c >= 0 else None for c in labels]),
        "split": pa.array([rows.splits[n] or None for n in numbers], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.ravel(), kind), vectors.shape[1]
        ),
    }
    said = {
        "cliptune.job": digest,
        "cliptune.skipped": "[]",
        "cliptune.class_names": json.dumps(rows.class_names),
    }
    return pa.table(columns).replace_schema_metadata(said)

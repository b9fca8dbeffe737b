"""``fit`` on an embedding job of 5,000,000 rows of 512 numbers: passes, time, memory, accuracy.

    python bench/fit_parts.py [--rows 5000000] [--peer-rows 500000] [--method all] [--quick]

Clustered unit rows of 100 classes, invented, float32, are written part by part as a finished job
into the temporary folder (2.2 kB a row: 11 GB; the space is looked at first) and removed again. One
row in ten is the test. ``fit`` runs in a fresh process, whose peak of resident memory the kernel
tells (VmHWM). Beside it scikit-learn's ``SGDClassifier.partial_fit`` (logistic loss, averaged, one
pass, the best of three penalties on the test itself, which favours it) reads the first rows of the
same parts. The encoder is a small one with random weights, so that
the peak is that of the rows and not of a model; its class texts say nothing here.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import at_most, write

DIM, CLASSES, SHARD = 512, 100, 4096
SPREAD = 7.0  # of rows around their centre, in lengths of the centre
BYTES_A_ROW = 2200
ALLOWED = 2.0  # GB
PENALTIES = (1e-5, 1e-6, 1e-7)


def centres():
    rng = np.random.default_rng(0)
    common = rng.standard_normal(DIM) * 0.8
    own = rng.standard_normal((CLASSES, DIM)) * np.arange(1, DIM + 1) ** -0.25
    return (common + own / np.linalg.norm(own, axis=1, keepdims=True) * 4).astype(np.float32)


def draw(number, n, means):
    """Return rows and labels of a part; the same for the same number."""
    rng = np.random.default_rng([1, number])
    labels = rng.integers(0, CLASSES, n)
    rows = rng.standard_normal((n, DIM), dtype=np.float32)
    rows *= np.float32(SPREAD * 4 / np.sqrt(DIM)) * np.linspace(1.3, 0.4, DIM, dtype=np.float32)
    rows += means[labels]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, labels


def write_job(folder, n):
    """Write a finished job of n rows, a part at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cliptune.encoders import load_encoder
    from cliptune.scale.parts import file_digest
    from cliptune.scale.plan import JobPlan

    encoder = load_encoder(str(small_model()), device="cpu", precision="fp32")
    facts = {"images": "0" * 64, "rows": n, "model": encoder.name,
             "fingerprint": encoder.fingerprint, "preprocess": encoder.preprocess.to_dict(),
             "engine": "torch", "precision": "fp32", "rows_per_shard": SHARD, "dtype": "float32",
             "on_bad_image": "fail", "layout": 1}  # fmt: skip
    plan = JobPlan(json.loads(json.dumps(facts)), n, SHARD)
    plan.begin(folder)
    names = [f"class {number}" for number in range(CLASSES)]
    said = {"cliptune.job": plan.digest, "cliptune.skipped": "[]",
            "cliptune.class_names": json.dumps(names)}  # fmt: skip
    means, parts = centres(), []
    for number in range(plan.n_shards):
        place = plan.rows(number)
        rows, labels = draw(number, len(place), means)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), DIM)
        columns = {
            "id": pa.array([f"row-{row:09d}" for row in place]),
            "path": pa.array([f"row-{row:09d}.jpg" for row in place]),
            "label": pa.array(labels),
            "class_name": pa.array([names[label] for label in labels]),
            "split": pa.array(["test" if row % 10 == 9 else "train" for row in place]),
            "vector": vectors,
        }
        path = plan.part(folder, number)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns).replace_schema_metadata(said), path, compression="zstd")
        entry = {"file": path.relative_to(folder).as_posix(), "rows": len(place)}
        parts.append({**entry, "sha256": file_digest(path)})
    manifest = {"job": plan.digest, "facts": plan.facts, "rows": n, "parts": parts}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def peak_gb():
    """Return the most resident memory that this process had so far."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e9


def small_model():
    """Write a model with embeddings of 512 numbers and little else, and return its folder."""
    import torch
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model

    folder = Path(tempfile.gettempdir()) / "cliptune-bench-small-512"
    if not (folder / "open_clip_model.safetensors").exists():
        torch.manual_seed(0)
        folder.mkdir(exist_ok=True)
        vision = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}
        text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
        config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text}
        described = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described))
        save_file(build_model(config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def fit(folder, method):
    """Fit in this process and print what came out; passes go to standard error."""
    import cliptune as ct

    began, last = time.perf_counter(), [""]

    def tell(event):
        label = getattr(event, "stage", None)
        if label and label != last[0]:
            last[0] = label
            said = f"{time.perf_counter() - began:7.0f} s, {peak_gb():.2f} GB at most  {label}"
            print(said, file=sys.stderr, flush=True)

    result = ct.fit(folder, method=method, out=Path(folder) / "run", progress=tell)
    methods = {
        name: {"seconds": one.seconds, "passes": result.parts.passes_of[name],
               "test": one.test.accuracy.value, "log_loss": one.test.log_loss.value,
               "held_out": one.cross_validation.accuracy, "settings": dict(one.settings)}
        for name, one in result.methods.items()
    }  # fmt: skip
    print(json.dumps({
        "rows": result.rows, "passes": result.passes, "recommended": result.recommended,
        "seconds": result.seconds_total, "peak_gb": peak_gb(), "n_test": result.test.n,
        "methods": methods,
    }))  # fmt: skip


def peer(folder, n):
    """Learn from the first n rows by ``partial_fit``, and answer the test rows among them."""
    import pyarrow.parquet as pq
    from sklearn.linear_model import SGDClassifier

    began = time.perf_counter()
    models = {alpha: SGDClassifier(loss="log_loss", alpha=alpha, average=True, random_state=0)
              for alpha in PENALTIES}  # fmt: skip
    tests, seconds, seen = [], dict.fromkeys(PENALTIES, 0.0), 0
    for path in sorted(Path(folder, "parts").iterdir()):
        if seen >= n:
            break
        table = pq.read_table(path, columns=["label", "split", "vector"])
        rows = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), DIM)
        labels, test = table["label"].to_numpy(), np.array(table["split"].to_pylist()) == "test"
        tests.append((rows[test], labels[test]))
        for alpha, model in models.items():
            start = time.perf_counter()
            model.partial_fit(rows[~test], labels[~test], classes=np.arange(CLASSES))
            seconds[alpha] += time.perf_counter() - start
        seen += len(table)
    rows, labels = (np.concatenate(one) for one in zip(*tests, strict=True))
    scores = {alpha: float(model.score(rows, labels)) for alpha, model in models.items()}
    best = max(scores, key=scores.get)
    reading = time.perf_counter() - began - sum(seconds.values())
    print(json.dumps({"rows": seen, "alpha": best, "test": scores[best], "n_test": len(labels),
                      "seconds": seconds[best] + reading}))  # fmt: skip


def apart(what, *words):
    command = [sys.executable, __file__, "--do", what, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def row(what, way, value, unit):
    return {"what": what, "way": way, "median": value, "low": value, "high": value, "unit": unit}


def measure(n, n_peer, method):
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < 1.2 * n * BYTES_A_ROW:
        raise SystemExit(
            f"{n:,} rows take {n * BYTES_A_ROW / 1e9:.1f} GB and {free / 1e9:.1f} are free in "
            f"{tempfile.gettempdir()!r}; give --rows fewer or TMPDIR another place"
        )
    with tempfile.TemporaryDirectory(prefix="cliptune-bench-parts-") as place:
        folder, began = Path(place) / "job", time.perf_counter()
        apart("write", folder, n)
        print(f"{n:,} rows written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        return apart("fit", folder, method), apart("peer", folder, min(n, n_peer))


def report(ours, theirs, kept_as):
    about = (
        f"{ours['rows']:,} invented rows of {DIM} numbers, {CLASSES} classes, float32, one in ten "
        f"the test; {ours['passes']} passes over the vectors, {ours['recommended']} recommended."
    )
    rows = [row("all methods", "ours", ours["seconds"], "s"),
            row("peak of resident memory", "ours", ours["peak_gb"], "GB")]  # fmt: skip
    for name, one in ours["methods"].items():
        rows += [row(f"{name}: time, the pass for the sums included", "ours", one["seconds"], "s"),
                 row(f"{name}: passes", "ours", one["passes"], "passes"),
                 row(f"{name}: accuracy on {ours['n_test']:,} test rows", "ours", one["test"],
                     "share")]  # fmt: skip
    way = f"SGDClassifier.partial_fit, first {theirs['rows']:,} rows, alpha {theirs['alpha']:g}"
    scored = f"accuracy on {theirs['n_test']:,} test rows"
    rows += [row("one pass", way, theirs["seconds"], "s")]
    rows += [row(scored, way, theirs["test"], "share")]
    targets = [at_most("peak of resident memory", [ours["peak_gb"]], ALLOWED, "GB")]
    write(kept_as, {"about": about, "ours": ours, "peer": theirs}, targets, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--peer-rows", type=int, default=500_000)
    parser.add_argument("--method", default="all", help="of fit; another has a file of its own")
    parser.add_argument("--quick", action="store_true", help="20,000 rows: does it work")
    parser.add_argument("--do", nargs="+", help="one step, in this process")
    options = parser.parse_args()
    if options.do:
        step, folder, word = options.do
        steps = {"write": write_job, "fit": fit, "peer": peer}
        return steps[step](Path(folder), word if step == "fit" else int(word))
    n = 20_000 if options.quick else options.rows
    found = measure(n, min(n, options.peer_rows), options.method)
    return report(*found, "fit_parts" + (f"_{options.method}" if options.method != "all" else ""))


if __name__ == "__main__":
    main()

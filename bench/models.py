"""Models of 2026 at their true size: beside transformers, converted, and started again.

    python bench/models.py [DATA] [--runs 3] [--quick]

SigLIP 2 B/16 with random weights, saved by transformers: photographs and texts to embeddings beside
transformers' own class in its documented way, in fp32 and, where the processor has it, bf16. Then
what converted SigLIP 2, MobileCLIP2-S0 and PE-Core-T lose against torch in fp32, and how long one
image takes from command to answer with warm caches, and what is loaded for it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import (
    ROOT,
    Worker,
    alternate,
    data_parser,
    half,
    picture_files,
    rate_row,
    ratio,
    target,
    write,
)

sys.path.insert(0, str(ROOT.parent / "tests" / "encoders"))
FOLDER = Path(tempfile.gettempdir()) / "cliptune-bench-models"
CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
OPEN_CLIP = {"MobileCLIP2-S0": "MobileCLIP2-S0", "PE-Core-T": "PE-Core-T-16-384"}
LIBRARIES = ("open_clip", "transformers.models", "timm")
START = """
import json, sys
from cliptune.cli import run_command_line
code = run_command_line(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def siglip2():
    """Save a SigLIP 2 B/16 of random weights once, with a processor and a small tokenizer."""
    folder = FOLDER / "siglip2-b16"
    if not (folder / "done").exists():
        import torch
        from family_models import gemma_tokenizer, spread
        from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = gemma_tokenizer(folder)
        ids = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
        config = SiglipConfig(
            text_config={"vocab_size": len(tokenizer), **ids},
            vision_config={"image_size": 224, "patch_size": 16},
        )
        torch.manual_seed(0)
        model = SiglipModel(config).eval()
        spread(model)
        model.save_pretrained(folder)
        pictures = SiglipImageProcessor(size={"height": 224, "width": 224}, resample=2)
        SiglipProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
        (folder / "done").touch()
    return folder


def open_clip_folder(name):
    """Save one of open_clip's architectures with random weights once."""
    folder = FOLDER / name
    if not (folder / "done").exists():
        import torch
        from safetensors.torch import save_file

        from cliptune.encoders.open_clip_encoder import build_model
        from cliptune.encoders.published import model_config

        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        config = model_config(name)
        tensors = {k: v.contiguous().clone() for k, v in build_model(config).state_dict().items()}
        save_file(tensors, folder / "open_clip_model.safetensors")
        described = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described))
        (folder / "done").touch()
    return folder


def folders():
    """Return the folders of the models that are converted, by name."""
    published = {name: open_clip_folder(config) for name, config in OPEN_CLIP.items()}
    return {"SigLIP 2 B/16": siglip2(), **published}


def beside_transformers(photographs, texts, runs, precision):
    """Time files and texts; return rows and targets."""
    wanted = {"fp32": 2.0, "bf16": 1.3}[precision]
    folder = siglip2()
    ways = [f"ours:openvino:{precision}:siglip2", f"transformers-siglip:{precision}"]
    workers = [Worker(way, folder) for way in ways]
    rows, targets = [], []
    try:
        for do, name, items, least in (
            ("files", "paths", photographs, wanted),
            ("texts", "texts", texts, 1.3),
        ):
            alternate(workers, 1, do, **{name: items[:32]})  # what only the first call does
            seconds = alternate(workers, runs, do, **{name: items})
            what = f"SigLIP 2 B/16, {precision}: {len(items)} {do}"
            rows += [rate_row(what, way, len(items), s, f"{do}/s") for way, s in seconds.items()]
            found = ratio(seconds[ways[1]], seconds[ways[0]])
            targets.append(target(f"{do} over transformers, {precision}", found, least))
    finally:
        for worker in workers:
            worker.close()
    return rows, targets


def converted(photographs):
    """Compare rows of OpenVINO's graphs with torch in fp32, about their mean."""
    from PIL import Image

    from cliptune.encoders import load_encoder
    from cliptune.encoders.engines import open_on_engine

    rows, targets = [], []
    texts = [f"a photo of {word} number {n}" for n, word in enumerate(["an ant", "a bee"] * 8)]
    for name, folder in folders().items():
        torch_encoder = load_encoder(str(folder), device="cpu", precision="fp32")
        # The format that is chosen for this model where nobody names one.
        encoder = open_on_engine(str(folder), engine="openvino", cache_dir=CACHE)
        pictures = [Image.open(path).convert("RGB") for path in photographs[:32]]
        pixels = np.stack([torch_encoder.preprocess(picture) for picture in pictures])
        cosine = min(
            centred_cosine(encoder.encode_images(pixels), torch_encoder.encode_images(pixels)),
            centred_cosine(encoder.encode_texts(texts), torch_encoder.encode_texts(texts)),
        )
        exact = {"median": cosine, "low": cosine, "high": cosine}
        what = f"{name}: lowest mean-centred cosine to torch in fp32"
        rows.append({"what": what, "way": encoder.precision, **exact, "unit": ""})
        targets.append(target(f"{name}, converted: mean-centred cosine", exact, 0.999, ""))
    return rows, targets


def centred_cosine(rows, exact):
    """Return the lowest cosine of any row to its exact one, both about the exact mean."""
    mean = exact.mean(axis=0)
    ours, theirs = (rows - mean).astype(np.float64), (exact - mean).astype(np.float64)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / lengths).min())


def started_again(runs):
    """Time one image from command to answer, whole processes, after a first start."""
    from PIL import Image

    rows, targets = [], []
    picture, rng = FOLDER / "new.jpg", np.random.default_rng()
    environment = {**os.environ, "CLIPTUNE_CACHE": str(CACHE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # elsewhere modules are compiled once
    for name, folder in folders().items():
        seconds, loaded = [], set()
        for run in range(-1, runs):
            # A new image and a new label each time: nothing of them is in the cache.
            pixels = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(picture)
            command = ["predict", str(picture), "--labels", f"ant,bee,thing {time.time()}"]
            command += ["--model", str(folder), "--engine", "openvino", "--json"]
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", START, *command],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            if run >= 0:
                seconds.append(time.perf_counter() - began)
                code, modules = json.loads(done.stderr.splitlines()[-1])
                assert code == 0, done.stderr
                loaded |= {m for m in modules if m.startswith(LIBRARIES)}
        rows.append(rate_row(f"{name}: one new image and label", "ours", 1, seconds, "answers/s"))
        allowed = ratio([2.5] * runs, seconds)
        targets.append(target(f"{name}: 2.5 s over a second start", allowed, 1, ""))
        libraries = len({module.split(".")[0] for module in loaded})
        none = {"median": libraries, "low": libraries, "high": libraries}
        targets.append({**target(f"{name}: model libraries loaded", none, 0, ""),
                        "met": libraries == 0})  # fmt: skip
    return rows, targets


def main():
    options = data_parser(__doc__).parse_args()
    runs, n_photographs, n_texts = options.runs, 192, 256
    if options.quick:
        runs, n_photographs, n_texts = 1, 40, 40
    photographs, _ = picture_files(options.data, n_photographs, 1)
    texts = [f"a photo of a thing, number {n}, {n % 7} of its kind" for n in range(n_texts)]
    rows, targets = [], []
    for precision in dict.fromkeys(["fp32", half()]):
        for kept, found in zip(
            (rows, targets), beside_transformers(photographs, texts, runs, precision), strict=True
        ):
            kept.extend(found)
    for part in (converted(photographs), started_again(runs)):
        rows.extend(part[0])
        targets.extend(part[1])
    about = (
        f"True sizes, random weights; {n_photographs} photographs, {n_texts} texts, {runs} runs."
    )
    write("models", {"about": about}, targets, rows)


if __name__ == "__main__":
    main()

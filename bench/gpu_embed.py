"""JPEG files on disk to unit embeddings on one GPU: ours beside open_clip's documented way.

    python bench/gpu_embed.py [DATA] [--models ViT-B-32 ViT-L-14] [--files 4096] [--runs 3]

Random weights, on which time does not depend. Both ways run in one process, in turns, with
batches of 256 and a worker (ours: a thread, theirs: a process) for each core; open_clip's model
is in the precision that ours chooses. ``tower`` is one batch from the host's memory to embeddings
in the host's memory: bytes for ours, normalised floats in pinned memory for open_clip. A third
way is ours with the JPEGs decoded on the device, which has no tower of its own.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import data_parser, rate_row, ratio, target, write
from safetensors.torch import save_file

from cliptune.encoders import load_encoder
from cliptune.features.device_reading import device_reader
from cliptune.features.extract import extract
from cliptune.images import open_images
from cliptune.system.processors import usable_cores

BATCH = 256
ON_DEVICE = "cliptune, decoding on the device"


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    parser.add_argument("--files", type=int, default=4096)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    runs, n_files = (1, BATCH) if options.quick else (options.runs, options.files)
    found = sorted(str(p) for p in Path(options.data).rglob("*.jpg"))
    paths = (found * (-(-n_files // len(found))))[:n_files]
    rows, targets = [], []
    for name in options.models:
        ways = both(name, options.device)
        print(f"{name}: embeddings agree, worst cosine {agreement(ways, paths[:64]):.6f}")
        for what, n, call in (("files", n_files, "files"), ("tower", BATCH, "tower")):
            measured = {way: one for way, one in ways.items() if hasattr(one, call)}
            tower_runs = 2 if options.quick else 20
            seconds = in_turns(measured, call, paths, runs if what == "files" else tower_runs)
            for way, times in seconds.items():
                rows.append(rate_row(f"{name}, {what}", way, n, times, "images/s"))
            gain = ratio(seconds["open_clip"], seconds["cliptune"])
            targets.append(target(f"{name}, {what}: over open_clip", gain, 1))
            if ON_DEVICE in seconds:
                gain = ratio(seconds["cliptune"], seconds[ON_DEVICE])
                targets.append(target(f"{name}, {what}: decoding on the device", gain, 1.1))
    named = torch.cuda.get_device_name() if options.device != "cpu" else "no GPU"
    about = (
        f"{named}, {usable_cores()} cores, "
        f"{ways['cliptune'].encoder.precision}, {n_files} JPEG files ({len(found)} different), "
        f"torch {torch.__version__}."
    )
    write("gpu_embed", {"about": about}, targets, rows)


def both(name, device):
    """Give the same random weights to both."""
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(name)
    path = Path(tempfile.gettempdir()) / f"cliptune-gpu-{name}.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    encoder = load_encoder(f"{name}@{path}", device=device)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    model = model.eval().to(device, dtype[encoder.precision])
    return {
        "cliptune": Ours(encoder),
        ON_DEVICE: OnDevice(encoder),
        "open_clip": OpenClip(model, transform, device),
    }


def agreement(ways, paths):
    *ours, theirs = (way.files(paths) for way in ways.values())
    return min((own * theirs).sum(axis=1).min() for own in ours)


def in_turns(ways, call, paths, runs):
    seconds = {way: [] for way in ways}
    for way in ways.values():
        getattr(way, call)(paths[:BATCH])  # warm up
    for run in range(runs):
        for name in list(ways)[:: 1 if run % 2 == 0 else -1]:
            began = time.perf_counter()
            getattr(ways[name], call)(paths)
            seconds[name].append(time.perf_counter() - began)
    return seconds


class Ours:
    def __init__(self, encoder):
        self.encoder = encoder
        size = encoder.preprocess.size
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (BATCH, 3, *size), dtype=np.uint8)

    def files(self, paths):
        batches = extract(self.encoder, open_images(paths), batch_size=BATCH)
        return np.concatenate([batch.vectors for batch in batches])

    def tower(self, _):
        return self.encoder.encode_images(self.pixels)


class OnDevice:
    def __init__(self, encoder):
        self.encoder = encoder

    def files(self, paths):
        table = open_images(paths)
        reader = device_reader(self.encoder, table)
        batches = extract(self.encoder, table, batch_size=BATCH, reader=reader)
        vectors = np.concatenate([batch.vectors for batch in batches])
        assert reader.tally.first, f"nothing was decoded there: {reader.tally.reason}"
        return vectors


class OpenClip:
    def __init__(self, model, transform, device):
        self.model, self.transform, self.device = model, transform, device
        self.dtype = next(model.parameters()).dtype
        size = model.visual.image_size[0]
        self.pixels = torch.randn(BATCH, 3, size, size, pin_memory=device != "cpu")

    def files(self, paths):
        loader = torch.utils.data.DataLoader(
            Files(paths, self.transform), BATCH, num_workers=usable_cores(), pin_memory=True
        )
        return np.concatenate([self.embed(batch) for batch in loader])

    def tower(self, _):
        return self.embed(self.pixels)

    @torch.inference_mode()
    def embed(self, batch):
        images = batch.to(self.device, self.dtype, non_blocking=True)
        rows = self.model.encode_image(images).float()
        return torch.nn.functional.normalize(rows, dim=-1).cpu().numpy()


class Files:
    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


if __name__ == "__main__":
    main()

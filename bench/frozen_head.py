"""Two linear layers on a frozen CLIP: re-encoding all in every epoch, against ``cliptune fit``.

    python bench/frozen_head.py CIFAR10 [--turns 3] [--n-train 1000] [--n-test 500]

CIFAR10 is a folder with train.parquet and test.parquet. The way of the study that started this
project: in each epoch every image and one caption an image goes through the frozen towers, two
linear layers learn by the contrastive loss, and then train and test are scored by encoding them
again. Against it, ``cliptune fit --method dual-linear`` for the same number of epochs, each with a
score on the training and the validation images, as a process of its own without features: imports,
encoding, fitting, the test, the run directory, all of it counts. It is timed at the first use of
the model on a machine, when it is converted and its engine chosen, and on other images after that;
in the precision that ``auto`` takes; where the processor has the instructions in bf16, which
``auto`` takes where it keeps the answers, which random weights, with nearly tied classes, do not;
and where NNCF is installed in 8 bits, which is taken only where it is asked for.
All have one ViT-B/32 with random weights, so only time is compared. An epoch of the study's way,
times five, and our ways take turns; a ratio is taken turn by turn, and its median counts. Writes
bench/results/frozen_head.json and frozen_head.md.
"""

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from harness import result_path
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from cliptune.encoders import Preprocess
from heads import has_bfloat16

EPOCHS = 5
BATCH = 64
RATE = 1e-3
ARCHITECTURE = "ViT-B-32-quickgelu"


def write_images(data: Path, folder: Path, n_train: int, n_test: int) -> list[str]:
    """Write the first images of both splits into class folders; return the class names."""
    names = set()
    for split, n in (("train", n_train), ("test", n_test)):
        rows = pq.ParquetFile(data / f"{split}.parquet").iter_batches(batch_size=n)
        for number, row in enumerate(next(rows).to_pylist()):
            place = folder / split / row["class_name"] / f"{number:05d}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(row["image"]["bytes"])
            names.add(row["class_name"])
    return sorted(names)


class Pictures(Dataset):
    """Images of a split through the published transform, with their class numbers."""

    def __init__(self, folder: Path, names: list[str], transform) -> None:
        self.items = [
            (path, label)
            for label, name in enumerate(names)
            for path in sorted((folder / name).glob("*"))
        ]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int):
        path, label = self.items[index]
        return self.transform(Image.open(path)), label


class StudyWay:
    """A frozen CLIP with one linear layer behind each tower, and nothing remembered."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        from open_clip import get_tokenizer  # the same vocabulary, the same ids

        self.tokenize = get_tokenizer(ARCHITECTURE)
        self.prompts = [f"a photo of a {name}" for name in names]
        self.model = (
            published_model().CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).float().eval()
        )
        self.model.requires_grad_(False)
        self.image_layer, self.text_layer = nn.Linear(512, 512), nn.Linear(512, 512)
        layers = [*self.image_layer.parameters(), *self.text_layer.parameters()]
        self.optimizer = torch.optim.SGD(layers, lr=RATE)
        self.loaders = {
            split: DataLoader(
                Pictures(folder / split, names, published_transform()),
                batch_size=BATCH,
                shuffle=True,
                num_workers=2,
            )
            for split in ("train", "test")
        }

    def run_epoch(self) -> dict[str, float]:
        """Train once over the images, score both splits, and say what each took."""
        seconds = {}
        for part, work in (
            ("train", self.train),
            ("score_train", lambda: self.score("train")),
            ("score_test", lambda: self.score("test")),
        ):
            start = time.perf_counter()
            work()
            seconds[part] = time.perf_counter() - start
        return seconds

    def train(self) -> None:
        for images, labels in self.loaders["train"]:
            tokens = self.tokenize([self.prompts[label] for label in labels])
            logits = self.model.logit_scale.exp() * self.images(images) @ self.texts(tokens).T
            own = torch.arange(len(images))
            loss = nn.functional.cross_entropy(logits, own)
            loss = (loss + nn.functional.cross_entropy(logits.T, own)) / 2
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def score(self, split: str) -> float:
        classes = self.texts(self.tokenize(self.prompts))
        hits = [
            (self.images(images) @ classes.T).argmax(dim=1).eq(labels)
            for images, labels in self.loaders[split]
        ]
        return float(torch.cat(hits).float().mean())

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.image_layer(self.model.encode_image(pixels)), dim=1)

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.text_layer(self.model.encode_text(tokens)), dim=1)


def published_model():
    """Load OpenAI's model.py alone: its package imports pkg_resources, which is gone."""
    folder = Path(importlib.util.find_spec("clip").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("published_clip_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published_transform():
    """Return the transform that comes with that model."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(224, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            lambda image: image.convert("RGB"),
            transforms.ToTensor(),
            transforms.Normalize(Preprocess().mean, Preprocess().std),
        ]
    )


def has_nncf() -> bool:
    """Say whether what quantises to 8 bits is installed."""
    return importlib.util.find_spec("nncf") is not None


def write_weights(path: Path) -> None:
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model
    from cliptune.encoders.published import model_config

    torch.manual_seed(0)
    state = build_model(model_config(ARCHITECTURE)).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)


def run_ours(folder: Path, weights: Path, work: Path, precision: str) -> dict[str, object]:
    """Fit in a process of its own; features that an earlier one left are removed before."""
    for left in ("features", "contents.sqlite"):
        place = work / "cache" / left
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    command = [sys.executable, "-m", "cliptune", "fit", str(folder), "--method", "dual-linear"]
    command += ["--model", f"{ARCHITECTURE}@{weights}", "--epochs", str(EPOCHS), "--json"]
    command += ["--lr", str(RATE), "--template", "a photo of a {}", "--precision", precision]
    command += ["--out", tempfile.mkdtemp(dir=work) + "/run"]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--cache-dir", str(work / "cache")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"CLIPTUNE_CACHE": str(work / "cache")},
    )
    seconds = time.perf_counter() - start
    result = json.loads(done.stdout)
    return {
        "seconds": seconds,
        "fit_seconds": result["seconds"],
        "epochs": len(result["epochs"]) - 1,
        "precision": result["precision"],
    }


def ratios_of(found: dict, precision: str) -> list[float]:
    """Return how many times as long the study's five epochs take, turn by turn."""
    return [
        EPOCHS * sum(epoch.values()) / run["seconds"]
        for epoch, run in zip(found["epochs"], found["known"][precision], strict=True)
    ]


def render(found: dict) -> str:
    parts = ", ".join(
        f"{part} {statistics.median(epoch[part] for epoch in found['epochs']):.1f} s"
        for part in found["epochs"][0]
    )
    an_epoch = statistics.median(sum(epoch.values()) for epoch in found["epochs"])
    lines = [
        "# Two linear layers on a frozen ViT-B/32",
        "",
        f"`{found['command']}`; {found['n_train']} training and {found['n_test']} test images, "
        f"batches of {BATCH}, {found['threads']} threads, {found['machine']}. Medians of "
        f"{len(found['epochs'])} turns; only ratios carry over to another machine.",
        "",
        "| way | measured | five epochs | the study's way takes, times as long |",
        "|---|---|---|---|",
        f"| the study's, fp32 | epochs of {an_epoch:.1f} s ({parts}) | {EPOCHS * an_epoch:.1f} s, "
        "multiplied up | 1 |",
    ]
    for precision, runs in found["known"].items():
        first, ratios = found["first"][precision], ratios_of(found, precision)
        name = f"`fit --method dual-linear --precision {precision}` ({first['precision']})"
        seconds = statistics.median(run["seconds"] for run in runs)
        lines += [
            f"| {name}, first use of the model | the whole process, once | "
            f"{first['seconds']:.1f} s | {EPOCHS * an_epoch / first['seconds']:.1f} |",
            f"| {name}, model known, images new | the whole process, of which the fit "
            f"{statistics.median(run['fit_seconds'] for run in runs):.1f} s | {seconds:.1f} s | "
            f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f}) |",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--n-train", type=int, default=1000)
    parser.add_argument("--n-test", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    if options.turns < 1:
        parser.error(f"--turns {options.turns}: expected 1 or more")
    precisions = ["auto", *(["bf16"] if has_bfloat16() else []), *(["int8"] if has_nncf() else [])]
    found = {
        "command": f"python bench/frozen_head.py cifar10 {' '.join(sys.argv[2:])}".strip(),
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "n_train": options.n_train,
        "n_test": options.n_test,
        "epochs": [],
        "first": {},
        "known": {precision: [] for precision in precisions},
    }
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        names = write_images(options.data, work / "images", options.n_train, options.n_test)
        write_weights(work / "weights.safetensors")

        def measure(precision: str) -> dict[str, object]:
            own = work / precision
            own.mkdir(exist_ok=True)
            run = run_ours(work / "images", work / "weights.safetensors", own, precision)
            print(f"cliptune, {precision}: {run['seconds']:.1f} s", flush=True)
            return run

        found["first"] = {precision: measure(precision) for precision in precisions}
        way = StudyWay(work / "images", names)
        for _ in range(options.turns):
            found["epochs"].append(way.run_epoch())
            print(f"study, an epoch: {sum(found['epochs'][-1].values()):.1f} s", flush=True)
            for precision, runs in found["known"].items():
                runs.append(measure(precision))
    result_path("frozen_head", "json").write_text(json.dumps(found, indent=1) + "\n")
    result_path("frozen_head", "md").write_text(render(found))
    print(render(found))


if __name__ == "__main__":
    main()

"""One way of embedding in a process of its own: ours, or a peer in its documented way.

    python bench/worker.py WAY MODEL_FOLDER      # reads one JSON request a line, answers each

It is run by our interpreter or by that of the peers' environment; every model but ``lite`` has
random weights, on which time does not depend. Requests: ``{"do": "files", "paths": [...]}``,
``{"do": "tower", "n": 64}``, ``{"do": "texts", "texts": [...]}``, ``{"do": "zero_shot", ...}``.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

BATCH = 64


class Ours:
    def __init__(self, way, folder):
        from cliptune.encoders.engines import open_on_engine

        _, engine, precision, model = way.split(":")
        name = "lite" if model == "lite" else folder
        cache = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
        self.encoder = open_on_engine(name, engine=engine, precision=precision, cache_dir=cache)
        self.cache = cache

    def files(self, paths):
        from cliptune.features.extract import extract
        from cliptune.images import open_images

        return sum(len(b.rows) for b in extract(self.encoder, open_images(paths)))

    def tower(self, n):
        import numpy as np

        size = self.encoder.preprocess.size
        pixels = np.random.default_rng(0).integers(0, 256, (n, 3, *size), dtype=np.uint8)
        self.encoder.encode_images(pixels)

    def texts(self, texts):
        self.encoder.encode_texts(texts, truncate=True)

    def zero_shot(self, paths, names, templates):
        from cliptune.heads.zero_shot import ZeroShotHead
        from cliptune.prompts import ensemble_rows

        rows = ensemble_rows(self.encoder.encode_texts, names, templates)
        head = ZeroShotHead().fit(None, None, text_rows=rows, logit_scale=100.0)
        from cliptune.features.extract import extract
        from cliptune.images import open_images

        for batch in extract(self.encoder, open_images(paths)):
            head.predict_proba(batch.vectors)


class Torch:
    """What the peers share: a loop over a DataLoader with two workers, batches of 64."""

    autocast = False

    def images(self, batch):
        raise NotImplementedError

    def files(self, paths):
        import torch

        loader = torch.utils.data.DataLoader(Files(paths, self.load), BATCH, num_workers=2)
        rows = [self.unit(self.images(batch)) for batch in loader]
        return sum(map(len, rows))

    def load(self, path):
        from PIL import Image

        with Image.open(path) as image:
            return self.preprocess(image.convert("RGB"))

    def tower(self, n):
        import torch

        self.images(torch.randn(n, 3, 224, 224))

    def unit(self, rows):
        return rows / rows.norm(dim=-1, keepdim=True)

    def texts(self, texts):
        for i in range(0, len(texts), 256):
            self.unit(self.encode_text(self.tokenize(texts[i : i + 256])))


class Files:
    def __init__(self, paths, load):
        self.paths, self.load = paths, load

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.load(self.paths[index])


class Labelled(Files):
    """What a data set of torchvision gives: images with labels, and the classes."""

    def __init__(self, paths, load, classes):
        super().__init__(paths, load)
        self.classes = classes

    def __getitem__(self, index):
        return super().__getitem__(index), index % len(self.classes)


class OpenAIClip(Torch):
    def __init__(self, way, folder):
        import clip
        from clip.clip import _transform
        from clip.model import CLIP

        self.model = CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).float().eval()
        self.preprocess, self.tokenize = _transform(224), clip.tokenize

    def images(self, batch):
        return self.model.encode_image(batch)

    def encode_text(self, tokens):
        return self.model.encode_text(tokens)


class OpenClip(Torch):
    def __init__(self, way, folder):
        import open_clip

        precision = way.split(":")[1]
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(
            "ViT-B-32", precision=precision
        )
        self.model.eval()
        self.tokenize = open_clip.get_tokenizer("ViT-B-32")
        self.half = precision != "fp32"

    def images(self, batch):
        return self.model.encode_image(batch.bfloat16() if self.half else batch)

    def encode_text(self, tokens):
        return self.model.encode_text(tokens)


class ClipBenchmark(Torch):
    """The package itself, by what its command calls, with the defaults of its command.

    But without its mixed precision where a processor would emulate bf16 (its ``--no_amp``).
    """

    def __init__(self, way, folder):
        from clip_benchmark.models.open_clip import load_open_clip

        self.model, self.preprocess, self.tokenize = load_open_clip("ViT-B-32", pretrained=None)
        self.model.eval()

    def zero_shot(self, paths, names, templates):
        import torch
        from clip_benchmark.metrics.zeroshot_classification import evaluate

        images = Labelled(paths, self.load, names)
        loader = torch.utils.data.DataLoader(images, batch_size=BATCH, num_workers=4)
        own = [template.replace("{}", "{c}") for template in templates]
        half = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
        evaluate(self.model, loader, self.tokenize, names, own, "cpu", amp=half)

    def encode_text(self, tokens):
        return self.model.encode_text(tokens)

    def images(self, batch):
        return self.model.encode_image(batch)


class Transformers(Torch):
    def __init__(self, way, folder):
        from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

        self.model, processor = CLIPModel(CLIPConfig()).eval(), CLIPImageProcessor()
        self.preprocess = lambda image: processor(image, return_tensors="pt")["pixel_values"][0]

    def images(self, batch):
        rows = self.model.get_image_features(pixel_values=batch)
        return getattr(rows, "pooler_output", rows)


class TransformersSiglip(Torch):
    """Its model and processor as they were saved, batches through the processor."""

    def __init__(self, way, folder):
        import torch
        from transformers import AutoModel, AutoProcessor

        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[way.split(":")[1]]
        self.model = AutoModel.from_pretrained(folder, dtype=kind).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.kind = kind

    def preprocess(self, image):
        return self.processor(images=image, return_tensors="pt")["pixel_values"][0]

    def images(self, batch):
        rows = self.model.get_image_features(pixel_values=batch.to(self.kind))
        return getattr(rows, "pooler_output", rows)

    def tokenize(self, texts):
        given = {"padding": "max_length", "max_length": 64, "truncation": True}
        return self.processor(text=texts, return_tensors="pt", **given)["input_ids"]

    def encode_text(self, tokens):
        rows = self.model.get_text_features(input_ids=tokens)
        return getattr(rows, "pooler_output", rows)


class Timm(Torch):
    def __init__(self, way, folder):
        import timm

        self.model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
        config = timm.data.resolve_model_data_config(self.model)
        self.preprocess = timm.data.create_transform(**config, is_training=False)

    def images(self, batch):
        return self.model(batch)


WAYS = {
    "ours": Ours,
    "openai-clip": OpenAIClip,
    "open_clip": OpenClip,
    "clip-benchmark": ClipBenchmark,
    "transformers": Transformers,
    "transformers-siglip": TransformersSiglip,
    "timm": Timm,
}


def processor_seconds():
    """Of all cores together, with loaders that have ended."""
    times = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(t.ru_utime + t.ru_stime for t in times)


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    way, folder = sys.argv[1:3]
    if not way.startswith("ours"):
        import torch

        torch.set_grad_enabled(False)
    worker = WAYS[way.split(":")[0]](way, folder)
    print(json.dumps({"ready": way}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("do")
        start, processor = time.perf_counter(), processor_seconds()
        getattr(worker, name)(**request)
        seconds, processor = time.perf_counter() - start, processor_seconds() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answer = {"seconds": seconds, "processor_seconds": processor, "peak_bytes": peak}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

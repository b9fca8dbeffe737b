"""A dual encoder and images small enough to train in a second, of the real architectures."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.torch_encoder import TorchEncoder

CONTEXT, VOCABULARY, SIZE = 16, 100, 32


@dataclass(frozen=True)
class HashTokenizer:
    """Words to ids by a digest; begin mark 1, end mark the largest id, padding 0."""

    context_length: int = CONTEXT
    identity: str = "hash"

    def __call__(self, texts):
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.int64)
        for row, text in enumerate(texts):
            words = text.lower().replace(".", " .").split()[: self.context_length - 2]
            codes = [
                int(hashlib.sha1(w.encode()).hexdigest(), 16) % (VOCABULARY - 4) + 2 for w in words
            ]
            codes = [1, *codes, VOCABULARY - 1]
            ids[row, : len(codes)] = torch.tensor(codes)
        return ids

    def count_tokens(self, text):
        return len(text.lower().replace(".", " .").split()) + 2


def make_model(seed=0, *, custom_text=False, vision=None):
    from open_clip.model import CLIP, CustomTextCLIP

    torch.manual_seed(seed)
    image = vision or {
        "image_size": SIZE,
        "layers": 3,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    }
    text = {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": 32,
        "heads": 2,
        "layers": 2,
    }
    model = (CustomTextCLIP if custom_text else CLIP)(24, image, text)
    return model.eval()


def make_encoder(model=None, seed=0, *, device="cpu"):
    return TorchEncoder(
        name="tiny",
        model=model if model is not None else make_model(seed),
        tokenizer=HashTokenizer(),
        preprocess=Preprocess(size=(SIZE, SIZE)),
        device=device,
        causal_text=True,
    )


@dataclass(frozen=True)
class ColourTable:
    """Images whose class is their colour, with noise; as many rows as asked for."""

    n: int
    class_names: tuple = ("red", "green", "blue")
    seed: int = 0
    captions: tuple | None = None
    labels: np.ndarray = field(init=False)

    def __post_init__(self):
        labels = np.arange(self.n, dtype=np.int64) % len(self.class_names)
        object.__setattr__(self, "labels", labels)

    def __len__(self):
        return self.n

    @property
    def ids(self):
        return tuple(f"{row:04d}.png" for row in range(self.n))

    def load_image(self, row):
        rng = np.random.default_rng([self.seed, row])
        pixels = rng.integers(0, 120, size=(40, 48, 3))
        pixels[..., row % len(self.class_names)] += 100
        return Image.fromarray(pixels.astype(np.uint8))


def make_data(n_train=24, n_val=12, templates=("a photo of a {}.", "{}")):
    from cliptune.finetuning.data import TrainingData

    train, val = ColourTable(n_train), ColourTable(n_val, seed=1)
    return TrainingData(train, val, templates, identify(train=train, val=val))


def identify(**parts):
    """Say which images these are, as a run that can be taken up records it."""
    from cliptune.features import DataIdentity

    rows = [(role, table, name) for role, table in parts.items() for name in table.ids]
    return DataIdentity(
        ids=tuple(f"{role}/{name}" for role, _, name in rows),
        contents=tuple(f"{table.seed} {name}" for _, table, name in rows),
        labels=tuple(t.class_names[int(name[:4]) % len(t.class_names)] for _, t, name in rows),
        roles=tuple(role for role, _, _ in rows),
    )


def run(encoder=None, data=None, options=None, **settings):
    """Fine-tune to the end; return the encoder and all events."""
    from cliptune.finetuning.loop import finetune

    encoder = encoder or make_encoder()
    events = list(finetune(encoder, data or make_data(), options, **settings))
    return encoder, events


def weights_of(encoder):
    return {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}

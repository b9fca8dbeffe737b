"""A dual encoder over a torch module: bytes and texts in, unit rows in NumPy out.

It does not know where the module came from, which architecture it has or how it is trained.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from cliptune.encoders.averaged_crops import average_rows, spread_crops
from cliptune.encoders.causal_text import encode_cut_text, find_text_end
from cliptune.encoders.compiling import CompiledWhenLong
from cliptune.encoders.families.facts import Score
from cliptune.encoders.merged_branches import MergedTower, has_branches
from cliptune.encoders.model_config import ModelConfig
from cliptune.encoders.out_of_memory import encode_in_parts
from cliptune.encoders.picture_crops import require_one_crop
from cliptune.encoders.precision import choose_device, choose_precision
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.text_end import TextEnd, encode_by_length, reject_empty, reject_long
from cliptune.errors import InputError

__all__ = ["DualModel", "Tokenizer", "TorchEncoder", "is_convolutional", "join_unit_rows"]

_CROPS_AT_ONCE = 96
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class DualModel(Protocol):
    """What a torch module must offer besides being an ``nn.Module``.

    Attributes:
        logit_scale: Parameter that holds the logarithm of the factor on cosines.
    """

    logit_scale: nn.Parameter

    def encode_image(self, images: torch.Tensor, /) -> torch.Tensor:
        """Map normalised float images (B, 3, H, W) to (B, D), not of unit length."""
        ...

    def encode_text(self, tokens: torch.Tensor, /) -> torch.Tensor:
        """Map token ids (T, L) to (T, D), not of unit length."""
        ...

    def encode_image_tokens(self, images: torch.Tensor, /) -> torch.Tensor:
        """Map normalised float images (B, 3, H, W) to one vector per patch, (B, N, D)."""
        ...

    def encode_image_trunk(self, images: torch.Tensor, /) -> tuple[torch.Tensor, torch.Tensor]:
        """Map images to what ``encode_image`` gives and what that projects, (B, D) and (B, E)."""
        ...


class Tokenizer(Protocol):
    """From texts to the ids that a text tower was trained on.

    Attributes:
        context_length: Ids in a row, begin and end marks included.
        identity: A sentence or digest that changes whenever some text would get other ids.
    """

    @property
    def context_length(self) -> int: ...  # noqa: D102  described above
    @property
    def identity(self) -> str: ...  # noqa: D102

    def __call__(self, texts: list[str], /) -> torch.Tensor:
        """Give int64 ids (T, context_length), padded; what is too long is cut."""
        ...

    def count_tokens(self, text: str, /) -> int:
        """Count the ids of a text before any cut, begin and end marks included."""
        ...


class TorchEncoder:
    """A ``DualEncoder`` over one torch module.

    The module is moved to ``device``, set to evaluation mode and converted to ``precision`` in
    place; its ``logit_scale`` stays in float32. With ``fp32`` the module that ``model`` holds
    is the one to train; afterwards wrap it in a new encoder, because the fingerprint is
    computed once.

    Args:
        name: What the user calls the model.
        model: An ``nn.Module`` that follows ``DualModel``.
        tokenizer: Made for the model's text tower.
        preprocess: The model's input transform.
        device: As torch names it.
        precision: ``fp32``, ``bf16`` or ``fp16``, as ``choose_precision`` gives it.
        precision_reason: Why, for logs and records.
        causal_text: No token of the text tower sees a later one, and the embedding is read at
            the end mark: what stands behind it cannot change the result.
        architecture: All that shapes the computation and is not among the weights (activation,
            heads, pooling), as text; part of the fingerprint.
        blueprint: What rebuilds the module around its weights, where it can be rebuilt.
        family: Its family's name, where one is stated; see ``families``.
        score: What it was trained for, ``softmax`` or ``sigmoid``; the latter where nothing is
            said and it has a bias.
        prompt: The template that its family's authors use.
    """

    engine = "torch"

    def __init__(
        self,
        *,
        name: str,
        model: nn.Module,
        tokenizer: Tokenizer,
        preprocess: Preprocess,
        device: str = "cpu",
        precision: str = "fp32",
        precision_reason: str = "",
        causal_text: bool = False,
        architecture: str = "",
        blueprint: ModelConfig | None = None,
        family: str = "",
        score: Score | None = None,
        prompt: str | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.preprocess = preprocess
        self.device = device
        self.precision = precision
        self.precision_reason = precision_reason
        self.causal_text = causal_text
        self.architecture = architecture
        self.blueprint = blueprint
        self.family = family
        self.prompt = prompt
        self.score: Score = score or ("softmax" if self.logit_bias is None else "sigmoid")
        self._convolutional = is_convolutional(model)
        self._place()
        self._image_tower: Callable[[torch.Tensor], torch.Tensor] = self._towers.encode_image
        if self.device == "cpu" and has_branches(model):
            self._image_tower = MergedTower(model)
        if self._on_gpu:
            self._image_tower = CompiledWhenLong(self._image_tower)

    @property
    def context_length(self) -> int:
        """Tokens that fit into the text tower, begin and end marks included."""
        return self.tokenizer.context_length

    @property
    def logit_scale(self) -> float:
        """The factor, already exponentiated, that the model multiplies cosines by."""
        return float(self._towers.logit_scale.detach().float().exp())

    @property
    def logit_bias(self) -> float | None:
        """What the model adds to its logits; None where it adds nothing."""
        bias = getattr(self.model, "logit_bias", None)
        return None if bias is None else float(bias.detach().float())

    @cached_property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.encode_texts(["a"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of weights, architecture, preprocessing and tokenizer."""
        settings = [self.architecture, self.preprocess.to_dict(), self.tokenizer.identity]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for part in self._weight_digests:
            digest.update(part)
        return digest.hexdigest()

    @cached_property
    def _weight_digests(self) -> tuple[bytes, ...]:
        return tuple(_tensor_digests(self.model))

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images (B, 3, H, W); see ``DualEncoder``."""

        def encode(part: NDArray[np.uint8]) -> NDArray[np.float32]:
            embedded = self._on_images(self._image_tower, part)
            return _to_numpy(F.normalize(embedded.float(), dim=-1))

        return self._in_parts(encode, pixels)

    def encode_tokens(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give one vector per patch, not normalised; see ``DualEncoder``.

        Raises:
            InputError: The encoder averages crops, whose patches are of different places.
        """
        require_one_crop(self.preprocess.crops, self.name, "the patches of a picture")
        return _to_numpy(self._on_images(self._towers.encode_image_tokens, pixels).float())

    def encode_trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images and keep what is projected; see ``DualEncoder``."""

        def encode(part: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.inference_mode():
                embedding, pooled = self._towers.encode_image_trunk(self._normalise(part))
                crops = self.preprocess.crops
                parts = average_rows(embedding, crops), average_rows(pooled, crops)
                return _to_numpy(join_unit_rows(parts))

        return self._in_parts(encode, pixels)

    def encode_texts(self, texts: Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Embed texts; see ``DualEncoder``.

        Raises:
            InputError: A text is too long and ``truncate`` is false, or has no token, or there is
                no text.
        """
        if isinstance(texts, str) or not texts:
            raise InputError(f"texts to embed: got {texts!r}, expected a non-empty list of strings")
        ids: NDArray[np.int64] = self.tokenizer(list(texts)).numpy()
        reject_empty(texts, ids, name=self.name)
        if not truncate:
            count = self.tokenizer.count_tokens
            reject_long(texts, ids, end=self.text_end, count_tokens=count, name=self.name)
        with torch.inference_mode():
            return encode_by_length(self._on_texts, ids, self.text_end)

    def encode_alone(
        self, kind: str, inputs: NDArray[np.uint8] | Sequence[str]
    ) -> NDArray[np.float32]:
        """Compute a few inputs from a copy of them, without the compiled tower.

        Args:
            kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut``.
            inputs: Pixels (n, 3, H, W), or n texts, which are cut where they are too long.
        """
        if not isinstance(inputs, np.ndarray):
            return self.encode_texts(list(inputs), truncate=True)
        pixels = np.array(inputs, order="C", copy=True)
        if kind == "tokens":
            return self.encode_tokens(pixels)
        if kind == "trunk":
            return self.encode_trunk(pixels)
        embedded = self._on_images(self._towers.encode_image, pixels)
        return _to_numpy(F.normalize(embedded.float(), dim=-1))

    @cached_property
    def text_end(self) -> TextEnd:
        """How far rows of token ids can be cut without changing an embedding."""
        return find_text_end(self.model)

    def with_crops(self, crops: int, name: str) -> TorchEncoder:
        """Return an encoder over the same module that averages crops of each picture.

        Args:
            crops: How many; see ``picture_crops``.
            name: What the user calls it.

        Raises:
            InputError: The model takes pictures of different shapes.
        """
        if self.preprocess.resize_mode == "native":
            raise InputError(
                f"--crops {crops}: {self.name} takes pictures of different shapes, which have no "
                "common crops; leave it out"
            )
        if self.precision == "fp32":
            _ = self._weight_digests  # reduced ones are known: those from before rounding
        found = copy.copy(self)
        found.__dict__.pop("fingerprint", None)
        found.name, found.preprocess = name, replace(self.preprocess, crops=crops)
        return found

    def rewrapped(self, *, device: str, precision: str) -> TorchEncoder:
        """Wrap the module anew after its weights changed: the fingerprint is computed once.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
            precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; the module is converted in place.

        Raises:
            DeviceError: The device or precision is not available here.
            UnknownNameError: The device's or precision's name means nothing.
        """
        place = choose_device(device)
        choice = choose_precision(precision, place, convolutional=self._convolutional)
        return TorchEncoder(
            name=self.name,
            model=self.model,
            tokenizer=self.tokenizer,
            preprocess=self.preprocess,
            device=place,
            precision=choice.precision,
            precision_reason=choice.reason,
            causal_text=self.causal_text,
            architecture=self.architecture,
            blueprint=self.blueprint,
            family=self.family,
            score=self.score,
            prompt=self.prompt,
        )

    @property
    def _towers(self) -> DualModel:
        return cast(DualModel, self.model)

    @property
    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def _place(self) -> None:
        if self.precision != "fp32":
            _ = self.fingerprint  # of the weights before they are rounded
        exact = {
            name: value.detach().float()
            for name in ("logit_scale", "logit_bias")
            if (value := getattr(self.model, name, None)) is not None
        }
        self.model.eval().to(self.device, DTYPES[self.precision])
        for name, value in exact.items():
            getattr(self.model, name).data = value.to(self.device)
        if self._convolutional:
            self.model.to(memory_format=torch.channels_last)

    def _on_texts(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        embedded = encode_cut_text(self.model, torch.from_numpy(ids).to(self.device))
        return _to_numpy(F.normalize(embedded.float(), dim=-1))

    def _on_images(
        self, tower: Callable[[torch.Tensor], torch.Tensor], pixels: NDArray[np.uint8]
    ) -> torch.Tensor:
        with torch.inference_mode():
            return average_rows(tower(self._normalise(pixels)), self.preprocess.crops)

    def _in_parts(
        self, encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]], pixels: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Encode pictures, of several crops so many that the tower sees no larger batch."""
        if self.preprocess.crops == 1:
            return encode_in_parts(encode, pixels)
        n = _CROPS_AT_ONCE // self.preprocess.crops
        parts = [pixels[i : i + n] for i in range(0, max(len(pixels), 1), n)]
        return np.concatenate([encode_in_parts(encode, part) for part in parts])

    def _normalise(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Bytes on the host to the towers' dtype on the device, as (x / 255 - mean) / std.

        Crops are images of their own in what comes out.
        """
        expected = self.preprocess.shape
        if pixels.ndim != 4 or pixels.shape[1:] != expected or pixels.dtype != np.uint8:
            raise InputError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype}, "
                f"expected (B, {', '.join(map(str, expected))}) uint8; use preprocess"
            )
        writeable = pixels if pixels.flags.writeable else pixels.copy()
        host = torch.from_numpy(writeable)
        if self._on_gpu:
            host = host.pin_memory()  # copied by the device itself, while the host goes on
        images = host.to(self.device, non_blocking=self._on_gpu).float().div_(255)
        mean, std = (
            torch.tensor(constants, device=self.device).view(1, 3, 1, 1)
            for constants in (self.preprocess.mean, self.preprocess.std)
        )
        layout = torch.channels_last if self._convolutional else torch.contiguous_format
        images = spread_crops(images.sub_(mean).div_(std), self.preprocess)
        normalised = images.to(DTYPES[self.precision])
        return normalised.contiguous(memory_format=layout)


def is_convolutional(model: nn.Module) -> bool:
    """Say whether a module is mainly convolutions; a ViT has one, for its patches."""
    return sum(isinstance(part, nn.Conv2d) for part in model.modules()) > 4


def join_unit_rows(parts: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Put rows (B, D) and (B, E), each brought to norm 1, side by side: float32 (B, D + E)."""
    return torch.cat([F.normalize(part.float(), dim=-1) for part in parts], dim=-1)


def _to_numpy(rows: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = rows.cpu().numpy()
    return array


def _tensor_digests(model: nn.Module) -> Iterator[bytes]:
    """Give one digest per tensor of the state dict, by name; hashlib releases the GIL."""
    tensors = sorted(model.state_dict().items())
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_tensor_digest, tensors)


def _tensor_digest(item: tuple[str, torch.Tensor]) -> bytes:
    name, tensor = item
    digest = hashlib.sha256(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.digest()

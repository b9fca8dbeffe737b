"""Dual encoders: images and texts as unit vectors in one space.

This package knows nothing about data sets, heads or files of images. ``load_encoder`` turns a
model's name into a ``DualEncoder``; everything else sees only that protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.names import LITE, Embedded, parse_name, split_crops, split_joint
from cliptune.encoders.precision import choose_device
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.published import Published, published

__all__ = ["DualEncoder", "ModelInfo", "Preprocess", "list_models", "load_encoder"]


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be named.

    Attributes:
        name: What ``load_encoder`` takes.
        architecture: open_clip's name of it, or ``lite``.
        tag: Which weights of that architecture; empty for ``lite``.
        local: Its weights are on this machine.
        family: Its family's name; see ``families``.
    """

    name: str
    architecture: str
    tag: str
    local: bool
    family: str = ""


def load_encoder(
    name: str = "lite", *, device: str = "auto", precision: str = "auto"
) -> DualEncoder:
    """Load a model by name.

    Args:
        name: ``lite``; ``ARCHITECTURE/TAG`` of open_clip, as in ``ViT-B-32/openai``; one of
            OpenAI's own names, as in ``ViT-B/32``; ``hf-hub:OWNER/NAME``, with ``@REVISION``
            behind it or without; a local folder; a checkpoint file, or ``ARCHITECTURE@FILE``.
            ``?max_patches=N`` behind a name sets the patches of SigLIP 2 NaFlex, ``?crops=N``
            averages 2, 6 or 12 crops of each picture. ``A+B`` puts encoders side by side (see
            ``joint``).
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UnknownNameError: No model, device or precision has this name.
        InputError: An architecture without a tag, or a missing file.
        DeviceError: The device or precision is not available here.
        UnavailableError: The weights are neither here nor can they be fetched.
        CheckpointError: The weights are refused, broken or of another model.
        MissingExtraError: ``lite`` is not installed.
    """
    if len(split_joint(name)) > 1:
        from cliptune.encoders.joint import open_joint

        ask = partial(load_encoder, device=device, precision=precision)
        return open_joint(name, ask)
    base, crops = split_crops(name)
    if crops > 1:
        from cliptune.encoders.torch_encoder import TorchEncoder

        encoder = load_encoder(base, device=device, precision=precision)
        assert isinstance(encoder, TorchEncoder), "what is loaded by name is a torch module"
        return encoder.with_crops(crops, name)
    ref = parse_name(name)
    if isinstance(ref, Embedded):
        from cliptune.encoders.lite import load_lite

        return load_lite(device=device, precision=precision)
    # Files before torch and open_clip, whose import takes many seconds: a missing network is to
    # be told at once.
    from cliptune.encoders.model_files import find_files

    files = find_files(ref, name)
    target = choose_device(device)
    if files.by_transformers:
        from cliptune.encoders.transformers_encoder import build_family_encoder

        return build_family_encoder(name, files, device=target, precision=precision)
    from cliptune.encoders.open_clip_encoder import build_encoder

    return build_encoder(name, files, device=target, precision=precision)


def list_models() -> tuple[ModelInfo, ...]:
    """List ``lite`` and all weights that open_clip knows, without importing torch."""
    lite = ModelInfo(LITE, LITE, "", local=True, family=LITE)
    entries = [entry for tags in published().values() for entry in tags.values()]
    return (lite, *map(_describe, entries))


def _describe(entry: Published) -> ModelInfo:
    from cliptune.encoders.families import family_of_weights
    from cliptune.encoders.model_files import is_local

    family = family_of_weights(entry.architecture, entry.tag)
    return ModelInfo(entry.name, entry.architecture, entry.tag, is_local(entry), family)


@runtime_checkable
class DualEncoder(Protocol):
    """A model with an image tower and a text tower that end in one space of ``dim`` dimensions.

    Attributes:
        name: What the user calls it, e.g. ``ViT-B-32/openai`` or ``lite``.
        dim: Length of an embedding.
        logit_scale: The factor (already exponentiated) that the model multiplies cosines by.
            Encoders may also have a ``logit_bias``, a ``score`` and a ``prompt``; see
            ``encoder_score``.
        context_length: Tokens that fit into the text tower, begin and end marks included.
        preprocess: From a PIL image to the tower's input.
        fingerprint: Hex digest of all weights, preprocessing and tokenizer settings: two
            encoders with one fingerprint and one precision give the same embeddings.
        precision: ``fp32``, ``bf16`` or ``fp16``: what the towers compute in.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    """

    @property
    def name(self) -> str: ...  # noqa: D102  described above
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def logit_scale(self) -> float: ...  # noqa: D102
    @property
    def context_length(self) -> int: ...  # noqa: D102
    @property
    def preprocess(self) -> Preprocess: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images.

        Args:
            pixels: uint8, shape (B, 3, H, W), as ``preprocess`` gives them; of several crops
                their crops, one below the other, whose rows are averaged.

        Returns:
            float32, shape (B, dim), rows of norm 1.
        """
        ...

    def encode_texts(self, texts: Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: T texts.
            truncate: Cut texts that are longer than ``context_length``.

        Returns:
            float32, shape (T, dim), rows of norm 1.

        Raises:
            InputError: A text is longer than the context and ``truncate`` is false; the
                message names the text and both lengths.
        """
        ...

    def encode_tokens(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give one vector per patch (or per cell of a CNN's feature map), in the common space.

        Args:
            pixels: uint8, shape (B, 3, H, W).

        Returns:
            float32, shape (B, T, dim): each token pushed through the tower's own final
            norm and projection, not normalised, without the class token.
        """
        ...

    def encode_trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give each image's embedding and the features that it is projected from, in one pass.

        The image tower's pooled features before the projection into the common space are what
        CLIP's own linear probe takes (arXiv:2103.00020, section 3.2 and appendix A.3).

        Args:
            pixels: uint8, shape (B, 3, H, W).

        Returns:
            float32, shape (B, dim + E): the row of ``encode_images``, up to rounding, then the
            E features, each part of norm 1. E is the tower's own (1280 for ``lite``).

        Raises:
            NoTrunkError: The image tower has no such projection.
        """
        ...

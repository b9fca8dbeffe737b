"""Files of weights: read without running code in them, and checked against the model.

It knows file formats and tensor names, and neither architectures nor where files come from.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from cliptune.encoders.shards import SHARDS, shard_paths
from cliptune.errors import CheckpointError

__all__ = [
    "OPENAI_DIGESTS",
    "Checkpoint",
    "describe_faults",
    "load_weights",
    "read_checkpoint",
]

# SHA-256 of OpenAI's archives, as they stand in the download addresses of the `clip` package.
OPENAI_DIGESTS = {
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762": "RN50",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599": "RN101",
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd": "RN50x4",
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa": "RN50x16",
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c": "RN50x64",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": "ViT-B/32",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f": "ViT-B/16",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836": "ViT-L/14",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02": "ViT-L/14@336px",
}

# How torch.save began a file before it wrote zip archives: a pickled number of its own.
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# What torch.load raises, besides its own refusal, over bytes that are not what it expects.
_BROKEN = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
# Where training loops put a model's tensors, open_clip's first.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# What DataParallel, torch.compile and a class around the model put before each name.
_PREFIXES = ("module.", "_orig_mod.", "model.")
_OPENAI_SETTINGS = ("input_resolution", "context_length", "vocab_size")
_REMEDY = "use a .safetensors file, or a file of plain tensors that its author saves again"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what the file says about who wrote it.

    Attributes:
        tensors: As they stand in the file, wrappers' prefixes (``module.``, ``_orig_mod.``,
            ``model.``) removed.
        origin: ``openai`` for the original release's layout, ``training`` for a checkpoint
            that open_clip's training wrote, ``plain`` for tensors alone.
    """

    tensors: dict[str, torch.Tensor]
    origin: Literal["openai", "training", "plain"]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read ``.safetensors``, a file of ``torch.save`` or one of OpenAI's own archives.

    Raises:
        CheckpointError: The file is broken, holds something else than tensors, contains code,
            or is a TorchScript archive that is none of OpenAI's.
    """
    if path.name == SHARDS:
        parts = [_read_safetensors(part) for part in shard_paths(path)]
        return _to_checkpoint({k: v for part in parts for k, v in part.items()}, path)
    if path.suffix == ".safetensors":
        return _to_checkpoint(_read_safetensors(path), path)
    if _is_torchscript(path):
        return Checkpoint(_without_settings(_read_openai_archive(path)), "openai")
    return _to_checkpoint(_read_torch(path), path)


def load_weights(
    model: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: Path,
    *,
    remedy: str = "name the right architecture as ARCHITECTURE@FILE, or check the file",
) -> None:
    """Copy tensors into a model of exactly these names and shapes.

    Args:
        model: To be filled.
        tensors: By name.
        source: Where they come from, for the message.
        remedy: What to do where they do not fit.

    Raises:
        CheckpointError: A tensor is missing, left over, of another shape or not finite; the
            message names the first few.
    """
    expected = model.state_dict()
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "not in the model": [name for name in tensors if name not in expected],
        "of another shape or kind": [
            f"{name} {list(tensor.shape)}, the model has {list(expected[name].shape)}"
            for name, tensor in tensors.items()
            if name in expected and not _fits(tensor, expected[name])
        ],
    }
    if found := describe_faults(faults, tensors):
        if tensors and all(name.startswith("visual.") for name in tensors):
            remedy = "it holds an image tower and no text tower: give an encoder with both"
        raise CheckpointError(f"{source} does not fit the model: {found}; {remedy}")
    model.load_state_dict(dict(tensors), strict=True)


def describe_faults(faults: Mapping[str, list[str]], tensors: Mapping[str, torch.Tensor]) -> str:
    """Say in one clause which names are at fault, and which tensors hold NaN; empty if none."""
    broken = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    kinds = {**faults, "with NaN or infinity": broken}
    return "; ".join(_describe(kind, names) for kind, names in kinds.items() if names)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error


def _is_torchscript(path: Path) -> bool:
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, *_BROKEN) as error:
        raise CheckpointError(f"{path} is a broken archive: {_first_line(error)}") from error


def _read_openai_archive(path: Path) -> dict[str, torch.Tensor]:
    """Read a TorchScript archive, which is a program, if it is one of OpenAI's own."""
    content = path.read_bytes()  # once, so that what is checked is what is read
    if hashlib.sha256(content).hexdigest() not in OPENAI_DIGESTS:
        raise CheckpointError(
            f"{path} is a TorchScript archive, which can run code, and none of OpenAI's released "
            f"files by its SHA-256; {_REMEDY}, or fetch OpenAI's file again"
        )
    with warnings.catch_warnings():
        # torch.jit.load is deprecated, and these nine files are all that needs it
        warnings.simplefilter("ignore", FutureWarning)
        archive = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return dict(archive.state_dict())


def _read_torch(path: Path) -> Any:  # Any: whatever a file holds
    zipped = zipfile.is_zipfile(path)
    if not zipped and not _starts_with(path, _TORCH_MAGIC):
        raise CheckpointError(f"{path} is no file that torch.save wrote; {_REMEDY}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks to run {code[1]}" if code else "holds more than tensors"
        raise CheckpointError(f"{path} {what}, refused; {_REMEDY}") from error
    except _BROKEN as error:
        reason = _first_line(error)
        raise CheckpointError(f"{path} is truncated or no checkpoint: {reason}") from error


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _to_checkpoint(content: Any, path: Path) -> Checkpoint:  # Any: whatever a file holds
    """Find the tensors in what a file holds."""
    wrapper = next((key for key in _WRAPPERS if _is_flat(_part(content, key))), None)
    tensors = content if wrapper is None else content[wrapper]
    if not _is_flat(tensors):
        seen = f" (keys: {', '.join(map(repr, list(content)[:5]))})" if _is_named(content) else ""
        raise CheckpointError(
            f"{path} holds no tensors by name, nor {', '.join(map(repr, _WRAPPERS))} with "
            f"them{seen}; {_REMEDY}"
        )
    tensors = _without_prefixes(tensors)
    if all(name in tensors for name in _OPENAI_SETTINGS):
        return Checkpoint(_without_settings(tensors), "openai")
    return Checkpoint(dict(tensors), "training" if wrapper == _WRAPPERS[0] else "plain")


def _part(content: Any, key: str) -> Any:  # Any: whatever a file holds
    return content.get(key) if isinstance(content, dict) else None


def _is_named(content: Any) -> bool:  # Any: whatever a file holds
    return isinstance(content, dict) and all(isinstance(key, str) for key in content)


def _is_flat(content: Any) -> bool:  # Any: whatever a file holds
    tensors = content.values() if isinstance(content, dict) and content else [None]
    return _is_named(content) and all(isinstance(one, torch.Tensor) for one in tensors)


def _without_prefixes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take off what wrappers put before every name, however they were nested."""
    found = dict(tensors)
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in found)), None):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _without_settings(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in _OPENAI_SETTINGS}


def _fits(tensor: torch.Tensor, expected: torch.Tensor) -> bool:
    same_kind = tensor.is_floating_point() == expected.is_floating_point()
    return same_kind and tensor.shape == expected.shape


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    total = tensor.sum(dtype=torch.float32)  # one pass without a mask; it may overflow
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


def _describe(kind: str, names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} {kind} ({shown})"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__

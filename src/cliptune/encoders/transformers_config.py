"""What transformers' files say of a model, as far as a family lets them.

It reads descriptions that are loaded already, and builds no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from cliptune.encoders.families import TransformersFamily, transformers_families
from cliptune.encoders.native_patches import packed_size
from cliptune.encoders.permitted import is_number, require_plain
from cliptune.encoders.preprocess import Preprocess
from cliptune.errors import CheckpointError

__all__ = ["find_family", "permit_family_config", "read_processor", "require_standard"]

_INTERPOLATIONS: dict[object, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
_OWN_CODE = {
    "jina_clip": "Jina-CLIP",
    "jina-clip": "Jina-CLIP",
    "fgclip": "FG-CLIP",
    "fg-clip": "FG-CLIP",
    "fg_clip": "FG-CLIP",
    "fgclip2": "FG-CLIP 2",
}
_MOST = 65_536  # layers, heads, patches
_CLIP = "clip"  # read in open_clip's terms, see ``transformers_format``


def require_standard(config: Mapping[str, Any], path: Path) -> None:
    """Make sure that a model needs no Python of its own.

    Raises:
        CheckpointError: It does, and that is never run; the message says what to do.
    """
    kind = str(config.get("model_type"))
    if not config.get("auto_map") and kind not in _OWN_CODE:
        return
    what = _OWN_CODE.get(kind, f"this model (model_type {kind!r:.60})")
    raise CheckpointError(
        f"{path}: {what} needs Python of its own from its repository (auto_map), which is never "
        f"run; use a model of the standard classes ({_known()}), or remove auto_map if the "
        f"standard class will do"
    )


def find_family(config: Mapping[str, Any], path: Path) -> TransformersFamily | None:
    """Return the family that a ``config.json`` names; none for ``clip``.

    Raises:
        CheckpointError: It needs Python of its own, or no family is called so; the message
            lists those that are known, the nearest first.
    """
    require_standard(config, path)
    kind = config.get("model_type")
    if kind == _CLIP:
        return None
    found = transformers_families().get(kind) if isinstance(kind, str) else None
    if found is None:
        raise CheckpointError(
            f"{path} describes a model of type {kind!r:.80}; known, the nearest first: "
            f"{', '.join(_by_nearness(str(kind)))}; look for an open_clip version of it"
        )
    return found


def permit_family_config(
    family: TransformersFamily, config: Mapping[str, Any], path: Path
) -> dict[str, Any]:  # Any: nested JSON
    """Return of a description what its family lets it say; the rest has no effect.

    Raises:
        CheckpointError: A part is no object, or a value of the wrong kind.
    """
    kept = _keep(config, family.top_fields, "config", path)
    parts = {"text_config": family.text_fields, "vision_config": family.vision_fields}
    for part, fields in parts.items():
        # What older releases wrote beside a part overrules it, as in transformers.
        given = {**_object(config, part, path), **_object(config, f"{part}_dict", path)}
        kept[part] = _keep(given, fields, part, path)
    return {"model_type": family.name, **kept}


def read_processor(
    family: TransformersFamily,
    config: Mapping[str, Any],
    settings: Mapping[str, Any],
    path: Path,
    *,
    max_patches: int | None,
) -> Preprocess:
    """Turn an image processor's settings into a ``Preprocess``.

    Args:
        family: Whose settings hold where the file is silent.
        config: The model's description, as ``permit_family_config`` gives it.
        settings: ``preprocessor_config.json``, or that part of ``processor_config.json``.
        path: Where it stands, for messages.
        max_patches: As asked for; the file's own otherwise.

    Raises:
        CheckpointError: It asks for an input that ``Preprocess`` cannot make, or of another size
            than the tower takes.
    """
    vision = config["vision_config"]
    found = {**family.processor, **{k: v for k, v in settings.items() if v is not None}}
    mean, std = _constants(found, path)
    interpolation = _INTERPOLATIONS.get(found.get("resample"))
    if interpolation is None or not found.get("do_resize", True):
        raise CheckpointError(
            f"{path}: resample {found.get('resample')!r:.40}, do_resize "
            f"{found.get('do_resize', True)!r:.40}; expected resample 2 or 3, and a resize"
        )
    if family.name == "siglip2":
        patch_size = vision.get("patch_size", 16)
        most = max_patches or found.get("max_num_patches", 256)
        _require_patches(most, found.get("patch_size", patch_size), patch_size, path)
        return Preprocess(
            size=packed_size(most, patch_size),
            resize_mode="native",
            interpolation="bilinear",
            mean=mean,
            std=std,
            resampler="torch",
            patch_size=patch_size,
        )
    mode, whole, crop = _sizes(found, path)
    image_size = vision.get("image_size", 448 if family.name == "tipsv2" else 224)
    if crop != image_size and family.towers.patches != "cells":  # those take any size
        raise CheckpointError(
            f"{path}: pictures of {crop} pixels for an image tower that takes {image_size}; "
            "positions are never resized; use the processor that belongs to these weights"
        )
    return Preprocess(
        size=(crop, crop),
        resize_mode=mode,
        interpolation=interpolation,
        mean=mean,
        std=std,
        crop_fraction=crop / whole,
        resampler="torch",
        crop_rounding="down",
    )


def _known() -> str:
    return ", ".join([_CLIP, *transformers_families()])


def _by_nearness(kind: str) -> list[str]:
    known = [_CLIP, *transformers_families()]
    return sorted(known, key=lambda name: -SequenceMatcher(None, kind.lower(), name).ratio())


def _object(config: Mapping[str, Any], part: str, path: Path) -> Mapping[str, Any]:
    given = config.get(part) or {}
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{path}: {part} is no JSON object")
    return given


def _keep(
    given: Mapping[str, Any], fields: tuple[str, ...], part: str, path: Path
) -> dict[str, Any]:  # Any: plain JSON values
    kept = {name: given[name] for name in sorted(fields) if given.get(name) is not None}
    for name, value in kept.items():
        require_plain(value, f"{part}.{name}", str(path))
        if name.startswith("num_"):
            counts = value if isinstance(value, list | tuple) else [value]
            if not all(type(n) is int and 0 <= n <= _MOST for n in counts):
                raise CheckpointError(
                    f"{path}: {part}.{name} is {value!r:.40}; expected at most {_MOST}"
                )
    return kept


def _sizes(found: Mapping[str, Any], path: Path) -> tuple[Literal["shortest", "squash"], int, int]:
    """Return the resize rule, the size of what is cropped, and of the crop, all square."""
    size = found.get("size")
    if isinstance(size, Mapping) and "shortest_edge" in size:
        mode, whole = "shortest", size["shortest_edge"]
    else:
        mode, whole = "squash", _square(size)
    crop = _square(found.get("crop_size")) if found.get("do_center_crop") else whole
    if type(whole) is not int or type(crop) is not int or not 0 < crop <= whole:
        raise CheckpointError(
            f"{path}: size {size!r:.80}, crop_size {found.get('crop_size')!r:.80}; expected a "
            "square or a shortest_edge, and a square crop that is no larger"
        )
    if mode == "shortest" and not found.get("do_center_crop"):
        raise CheckpointError(f"{path}: size {size!r:.80} without a crop gives no square")
    return ("shortest" if mode == "shortest" else "squash"), whole, crop


def _square(size: object) -> object:
    if isinstance(size, Mapping):
        return size.get("height") if size.get("height") == size.get("width") else None
    return size


Three = tuple[float, float, float]


def _constants(found: Mapping[str, Any], path: Path) -> tuple[Three, Three]:
    """Bring all that is done to a value to one mean and std for values in [0, 1]."""
    factor = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
    offset = 1.0 if found.get("rescale_offset") else 0.0
    means = found.get("image_mean") if found.get("do_normalize", True) else [0.0] * 3
    stds = found.get("image_std") if found.get("do_normalize", True) else [1.0] * 3
    numbers = [factor, *_three(means), *_three(stds)]
    if len(numbers) != 7 or not all(map(is_number, numbers)) or min(factor, *numbers[4:]) <= 0:
        raise CheckpointError(
            f"{path}: image_mean {means!r:.80}, image_std {stds!r:.80}, rescale_factor "
            f"{factor!r:.40}; expected three numbers each, those of the std above 0"
        )
    top = _three(found.get("image_std")) if found.get("include_top") else [1.0] * 3
    # x -> (x * factor - offset - mean) / std / top, for x in 0..255
    mean = [(offset + m) / (255 * factor) for m in numbers[1:4]]
    std = [s * t / (255 * factor) for s, t in zip(numbers[4:], top, strict=True)]
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])


def _three(values: object) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values] * 3


def _require_patches(most: object, given: object, patch_size: int, path: Path) -> None:
    if type(most) is not int or not 1 <= most <= 65_536 or given != patch_size:
        raise CheckpointError(
            f"{path}: {most!r:.40} patches of {given!r:.40} pixels, the tower's have {patch_size}; "
            "expected 1 to 65536 of the tower's own size"
        )

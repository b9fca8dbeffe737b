"""What can be said of options before data are opened and models are loaded.

It knows names, places and what is installed; verbs look at their own numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cliptune.errors import InputError
from cliptune.workflows.options import ComputeOptions, DataOptions, TemplateOptions

__all__ = [
    "name_of",
    "refuse_beside_run",
    "require_class_names",
    "require_compute",
    "require_model_name",
    "require_movable",
    "require_runs",
    "require_trainable",
]

_DEFAULT_MODEL = "lite"


def name_of(model: object) -> str:
    """Return the name of an encoder that is loaded, or of one to load."""
    return str(getattr(model, "name", model))


def require_compute(options: ComputeOptions, models: Sequence[object]) -> None:
    """Make sure that models, device, engine and precision are known, here, and go together.

    Args:
        options: Where and how encoders compute.
        models: Names of encoders; encoders that are loaded already are as they are.

    Raises:
        CliptuneError: They are not; see ``parse_name``, ``choose_device``, ``require_engine``.
    """
    from cliptune.encoders.names import require_known

    for name in models:
        if isinstance(name, str):
            require_known(options.model_name(name))
        else:
            _refuse_for_loaded(options, name_of(name))
    _require_device(options.device, options.precision)

    from cliptune.encoders.engines.opening import require_engine

    require_engine(options.engine, device=options.device, precision=options.precision)
    _require_cache(options.cache_dir)


def require_trainable(options: ComputeOptions, model: object) -> None:
    """Make sure of the same where the weights of a model are to move, which is torch's work.

    Raises:
        CliptuneError: See ``require_compute``.
    """
    if options.engine not in ("auto", "torch"):
        raise InputError(f"--engine {options.engine} cannot train; use torch, or drop the option")
    if options.precision == "int8":
        raise InputError("--precision int8 cannot train; use fp32, bf16 or fp16, or drop it")
    require_compute(options, [model])
    require_movable(options, [model if isinstance(model, str) else getattr(model, "name", "")])


def require_movable(options: ComputeOptions, models: Sequence[str]) -> None:
    """Make sure that models see pictures once and are one each: their weights may be trained.

    Raises:
        InputError: Several crops, or several encoders side by side, were asked for.
    """
    from cliptune.encoders.names import require_one_encoder, split_crops

    require_one_encoder(models, "this command may train")
    crops = max([options.crops, *(split_crops(name)[1] for name in models)])
    if crops > 1:
        raise InputError(
            f"--crops {crops} is for models that stay as they are, and this command trains; leave "
            "it out (training sees another view of each picture every time)"
        )


def _refuse_for_loaded(options: ComputeOptions, name: object) -> None:
    for option in options.parts_of_names:
        raise InputError(
            f"{option} came beside the encoder {name!r}, which is loaded already; load it with "
            f"?{option}=N behind its name"
        )


def _require_device(device: str, precision: str) -> None:
    if device in ("auto", "cpu") and precision != "fp16":
        return  # these are everywhere, and need no torch to be found
    from cliptune.encoders.precision import choose_device, choose_precision

    here = choose_device(device)
    if precision == "fp16":
        choose_precision(precision, here)


def _require_cache(cache_dir: Path | None) -> None:
    from cliptune.system.paths import cache_dir as default
    from cliptune.system.places import require_writable

    require_writable(cache_dir or default(), "--cache-dir")


def require_model_name(model: object) -> str:
    """Make sure that an encoder came by its name, by which processes elsewhere open it too.

    Raises:
        InputError: It came loaded.
    """
    if isinstance(model, str):
        return model
    raise InputError(
        f"model {getattr(model, 'name', model)!r} came loaded, but workers of an executor open it "
        "by its name; give its name, or leave the executor out"
    )


def require_class_names(options: DataOptions) -> None:
    """Make sure that the file of class names can be read.

    Raises:
        InputError: It cannot, or holds something else.
    """
    if options.class_names is not None:
        from cliptune.images.names import read_class_names

        read_class_names(options.class_names)


def require_runs(paths: Sequence[Path]) -> None:
    """Make sure that finished runs are there; what they hold is looked at later.

    Raises:
        RunError: One is missing or unfinished.
    """
    from cliptune.runs import require_finished

    for path in paths:
        require_finished(path)


def refuse_beside_run(prompts: TemplateOptions, model: object) -> None:
    """Make sure that nothing came which a run brings itself.

    Raises:
        InputError: Templates or a model did.
    """
    if prompts.templates or prompts.template:
        raise InputError("--run brings its templates; leave out --templates and --template")
    if model != _DEFAULT_MODEL:
        name = getattr(model, "name", model)
        raise InputError(
            f"--run brings its encoder, but --model {name} came too; leave out one of them"
        )

"""The encoder of a run: the one in it, where its weights changed or were asked for, else by name.

It knows nothing about heads, training or images. A run that holds its encoder needs no other
weights::

    RUN/
      encoder.safetensors  every tensor of the model, in fp32 under the model's own names
      encoder.json         architecture and preprocessing
      encoder/             tokenizer and description of a text tower, where the model has such files
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cliptune.classifiers.calibrated_head import EncoderRecord
from cliptune.encoders import load_encoder
from cliptune.encoders.model_config import rebuild_encoder
from cliptune.errors import InputError, UnavailableError
from cliptune.runs import RunDir

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = [
    "encoder_in_fp32",
    "load_run_encoder",
    "load_run_weights",
    "require_own_weights",
    "save_run_encoder",
]

_WEIGHTS, _BLUEPRINT, _FILES = "encoder.safetensors", "encoder.json", "encoder"


def encoder_in_fp32(encoder: DualEncoder) -> DualEncoder:
    """Return an encoder with its weights unrounded, the same or loaded anew by its name.

    Raises:
        CliptuneError: It cannot be loaded; see ``load_encoder``.
    """
    from cliptune.encoders.torch_encoder import TorchEncoder

    if isinstance(encoder, TorchEncoder) and encoder.precision == "fp32":
        return encoder
    return load_encoder(encoder.name, device="cpu", precision="fp32")


def save_run_encoder(run: RunDir, encoder: DualEncoder) -> EncoderRecord:
    """Write an encoder's weights into a run that is not finished yet.

    Args:
        run: Where ``encoder.safetensors`` goes, whole or not at all.
        encoder: In fp32: rounded weights would be others than those that were trained.

    Returns:
        The record to save a ``CalibratedHead`` with.

    Raises:
        InputError: The encoder is no torch module, or not in fp32.
        UnavailableError: The disk is full or cannot be written.
    """
    from dataclasses import replace

    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from cliptune.encoders.torch_encoder import TorchEncoder

    blueprint = encoder.blueprint if isinstance(encoder, TorchEncoder) else None
    if not isinstance(encoder, TorchEncoder) or blueprint is None or encoder.precision != "fp32":
        raise InputError(
            f"encoder {encoder.name!r} came in {encoder.precision}; only weights of a torch model "
            "in fp32 are kept in a run: load it with precision fp32"
        )
    # A copy each: weights that two layers share are refused, and channels-last is no plain block.
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.model.state_dict().items()
    }
    with run.writing(_WEIGHTS) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise UnavailableError(
                f"cannot write {str(run.path / _WEIGHTS)!r} ({error}); free some space"
            ) from error
    for name, content in blueprint.files.items():
        with run.writing(f"{_FILES}/{name}") as temporary:
            temporary.write_bytes(content)
    run.write_json(_BLUEPRINT, blueprint.to_dict())
    return replace(EncoderRecord.of(encoder), weights_in_run=True)


def load_run_encoder(
    run: str | RunDir,
    *,
    device: str = "auto",
    precision: str = "auto",
    load: Callable[..., DualEncoder] = load_encoder,
) -> DualEncoder:
    """Load the encoder whose embeddings the classifier of a finished run takes.

    Args:
        run: A run directory.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``; another than in the run rounds
            otherwise, but is the same encoder.
        load: What loads an encoder by its name, ``device`` and ``precision``; only called where
            the run has no weights of its own, which torch runs.

    Raises:
        RunError: The run is missing, unfinished or altered, holds no classifier, or the encoder
            found here is another than the one it was fitted on; the message says which.
        CheckpointError: The weights in the run do not fit the architecture that is named.
        CliptuneError: The named model cannot be loaded; see ``load_encoder``.
    """
    opened = run if isinstance(run, RunDir) else RunDir.open(run)
    record = EncoderRecord.read(opened)
    encoder: DualEncoder
    if record.weights_in_run:
        require_own_weights(opened)
        encoder = rebuild_encoder(
            record.name,
            opened.read_json(_BLUEPRINT),
            weights=opened.file(_WEIGHTS),
            folder=opened.path / _FILES,
            device=device,
            precision=precision,
        )
    else:
        encoder = load(record.name, device=device, precision=precision)
    record.require_same(encoder)
    return encoder


def load_run_weights(run: str | RunDir) -> TorchEncoder:
    """Load the weights that a run's classifier was fitted on: torch, float32, on the processor.

    Raises:
        CliptuneError: See ``load_run_encoder``.
    """
    from cliptune.encoders.torch_encoder import TorchEncoder

    encoder = load_run_encoder(run, device="cpu", precision="fp32")
    assert isinstance(encoder, TorchEncoder), "what is loaded in fp32 is a torch module"
    return encoder


def require_own_weights(run: RunDir) -> None:
    """Make sure that the encoder in an opened run is the run's, with no file beside its own.

    Raises:
        RunError: The run records no weights, or a file is there that it does not record.
    """
    folder = run.path / _FILES
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            run.file(path.relative_to(run.path).as_posix())
    run.file(_WEIGHTS)

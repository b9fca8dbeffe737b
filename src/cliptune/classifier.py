"""Classifier: a head with all that is needed to use it again, and its form on disk.

It knows nothing about training. A run directory is a classifier::

    RUN/
      classifier.json      head, class names, templates, temperature, threshold, encoder
      head.safetensors     what the head learned
      encoder.safetensors  the encoder's weights, when they changed or were asked for
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from cliptune.calibration import Threshold, apply_temperature
from cliptune.errors import CheckpointError, InputError, RunError
from cliptune.heads import HEADS, Head, Needs
from cliptune.runs import RunDir

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["Classifier", "EncoderRecord"]

_FACTS = "classifier.json"
_HEAD = "head.safetensors"


@dataclass(frozen=True)
class EncoderRecord:
    """Which encoder a head belongs to.

    Attributes:
        name: As it was loaded.
        fingerprint: Digest of its weights, preprocessing and tokenizer.
        precision: What it computed in.
        dim: Length of its embeddings.
        logit_scale: Its factor on cosines.
        context_length: Tokens that fit into its text tower.
        preprocess: Its input transform, as plain values.
        weights_in_run: The run holds the encoder itself, because its weights changed or because
            that was asked for; the name says what they started from.
    """

    name: str
    fingerprint: str
    precision: str
    dim: int
    logit_scale: float
    context_length: int
    preprocess: dict[str, Any]  # Any: plain JSON values
    weights_in_run: bool = False

    @classmethod
    def read(cls, run: RunDir) -> Self:
        """Read the record of a run's classifier.

        Raises:
            RunError: The run holds no classifier, or an incomplete one.
        """
        try:
            return cls(**_read_facts(run)["encoder"])
        except (KeyError, TypeError) as error:
            raise RunError(f"{_FACTS} of {str(run.path)!r} is incomplete ({error})") from error

    @classmethod
    def of(cls, encoder: DualEncoder) -> Self:
        """Record an encoder."""
        return cls(
            name=encoder.name,
            fingerprint=encoder.fingerprint,
            precision=encoder.precision,
            dim=encoder.dim,
            logit_scale=encoder.logit_scale,
            context_length=encoder.context_length,
            preprocess=json.loads(json.dumps(encoder.preprocess.to_dict())),  # lists, as read back
        )

    def require_same(self, encoder: DualEncoder) -> None:
        """Make sure that an encoder gives the embeddings that the head was fitted on.

        Raises:
            RunError: Its weights, preprocessing or tokenizer differ; the message says so.
        """
        if encoder.fingerprint != self.fingerprint:
            raise RunError(
                f"this classifier was fitted on encoder {self.name!r} with fingerprint "
                f"{self.fingerprint[:12]}, but {encoder.name!r} has {encoder.fingerprint[:12]}: "
                "its weights or preprocessing differ; use the encoder that it was fitted on"
            )


@dataclass(frozen=True)
class Classifier:
    """From embeddings to calibrated probabilities of named classes.

    Attributes:
        head: A fitted head.
        class_names: C names.
        templates: The texts that class names were put into.
        encoder: The encoder whose embeddings the head takes.
        temperature: Divides the head's logits.
        threshold: Below its probability the classifier abstains; None: it always answers.
    """

    head: Head
    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    encoder: EncoderRecord
    temperature: float = 1.0
    threshold: Threshold | None = None

    @property
    def needs(self) -> Needs:
        """What the head takes: ``pooled``, ``tokens`` or ``trunk``; see ``Head``."""
        return self.head.needs

    def predict_proba(self, X: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return calibrated probabilities, float64 (N, C).

        Args:
            X: Embeddings as ``needs`` says, from the recorded encoder.
        """
        return apply_temperature(self.head.predict_logits(X), self.temperature)

    def abstains(self, probabilities: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return bool (N,): where the top probability is below the threshold."""
        top = probabilities.max(axis=1)
        below: NDArray[np.bool_] = top < (self.threshold.probability if self.threshold else 0.0)
        return below

    def save(self, run: RunDir) -> None:
        """Write the classifier into a run that is not finished yet."""
        from safetensors.numpy import save_file

        facts = {
            "head": {"name": self.head.name, "parameters": self.head.get_params()},
            "class_names": list(self.class_names),
            "templates": list(self.templates),
            "temperature": self.temperature,
            "threshold": asdict(self.threshold) if self.threshold else None,
            "encoder": asdict(self.encoder),
        }
        run.write_json(_FACTS, facts)
        arrays = {name: np.ascontiguousarray(a) for name, a in self.head.state().items()}
        with run.writing(_HEAD) as temporary:
            save_file(arrays, temporary)

    @classmethod
    def load(cls, path: str | RunDir) -> Classifier:
        """Read the classifier of a finished run; every file is checked against its digest.

        Raises:
            RunError: The run is missing, unfinished, altered, newer, or holds no classifier.
            CheckpointError: The saved head is broken.
        """
        run = path if isinstance(path, RunDir) else RunDir.open(path)
        facts = _read_facts(run)
        try:
            return cls(
                head=_load_head(run, facts["head"]),
                class_names=tuple(facts["class_names"]),
                templates=tuple(facts["templates"]),
                encoder=EncoderRecord.read(run),
                temperature=float(facts["temperature"]),
                threshold=Threshold(**facts["threshold"]) if facts["threshold"] else None,
            )
        except (KeyError, TypeError) as error:
            raise RunError(f"{_FACTS} of {str(run.path)!r} is incomplete ({error})") from error


def _read_facts(run: RunDir) -> dict[str, Any]:  # Any: plain JSON values
    if not (run.path / _FACTS).is_file():
        raise RunError(
            f"{str(run.path)!r} holds no classifier; give a run that 'cliptune fit' wrote"
        )
    return run.read_json(_FACTS)


def _load_head(run: RunDir, facts: Mapping[str, Any]) -> Head:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        head_class = HEADS[facts["name"]]
    except (KeyError, InputError) as error:
        raise RunError(f"{str(run.path)!r} has an unknown head {facts['name']!r}") from error
    try:
        state = load_file(run.path / _HEAD)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {str(run.path / _HEAD)!r} ({error})") from error
    return head_class.from_state(facts["parameters"], state)

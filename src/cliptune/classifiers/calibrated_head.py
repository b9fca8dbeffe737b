"""CalibratedHead: a head with all that is needed to use it again, and its form on disk.

It knows nothing about training. A run directory is a classifier::

    RUN/
      classifier.json      head, class names, templates, temperature, threshold, encoder
      head.safetensors     what the head learned
      encoder.safetensors  the encoder's weights, when they changed or were asked for
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.joint import read_preprocess
from cliptune.errors import CheckpointError, CliptuneError, RunError
from cliptune.evaluation.calibration import Threshold, apply_temperature
from cliptune.heads import Head, Needs
from cliptune.heads.saved import load_head
from cliptune.prompts import custom_template_set
from cliptune.runs import RunDir
from cliptune.system.typed import require_types

if TYPE_CHECKING:
    from cliptune.encoders import DualEncoder

__all__ = ["CalibratedHead", "EncoderRecord", "broken_record", "read_record"]

_FACTS = "classifier.json"
_HEAD = "head.safetensors"
_PRECISIONS = ("fp32", "bf16", "fp16", "int8")


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
        logit_bias: What it adds to its logits; none for most, and in runs of older releases.
    """

    name: str
    fingerprint: str
    precision: str
    dim: int
    logit_scale: float
    context_length: int
    preprocess: dict[str, Any]  # Any: plain JSON values
    weights_in_run: bool = False
    logit_bias: float | None = None

    @classmethod
    def read(cls, run: RunDir) -> Self:
        """Read the record of a run's classifier.

        Raises:
            RunError: The run holds no classifier, or one whose record is incomplete or broken.
        """
        with broken_record(run):
            record = cls(**read_record(run)["encoder"])
            require_types(record, cls, "encoder")
            if not (record.dim > 0 and record.context_length > 0 and record.logit_scale > 0):
                raise ValueError("the encoder's dim, context_length or logit_scale is not above 0")
            if record.precision not in _PRECISIONS:
                raise ValueError(f"the encoder's precision is {record.precision!r:.60}")
            read_preprocess(record.preprocess)
            return record

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
            logit_bias=getattr(encoder, "logit_bias", None),
        )

    def require_same(self, encoder: DualEncoder) -> None:
        """Make sure that an encoder gives the embeddings that the head was fitted on.

        Raises:
            RunError: Its weights, preprocessing or tokenizer differ; the message says so.
        """
        self.require_same_facts(encoder.name, encoder.fingerprint, encoder.dim)

    def require_same_facts(self, name: str, fingerprint: str, dim: int) -> None:
        """Make sure of the same where the encoder itself is not loaded; see ``require_same``."""
        if fingerprint != self.fingerprint:
            raise RunError(
                f"this classifier was fitted on encoder {self.name!r} with fingerprint "
                f"{self.fingerprint[:12]}, but {name!r} has {fingerprint[:12]}: "
                "its weights or preprocessing differ; use the encoder that it was fitted on"
            )
        if dim != self.dim:
            raise RunError(
                f"this classifier records {self.dim} dimensions of encoder {self.name!r}, which "
                f"has {dim}; the run was altered: restore it"
            )


@dataclass(frozen=True)
class CalibratedHead:
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
    def method(self) -> str:
        """The head's name."""
        return self.head.name

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
    def load(cls, path: str | RunDir) -> CalibratedHead:
        """Read the classifier of a finished run; every file is checked against its digest.

        Digests can be written by whoever wrote the run, so what the files say is checked too:
        the head's arrays against each other, the class names and the encoder; the temperature
        and the threshold against their ranges.

        Raises:
            RunError: The run is missing, unfinished, altered, newer, or holds no classifier, or
                one that contradicts itself.
            CheckpointError: The saved head is broken.
        """
        run = path if isinstance(path, RunDir) else RunDir.open(path)
        facts, record = read_record(run), EncoderRecord.read(run)
        if "kind" in facts:
            raise RunError(
                f"{str(run.path)!r} answers several labels an image; use 'cliptune predict --run' "
                "or 'evaluate --run', or ct.predict and ct.evaluate"
            )
        with broken_record(run):
            names, templates = facts["class_names"], facts["templates"]
            require_types(names, list[str], "class_names")
            require_types(templates, list[str], "templates")
            _require_distinct(names)
            custom_template_set(templates)
            temperature, threshold = _read_calibration(facts)
            require_types(facts["head"], dict[str, Any], "head")
            head = load_head(run.file(_HEAD), facts["head"], dim=record.dim, n_classes=len(names))
        return cls(head, tuple(names), tuple(templates), record, temperature, threshold)


@contextmanager
def broken_record(run: RunDir) -> Iterator[None]:
    """Turn what is wrong with the classifier's record into one line."""
    try:
        yield
    except CliptuneError as error:
        if isinstance(error, RunError | CheckpointError):
            raise
        raise RunError(f"{_FACTS} of {str(run.path)!r} is broken: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunError(f"{_FACTS} of {str(run.path)!r} is broken: {reason}") from error


def read_record(run: RunDir) -> dict[str, Any]:  # Any: plain JSON values
    """Read what a run says of its classifier.

    Raises:
        RunError: It holds none.
    """
    if not (run.path / _FACTS).is_file():
        raise RunError(
            f"{str(run.path)!r} holds no classifier; give a run that 'cliptune fit' wrote"
        )
    return run.read_json(_FACTS)


def _require_distinct(names: list[str]) -> None:
    if len(names) < 2 or len(set(names)) != len(names) or not all(names):
        raise ValueError(f"its {len(names)} class names are not two or more different ones")


def _read_calibration(
    facts: Mapping[str, Any],
) -> tuple[float, Threshold | None]:  # Any: plain JSON values
    temperature, given = facts["temperature"], facts["threshold"]
    require_types(temperature, float, "temperature")
    if temperature <= 0:
        raise ValueError(f"its temperature is {temperature}; expected a number above 0")
    if given is None:
        return float(temperature), None
    threshold = Threshold(**given)
    require_types(threshold, Threshold, "threshold")
    shares = ("probability", "precision", "low", "high", "coverage")
    wrong = [name for name in shares if not 0 <= getattr(threshold, name) <= 1]
    if wrong or threshold.n < 0:
        raise ValueError(f"threshold.{(wrong or ['n'])[0]} is no share or no count")
    return float(temperature), threshold

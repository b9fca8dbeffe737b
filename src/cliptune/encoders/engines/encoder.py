"""A dual encoder over converted graphs: torch is loaded only for what has no graph yet.

It does not know how it came to be chosen, nor how graphs are made beyond asking for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.engines.backends import Backend
from cliptune.encoders.engines.facts import EncoderFacts
from cliptune.encoders.engines.intel import import_openvino
from cliptune.encoders.engines.machine import this_machine
from cliptune.encoders.engines.making import find_or_make
from cliptune.encoders.engines.runtimes import IMAGES_AT_ONCE, Run, open_graph
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.families.facts import Score
from cliptune.encoders.out_of_memory import encode_in_parts
from cliptune.encoders.picture_crops import require_one_crop
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.text_end import TextEnd, encode_by_length, reject_empty, reject_long
from cliptune.errors import CliptuneError, ConversionError, InputError

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import TorchEncoder

__all__ = ["EngineEncoder", "Reference"]

# What a request of a server's thread takes of a convolutional tower, whose layers hold several
# megabytes an image and cost an image the same at any number: lite's about 11, on each thread.
_CONVOLUTIONAL_AT_ONCE = 4

Reference = Callable[[], "TorchEncoder"]


class EngineEncoder:
    """A ``DualEncoder`` whose towers are graphs.

    Args:
        name: What the user calls the model.
        facts: The encoder without its towers.
        way: Engine and number format.
        store: Where its graphs are kept.
        reference: Loads the same model in torch, float32, on the processor; called only for
            what is not in the store.
        calibration: Gives the images (N, 3, H, W) that an 8-bit graph is calibrated on.

    Attributes:
        reason: Why this engine, for records; whoever chose it writes it here.
        news: What is worth telling the user: a choice made just now, or what 8 bits cost.
    """

    device = "cpu"
    reduced_input = True

    def __init__(
        self,
        *,
        name: str,
        facts: EncoderFacts,
        way: Backend,
        store: GraphStore,
        reference: Reference,
        calibration: Callable[[], NDArray[np.uint8]],
    ) -> None:
        self.name = name
        self.facts = facts
        self.way = way
        self.reason = way.reason
        self.news = ""
        self._store = store
        self._reference = reference
        self._calibration = calibration
        self._runs: dict[str, Run] = {}
        self._opening = {tower: Lock() for tower in ("image", "text", "tokens", "trunk")}
        self._of_threads = False

    @property
    def engine(self) -> str:
        """What runs the towers: ``openvino`` or ``onnx``."""
        return self.way.engine

    @property
    def precision(self) -> str:
        """What the image tower computes in: ``fp32``, ``bf16`` or ``int8``."""
        return self.way.precision

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.facts.dim

    @property
    def logit_scale(self) -> float:
        """The factor, already exponentiated, that the model multiplies cosines by."""
        return self.facts.logit_scale

    @property
    def logit_bias(self) -> float | None:
        """What the model adds to its logits; None where it adds nothing."""
        return self.facts.logit_bias

    @property
    def score(self) -> Score:
        """What the model was trained for: ``softmax`` or ``sigmoid``."""
        return self.facts.score

    @property
    def prompt(self) -> str | None:
        """The template that its family's authors use."""
        return self.facts.prompt

    @property
    def context_length(self) -> int:
        """Tokens that fit into the text tower, begin and end marks included."""
        return self.facts.context_length

    @property
    def preprocess(self) -> Preprocess:
        """From a picture to bytes; normalisation is part of the graph."""
        return self.facts.preprocess

    @property
    def fingerprint(self) -> str:
        """Digest of the weights that the graphs were made from, of preprocessing and tokenizer."""
        return self.facts.fingerprint

    def has_graphs(self) -> bool:
        """Say whether both towers' graphs seem to be there; each is opened when it is needed."""
        return all(
            self._store.looks_whole(self.way.graph_kind(tower), tower)
            for tower in ("image", "text")
        )

    def prepare(self) -> None:
        """Open both towers' graphs; make what is missing.

        Raises:
            ConversionError: A tower cannot be converted or run.
        """
        self._open("image")
        self._open("text")

    def open_ahead(self, tower: str) -> None:
        """Open a tower's graph beside what the caller does next, if it was made before.

        Whoever needs the graph waits for it, and hears of any fault.

        Args:
            tower: ``image``, ``text``, ``tokens`` or ``trunk``.
        """
        if tower not in self._runs and self._store.looks_whole(self.way.graph_kind(tower), tower):
            if self.engine == "openvino":
                import_openvino()  # not in two threads at once
            Thread(target=self._try_to_open, args=(tower,)).start()

    def _try_to_open(self, tower: str) -> None:
        with suppress(CliptuneError):
            self._open(tower)

    def serve_threads(self) -> None:
        """Let threads call it side by side from now on, with few images; see ``open_graph``."""
        self._of_threads = True
        self._runs.clear()

    def at_once(self, tower: str) -> int:
        """Return how many pictures one request takes; their crops are about as many images.

        Args:
            tower: ``image``, ``tokens``, ``trunk`` or ``text``.
        """
        if self._singly(tower):
            return 1
        most = IMAGES_AT_ONCE
        if self._of_threads and self.facts.convolutional:
            most = _CONVOLUTIONAL_AT_ONCE
        crops = 1 if tower == "text" else self.preprocess.crops
        return max(1, most // crops)

    def computed_by(self, kind: str) -> tuple[str, str]:
        """Return engine and number format behind an output, for the key of what is kept.

        An 8-bit graph depends on the images it was calibrated on; so it is named by its digest.

        Args:
            kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut``.
        """
        if kind == "pooled" and self.precision == "int8":
            self._open("image")
            files = (self._store.record("openvino-int8", "image") or {})["files"]
            singly = " singly" if self._singly("image") else ""
            return f"openvino {files['image.bin']['sha256'][:16]}{singly}", "int8"
        tower = {"pooled": "image", "tokens": "tokens", "trunk": "trunk"}.get(kind, "text")
        return self.engine, self.way.tower_precision(tower, this_machine())

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images (B, 3, H, W); see ``DualEncoder``."""
        return encode_in_parts(self._run("image"), self._checked(pixels))

    def encode_tokens(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give one vector per patch, not normalised; see ``DualEncoder``."""
        return encode_in_parts(self._run("tokens"), self._checked(pixels))

    def encode_trunk(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed images and keep what is projected; see ``DualEncoder``.

        In 8 bits the embedding here is that of the graph before quantisation, like the tokens.
        """
        return encode_in_parts(self._run("trunk"), self._checked(pixels))

    def encode_texts(self, texts: Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Embed texts; see ``DualEncoder``.

        Raises:
            InputError: A text is too long and ``truncate`` is false, or has no token, or there is
                no text.
        """
        if isinstance(texts, str) or not texts:
            raise InputError(f"texts to embed: got {texts!r}, expected a non-empty list of strings")
        tokenize, count_tokens = self._tokenizer
        ids, end = tokenize(list(texts)), self.facts.text_end
        reject_empty(texts, ids, name=self.name)
        if not truncate:
            reject_long(texts, ids, end=end, count_tokens=count_tokens, name=self.name)
        cut = TextEnd() if self.engine == "onnx" else end  # its graph has the full length
        return encode_by_length(self._run("text"), ids, cut)

    def encode_alone(
        self, kind: str, inputs: NDArray[np.uint8] | Sequence[str]
    ) -> NDArray[np.float32]:
        """Compute a few inputs in one request that is waited for, from a copy of them.

        Args:
            kind: ``pooled``, ``tokens``, ``trunk``, ``texts`` or ``texts-cut``.
            inputs: Pixels (n, 3, H, W), or n texts, which are cut where they are too long.
        """
        if isinstance(inputs, np.ndarray):
            tower = {"pooled": "image"}.get(kind, kind)
            return self._run(tower).alone(self._checked(inputs))
        tokenize, _ = self._tokenizer
        ids = tokenize(list(inputs))
        longest = self.facts.text_end.lengths(ids).max()
        return self._run("text").alone(ids if self.engine == "onnx" else ids[:, :longest])

    @cached_property
    def _tokenizer(self) -> tuple[Callable[[list[str]], NDArray[np.int64]], Callable[[str], int]]:
        stored = self._store.read_tokenizer()
        if stored is not None:
            return stored, stored.count_tokens
        original = self._reference().tokenizer
        return lambda texts: np.asarray(original(texts)), original.count_tokens

    def _run(self, tower: str) -> Run:
        if tower == "tokens":
            require_one_crop(self.preprocess.crops, self.name, "the patches of a picture")
        self._open(tower)
        return self._runs[tower]

    def _open(self, tower: str) -> None:
        with self._opening[tower]:
            if tower not in self._runs:
                self._runs[tower] = self._open_graph(tower)

    def _open_graph(self, tower: str) -> Run:
        kind = self.way.graph_kind(tower)
        path = find_or_make(
            self._store, kind, tower, reference=self._reference, calibration=self._calibration
        )
        precision = self.way.tower_precision(tower, this_machine())
        try:
            return open_graph(
                self.engine,
                path,
                precision=precision,
                n_images=self.at_once(tower),
                of_threads=self._of_threads,
            )
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ConversionError(
                f"{self.name}: {self.engine} cannot run the graph of the {tower} tower ({reason}); "
                f"use --engine torch"
            ) from error

    def _singly(self, tower: str) -> bool:
        """Say whether each image needs a request of its own.

        OpenVINO 2026.4 rounds an 8-bit convolutional tower otherwise for two images or more, and
        farther from the tower in fp32: ``lite``'s rows move by 0.2, those of one image by 0.07.
        """
        return self.precision == "int8" and tower == "image" and self.facts.convolutional

    def _checked(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        expected = self.preprocess.shape
        if pixels.ndim != 4 or pixels.shape[1:] != expected or pixels.dtype != np.uint8:
            raise InputError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype}, "
                f"expected (B, {', '.join(map(str, expected))}) uint8; use preprocess"
            )
        return pixels

"""An encoder's tokenizer as one JSON text of the ``tokenizers`` library, used without torch.

Import of open_clip or transformers takes many seconds; ``tokenizers`` takes a fiftieth of one.
What is written down is used only after it gave the original's ids for a list of difficult
texts. It knows no tower.
"""

from __future__ import annotations

import gzip
import html
import json
import string
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cliptune.encoders.published import open_clip_folder
from cliptune.errors import CheckpointError
from cliptune.system.json_files import parse_object

if TYPE_CHECKING:
    from cliptune.encoders.torch_encoder import Tokenizer, TorchEncoder

__all__ = ["StoredTokenizer", "write_down"]

_MERGES = 49152 - 256 - 2  # of CLIP's vocabulary: byte symbols with and without </w>, two marks
_WORDS = (
    r"(?i)<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLEANINGS = ("lower", "whitespace", "canonicalize", "case", "none")
_DIFFICULT = (
    "a photo of a bee.",
    "",
    "  Two   spaces\tand a\nline ",
    "it's they'll WE'VE don't -- (stop) [here] #tag @me",
    "na\u00efve caf\u00e9 \u00dcn\u00ef \u2018quoted\u2019 \u201ctext\u201d\u2026",
    "2 in 1, 3.5%, \u00b2 \u00bd, \ufb01 ligature",
    "&amp;amp; &lt;b&gt;",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8",
    "\u041c\u041e\u0421\u041a\u0412\u0410 \U0001f41d!",
    "x" * 300,
    "word " * 200,
    "<end_of_text> inside <start_of_text>",
)


class StoredTokenizer:
    """Token ids as NumPy arrays.

    Args:
        definition: JSON of the ``tokenizers`` library, with its truncation and padding.
        cleaning: ``lower``, ``whitespace`` or ``canonicalize``, as open_clip cleans texts first;
            ``case`` for lower case alone, or ``none``.
        masked: Padding is written as ``-1 - id``.
    """

    def __init__(self, definition: str, cleaning: str, *, masked: bool = False) -> None:
        from tokenizers import Tokenizer

        self.definition, self.cleaning, self.masked = definition, cleaning, masked
        # Any: tokenizers is compiled and carries no types
        self._padded: Any = Tokenizer.from_str(definition)

    @cached_property
    def _whole(self) -> Any:  # Any: as above
        """The tokenizer without cut and padding, which few texts need; reading it takes a while."""
        from tokenizers import Tokenizer

        whole: Any = Tokenizer.from_str(self.definition)
        whole.no_truncation()
        whole.no_padding()
        return whole

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Give int64 ids (T, context), padded; what is too long is cut."""
        encoded = self._padded.encode_batch([_clean(text, self.cleaning) for text in texts])
        ids = np.array([row.ids for row in encoded], np.int64)
        if not self.masked:
            return ids
        return np.where(np.array([row.attention_mask for row in encoded]) > 0, ids, -1 - ids)

    def count_tokens(self, text: str) -> int:
        """Count the ids of a text before any cut, marks included."""
        return len(self._whole.encode(_clean(text, self.cleaning)).ids)

    def to_json(self) -> str:
        """Return all there is to it as one text."""
        values = {"cleaning": self.cleaning, "definition": self.definition}
        return json.dumps({**values, "masked": self.masked})

    @classmethod
    def from_json(cls, text: str) -> StoredTokenizer:
        """Read what ``to_json`` gave.

        Raises:
            CheckpointError: The text is no such JSON, or the tokenizers library refuses it.
        """
        values = parse_object(text, "a stored tokenizer", CheckpointError)
        definition, cleaning = values.get("definition"), values.get("cleaning")
        if not isinstance(definition, str) or cleaning not in _CLEANINGS:
            raise CheckpointError("a stored tokenizer has no definition and cleaning")
        try:
            return cls(definition, str(cleaning), masked=values.get("masked") is True)
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise CheckpointError(f"a stored tokenizer is broken ({error})") from error


def write_down(encoder: TorchEncoder) -> StoredTokenizer | None:
    """Turn an encoder's tokenizer into a stored one; None where that gives other ids."""
    original = encoder.tokenizer
    definition, cleaning = _define(original)
    if definition is None:
        return None
    stored = StoredTokenizer(definition, cleaning, masked=getattr(original, "masked", False))
    texts = list(_DIFFICULT)
    same_ids = np.array_equal(stored(texts), original(texts).numpy())
    same_counts = all(stored.count_tokens(t) == original.count_tokens(t) for t in texts)
    return stored if same_ids and same_counts else None


def _define(tokenizer: Tokenizer) -> tuple[str | None, str]:
    from cliptune.encoders.family_tokenizer import FamilyTokenizer
    from cliptune.encoders.lite_wheels import LiteTokenizer
    from cliptune.encoders.tokenizers import BytePairTokenizer, FolderTokenizer

    if isinstance(tokenizer, BytePairTokenizer):
        return _byte_pairs(tokenizer.context_length), "lower"
    if isinstance(tokenizer, LiteTokenizer):
        return tokenizer.padded_definition(), "none"
    if isinstance(tokenizer, FolderTokenizer):
        return tokenizer.padded_definition(), tokenizer.cleaning
    if isinstance(tokenizer, FamilyTokenizer):
        return tokenizer.padded_definition(), "case" if tokenizer.lower else "none"
    return None, "none"


def _byte_pairs(context_length: int) -> str:
    """Define CLIP's own tokenizer from the vocabulary that comes with open_clip."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    raw = gzip.decompress((open_clip_folder() / "bpe_simple_vocab_16e6.txt.gz").read_bytes())
    lines = raw.decode().split("\n")[1 : _MERGES + 1]
    merges = [(first, second) for first, second in map(str.split, lines)]
    symbols = _byte_symbols()
    words = [*symbols, *(s + "</w>" for s in symbols), *map("".join, merges)]
    begin, end = "<start_of_text>", "<end_of_text>"
    vocabulary = {word: i for i, word in enumerate([*words, begin, end])}
    tokenizer: Any = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    marks = [(begin, vocabulary[begin]), (end, vocabulary[end])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=marks
    )
    tokenizer.add_special_tokens([begin, end])
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=0)
    definition: str = tokenizer.to_str()
    return definition


def _byte_symbols() -> list[str]:
    """List the 256 printable stand-ins of bytes in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(i) for i in printable] + [chr(256 + i) for i in range(others)]


def _clean(text: str, cleaning: str) -> str:
    if cleaning in ("none", "case"):
        return text.lower() if cleaning == "case" else text
    import ftfy

    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    if cleaning == "canonicalize":  # as open_clip: without punctuation, in lower case
        mended = mended.replace("_", " ").translate(_NO_PUNCTUATION).lower()
    joined = " ".join(mended.split())
    return joined.lower() if cleaning == "lower" else joined

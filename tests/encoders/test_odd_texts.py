"""Two hundred odd texts through SigLIP's clean-up, beside the libraries' own tokenizers."""

import numpy as np
import pytest
from family_models import gemma_tokenizer, unigram_tokenizer

from cliptune.encoders.engines.token_ids import StoredTokenizer, _define
from cliptune.encoders.family_tokenizer import FamilyTokenizer
from cliptune.encoders.tokenizers import FolderTokenizer

PIECES = [
    "a photo of", "A PHOTO", "ant", "Bee's", "it's", "don't!", "(two)", "[red]", "{}", "snake_case",
    "__init__", "&amp;", "&lt;b&gt;", "&#39;", "caf\u00e9", "cafe\u0301", "\u00dcBER",
    "stra\u00dfe", "\u0130stanbul", "\ufb01sh", "\u2018quoted\u2019", "\u2026", "\u2014", "3.5%",
    "10,000", "#1", "@me", "a/b", "\t", "\n", "  ", "\u00a0", "\u3000", "\u200b", "\ufeff",
    "\U0001f41d",
    "\U0001f468\u200d\U0001f469", "\u65e5\u672c\u8a9e", "\u041c\u041e\u0421\u041a\u0412\u0410",
    "\u0639\u0631\u0628\u064a", "\u00c3\u00a9", "<eos>", "<pad>", "</s>", "\u2581", "\\", '"', "$",
    "^", "~", "`", ";:", "?!", "...", "\x07",
]  # fmt: skip


def odd_texts():
    """Return each piece alone, then drawn mixtures: 200 in all, and an empty one among them."""
    rng = np.random.default_rng(0)
    mixed = [
        rng.choice(["", " "]).join(rng.choice(PIECES, rng.integers(2, 9)))
        for _ in range(199 - len(PIECES))
    ]
    return ["", *PIECES, *map(str, mixed)]


@pytest.fixture(scope="module", params=[gemma_tokenizer, unigram_tokenizer])
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp("words")
    request.param(made).save_pretrained(made)
    return made


def test_there_are_two_hundred():
    assert len(set(odd_texts())) == 200


def test_the_canonical_clean_up_is_open_clips(folder):
    from open_clip.tokenizer import HFTokenizer

    texts = odd_texts()
    options = {"clean": "canonicalize"}
    ours = FolderTokenizer(folder, context_length=64, mode="", options=options)
    expected = HFTokenizer(str(folder), context_length=64, clean="canonicalize")(texts).numpy()
    np.testing.assert_array_equal(ours(texts).numpy(), expected)
    stored = StoredTokenizer(*_define(ours))
    np.testing.assert_array_equal(stored(texts), expected)
    assert [stored.count_tokens(t) for t in texts] == [ours.count_tokens(t) for t in texts]


def test_transformers_own_tokenizer_is_kept_as_it_is(folder):
    from transformers import AutoTokenizer

    texts = odd_texts()
    ours = FamilyTokenizer(folder, context_length=64, masked=False)
    theirs = AutoTokenizer.from_pretrained(folder)(
        texts, padding="max_length", max_length=64, truncation=True, return_tensors="np"
    )
    stored = StoredTokenizer(*_define(ours), masked=ours.masked)
    np.testing.assert_array_equal(stored(texts), ours(texts).numpy())
    found = stored(texts)
    np.testing.assert_array_equal(np.where(found < 0, -1 - found, found), theirs["input_ids"])

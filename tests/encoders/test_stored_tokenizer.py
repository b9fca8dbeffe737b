"""A tokenizer written down gives the original's ids, without torch."""

import numpy as np
import pytest

from cliptune.encoders.engines.token_ids import StoredTokenizer, _define, write_down
from cliptune.encoders.lite_wheels import load_sentence_encoder
from cliptune.encoders.tokenizers import BytePairTokenizer, FolderTokenizer
from cliptune.prompts import load_template_set, published_class_names

TEXTS = [
    template.format(name)
    for name in published_class_names()[::7]
    for template in load_template_set("openai").templates[::20]
] + ["", "A\u00a0b", "caf\u00e9!!! 10,000 bees\u2026", "&lt;p&gt; it's", "bee " * 90]


@pytest.mark.parametrize("kind", ["byte pairs", "byte pairs of 16", "lite", "folder"])
def test_ids_and_counts_are_the_originals(kind, words_folder):
    if kind == "folder":
        original = FolderTokenizer(words_folder, context_length=12, mode="", options={})
    elif kind == "lite":
        original = load_sentence_encoder()[1]
    else:
        original = BytePairTokenizer(context_length=16 if "16" in kind else 77)
    stored = StoredTokenizer.from_json(StoredTokenizer(*_define(original)).to_json())
    np.testing.assert_array_equal(stored(TEXTS), original(TEXTS).numpy())
    assert [stored.count_tokens(t) for t in TEXTS] == [original.count_tokens(t) for t in TEXTS]


def test_an_unknown_tokenizer_or_one_with_other_ids_is_not_written_down(monkeypatch):
    class Holder:
        tokenizer = object()

    assert write_down(Holder()) is None
    Holder.tokenizer = BytePairTokenizer()
    assert write_down(Holder()) is not None
    monkeypatch.setattr(BytePairTokenizer, "count_tokens", lambda *_: 3)
    assert write_down(Holder()) is None

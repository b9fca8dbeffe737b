import pytest

from cliptune.encoders.tokenizers import BytePairTokenizer, FolderTokenizer, build_tokenizer
from cliptune.errors import CheckpointError

TEXTS = ["", "a photo of an ant", "Ämter &amp; Bienen, 42!", "word " * 90]


def test_byte_pairs_are_open_clips_own():
    from open_clip import get_tokenizer

    ours = build_tokenizer({"context_length": 77, "vocab_size": 49408}, None)
    assert isinstance(ours, BytePairTokenizer)
    assert ours(TEXTS).equal(get_tokenizer("ViT-B-32")(TEXTS))


@pytest.mark.parametrize("text", TEXTS[:3])
def test_counts_the_ids_that_a_text_gets(text):
    tokenizer = BytePairTokenizer()
    assert tokenizer.count_tokens(text) == int((tokenizer([text]) != 0).sum())


def test_counts_what_will_be_cut():
    assert BytePairTokenizer().count_tokens(TEXTS[3]) == 92


def test_random_dropping_of_words_is_left_to_training():
    plain = build_tokenizer({}, None)
    dropping = build_tokenizer({"tokenizer_kwargs": {"reduction_mask": "shuffle"}}, None)
    assert dropping(TEXTS).equal(plain(TEXTS))


def test_rejects_a_vocabulary_that_is_not_the_towers():
    with pytest.raises(CheckpointError, match="text tower has 32000 tokens"):
        build_tokenizer({"vocab_size": 32000}, None)


def test_a_folder_is_read_as_open_clip_reads_it(words_folder):
    from open_clip.tokenizer import HFTokenizer

    cfg = {"context_length": 6, "tokenizer_kwargs": {"clean": "canonicalize"}}
    ours = build_tokenizer(cfg, words_folder)
    assert isinstance(ours, FolderTokenizer)
    reference = HFTokenizer(str(words_folder), context_length=6, clean="canonicalize")
    texts = ["A photo, of the ant!", "bee", "a " * 20]
    assert ours(texts).equal(reference(texts))
    assert ours(["A bee!"])[0].tolist() == [3, 7, 1, 0, 0, 0]
    assert [ours.count_tokens(text) for text in texts] == [6, 2, 21]


def test_identity_tells_vocabularies_and_settings_apart_and_survives_use(words_folder):
    plain = build_tokenizer({"context_length": 6}, words_folder)
    before = plain.identity
    plain(["a bee"])
    plain.count_tokens("a " * 20)
    again = build_tokenizer({"context_length": 6}, words_folder)
    cleaned = {"context_length": 6, "tokenizer_kwargs": {"clean": "canonicalize"}}
    identities = {
        before,
        build_tokenizer({"context_length": 7}, words_folder).identity,
        build_tokenizer(cleaned, words_folder).identity,
        build_tokenizer({"context_length": 6}, None).identity,
    }
    assert plain.identity == before == again.identity
    assert len(identities) == 4


def test_a_folder_without_a_tokenizer_is_refused_in_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"^.* holds no readable tokenizer: .*$"):
        build_tokenizer({}, tmp_path)

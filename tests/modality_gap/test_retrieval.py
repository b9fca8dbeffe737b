import numpy as np
import pyarrow.parquet as pq
import pytest

from cliptune.errors import DataError, InputError
from cliptune.modality_gap.relation import relate_captions, relate_groups
from cliptune.modality_gap.retrieval import match_ranks, score_retrieval


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def captioned(n=60, seed=0, noise=2.0):
    rng = np.random.default_rng(seed)
    owners = rng.permutation(np.repeat(np.arange(n), 3))
    content = rng.normal(size=(n, 12))
    texts = content[owners] + noise * rng.normal(size=(len(owners), 12))
    return unit(content), unit(texts), owners


def brute_force(images, texts, owners, k):
    to_text = [
        any(
            owners[t] == i
            for t in sorted(range(len(texts)), key=lambda t: -(images[i] @ texts[t]))[:k]
        )
        for i in range(len(images))
    ]
    to_image = [
        owners[t] in sorted(range(len(images)), key=lambda i: -(images[i] @ texts[t]))[:k]
        for t in range(len(texts))
    ]
    return np.mean(to_text), np.mean(to_image)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_recall_agrees_with_sorting_everything(k):
    images, texts, owners = captioned()
    scores = score_retrieval(images, texts, owners)
    expected = brute_force(images, texts, owners, k)
    assert (scores.image_to_text[k].value, scores.text_to_image[k].value) == pytest.approx(expected)
    assert scores.image_to_text[k].n == 60
    assert scores.text_to_image[k].n == 180


def test_recall_on_real_captions_agrees_with_sorting_everything(data_root):
    # Real numbers of captions and real texts; vectors are counts of letters and of words' ends.
    captions = pq.read_table(data_root / "flickr8k" / "test.parquet")["captions"].to_pylist()
    owners = np.repeat(np.arange(len(captions)), [len(own) for own in captions])
    letters = np.asarray(
        [
            [text.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"]
            for own in captions
            for text in own
        ],
        float,
    )
    first = np.asarray([letters[owners == row].mean(axis=0) for row in range(len(captions))])
    images, texts = unit(first + 0.01), unit(letters + 0.01)
    scores = score_retrieval(images, texts, owners)
    expected = brute_force(images[:], texts, owners, 5)
    found = scores.image_to_text[5].value, scores.text_to_image[5].value
    assert found == pytest.approx(expected, abs=1e-9)


def test_one_point_for_everything_finds_nothing():
    same = unit(np.ones((8, 4)))
    scores = score_retrieval(same, same, np.arange(8))
    assert scores.image_to_text[5].value == 0.0
    assert scores.text_to_image[1].value == 0.0


def test_interval_of_texts_counts_images_not_texts():
    # All captions of an image are the same, so five times the texts say nothing more.
    images, texts, owners = captioned(n=200)
    once = np.unique(owners, return_index=True)[1]
    single = score_retrieval(images, texts[once], owners[once]).text_to_image[1]
    repeated = score_retrieval(
        images, np.repeat(texts[once], 5, axis=0), np.repeat(owners[once], 5)
    ).text_to_image[1]
    assert repeated.value == single.value
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.1)


def test_an_image_without_a_caption_is_a_candidate_but_no_query():
    images = unit(np.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]))
    texts = unit(np.asarray([[1.0, 0.09], [0.0, 1.0]]))
    scores = score_retrieval(images, texts, np.asarray([0, 1]))
    assert scores.image_to_text[1].n == 2
    assert scores.text_to_image[1].value == 0.5  # image 2 is nearer to text 0 than image 0


def test_an_equal_text_is_the_images_own_whoever_brought_it():
    # Four images a wording, each next to it: with ties as misses nothing would be found.
    wordings = unit(np.random.default_rng(0).normal(size=(7, 16)))
    owners = np.arange(28)
    texts, kinds = np.repeat(wordings, 4, axis=0), np.repeat(np.arange(7), 4)
    images = unit(texts + 0.01 * np.random.default_rng(1).normal(size=texts.shape))
    apart = score_retrieval(images, texts, owners)
    assert apart.image_to_text[1].value == 0.0
    scores = score_retrieval(images, texts, owners, text_items=kinds)
    assert scores.image_to_text[1].value == 1.0
    assert scores.text_to_image[1].value == 1.0


def test_a_wording_that_repeats_takes_one_place():
    # The wrong wording is nearest and comes nine times; the own one stands right behind it.
    images = unit(np.asarray([[1.0, 0.3], [0.0, 1.0]]))
    texts = unit(np.asarray([[1.0, 0.0], *[[1.0, 0.2]] * 9]))
    owners, kinds = np.asarray([0, *[1] * 9]), np.asarray([5, *[2] * 9])
    relation = relate_captions(owners, 2, text_items=kinds)
    assert match_ranks(images, texts, relation)[0].tolist() == [2, 1]


def test_either_copy_of_a_picture_answers_and_both_take_one_place():
    images = unit(np.asarray([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    texts = unit(np.asarray([[1.0, 0.1], [0.2, 1.0], [0.9, 0.5]]))
    owners, pictures = np.asarray([1, 0, 2]), np.asarray([3, 3, 8])
    ranks = match_ranks(images, texts, relate_captions(owners, 3, image_items=pictures))
    assert ranks[1].tolist() == [1, 2, 2]
    assert ranks[0].tolist() == [1, 1, 2]
    scores = score_retrieval(images, texts, owners, image_items=pictures)
    assert scores.image_to_text[1].method == "bootstrap over pictures, percentile"


def test_copies_of_everything_change_no_score_and_narrow_no_interval():
    images, texts, owners = captioned(n=40)
    single = score_retrieval(images, texts, owners)
    double = score_retrieval(
        np.concatenate([images] * 2),
        np.concatenate([texts] * 2),
        np.concatenate([owners, owners + 40]),
        image_items=np.arange(80) % 40,
        text_items=np.arange(240) % 120,
    )
    for k in (1, 5, 10):
        assert double.image_to_text[k].value == pytest.approx(single.image_to_text[k].value)
        once, twice = single.text_to_image[k], double.text_to_image[k]
        assert twice.value == pytest.approx(once.value)
        assert twice.high - twice.low >= 0.9 * (once.high - once.low)


def test_a_query_without_a_match_ranks_past_the_last():
    images, texts = unit(np.eye(3)), unit(np.eye(3)[:2])
    ranks, _ = match_ranks(images, texts, relate_groups(np.asarray([0, 1, 7]), np.asarray([0, 1])))
    assert ranks.tolist() == [1, 1, 3]


def test_result_is_plain_json():
    images, texts, owners = captioned()
    shown = score_retrieval(images, texts, owners).to_dict()
    for direction in ("image_to_text", "text_to_image"):
        assert set(shown[direction]) == {
            "recall_at_1", "recall_at_5", "recall_at_10", "n", "intervals",
        }  # fmt: skip
        interval = shown[direction]["intervals"]["recall_at_5"]
        assert interval["low"] <= shown[direction]["recall_at_5"] <= interval["high"]


def test_rejects_what_does_not_go_together():
    images, texts, owners = captioned()
    with pytest.raises(InputError, match="owners do not go together"):
        score_retrieval(images, texts, owners[:-1])
    with pytest.raises(InputError, match="rows of the images, 0 to 59"):
        score_retrieval(images, texts, owners + 1)
    with pytest.raises(DataError, match="1 images have captions"):
        score_retrieval(images, texts[:1], owners[:1])

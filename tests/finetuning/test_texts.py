"""Each distinct text once a step, and who it belongs to."""

import dataclasses

import numpy as np
import torch

from cliptune.finetuning.scoring import remember_tokens
from cliptune.finetuning.texts import caption_texts, class_texts, distinct_captions
from tiny_training import ColourTable, HashTokenizer

NAMES, TEMPLATES = ("red", "green", "blue"), ("a {}.", "the {}.", "{}")


def texts_of(labels, *, every_class=False, step=0):
    return class_texts(
        np.asarray(labels), NAMES, TEMPLATES, every_class=every_class, seed=0, step=step
    )


def test_a_class_that_repeats_has_one_text():
    texts = texts_of([2, 0, 2, 2])
    assert len(texts.texts) == 2
    assert [texts.texts[i].strip(".").split()[-1] for i in texts.text_of_image] == [
        *("blue", "red", "blue", "blue")
    ]
    assert texts.labels.tolist() == [2, 0, 2, 2]


def test_every_class_comes_in_class_order_on_demand():
    texts = texts_of([2, 0], every_class=True)
    assert [text.strip(".").split()[-1] for text in texts.texts] == list(NAMES)
    assert texts.text_of_image.tolist() == [2, 0]


def test_templates_change_with_the_step_and_follow_from_it():
    seen = {texts_of([0], step=step).texts for step in range(40)}
    assert seen == {("a red.",), ("the red.",), ("red",)}
    assert texts_of([0, 1], step=7).texts == texts_of([0, 1], step=7).texts


def test_equal_captions_are_one_text_and_one_label():
    captions = (("a dog", "one dog"), ("a dog",), ("a cat",))
    table = dataclasses.replace(ColourTable(3), captions=captions)
    rows = np.asarray([1, 2, 1])
    texts = caption_texts(table, rows, seed=0, epoch=0)
    assert texts.texts == ("a dog", "a cat")
    assert texts.text_of_image.tolist() == texts.labels.tolist() == [0, 1, 0]


def test_captions_of_an_image_alternate_over_epochs():
    captions = (("a dog", "one dog"),)
    table = dataclasses.replace(ColourTable(1), captions=captions)
    drawn = {caption_texts(table, np.asarray([0]), seed=0, epoch=e).texts for e in range(20)}
    assert drawn == {("a dog",), ("one dog",)}


def test_a_text_is_tokenised_once():
    asked = []

    def tokenize(texts):
        asked.extend(texts)
        return HashTokenizer()(texts)

    remembering = remember_tokens(tokenize)
    for texts in (["an ant", "a bee", "an ant"], ["a bee", "a wasp"]):
        assert torch.equal(remembering(texts), HashTokenizer()(texts))
    assert asked == ["an ant", "a bee", "a wasp"]


def test_captions_that_repeat_belong_to_every_image_that_has_them():
    texts, own = distinct_captions([("a dog", "a cat"), ("A  dog",), ("a bee",)])
    assert texts == ["a dog", "a cat", "a bee"]
    assert own.tolist() == [[True, True, False], [True, False, False], [False, False, True]]

"""What the engines keep of an encoder, when somebody altered it: made again, never believed."""

import json

import pytest

from cliptune.encoders.engines.facts import EncoderFacts
from cliptune.encoders.engines.storage import GraphStore
from cliptune.encoders.preprocess import Preprocess
from cliptune.encoders.text_end import TextEnd

FACTS = EncoderFacts(
    fingerprint="f" * 64,
    dim=16,
    logit_scale=20.0,
    context_length=77,
    preprocess=Preprocess(),
    text_end=TextEnd("largest", 0),
    convolutional=False,
)


@pytest.fixture
def store(tmp_path):
    store = GraphStore(tmp_path, FACTS.fingerprint)
    store.write_facts(FACTS, None)
    return store


def test_facts_are_read_back(store):
    assert store.read_facts() == FACTS


@pytest.mark.parametrize(
    "change",
    [
        {"dim": "16"}, {"dim": None}, {"logit_scale": "high"}, {"logit_scale": 1e999},
        {"preprocess": 3}, {"preprocess": {"size": 3}},
        {"preprocess": Preprocess(crop_fraction=0).to_dict()},
        {"text_end": {"rule": "film"}},
        {"text_end": [1]}, {"more": 1}, {"fingerprint": "0" * 64}, {"convolutional": "no"},
    ],
)  # fmt: skip
def test_facts_of_other_types_are_none(store, change):
    file = store.path / "facts.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert store.read_facts() is None


@pytest.mark.parametrize(
    "record",
    ["[]", "{}", '{"files": []}', '{"files": {"a": 3}}', '{"files": {"../a": {"bytes": 0}}}',
     "[" * 50_000],
)  # fmt: skip
def test_a_record_of_a_graph_of_other_types_is_none(store, record):
    (store.path / "openvino").mkdir()
    (store.path / "openvino" / "image.json").write_text(record)
    assert store.record("openvino", "image") is None
    assert store.find("openvino", "image") is None
    assert not store.looks_whole("openvino", "image")

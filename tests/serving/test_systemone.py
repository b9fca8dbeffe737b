"""Typed decisions about an image; what is a request, transformers' own validation judges."""

import base64
import json

import pytest

from cliptune.serving.decisions import answer_choice, read_questions, seen_images

pytest.importorskip("fastapi", reason="needs cliptune[serve]")
template_utils = pytest.importorskip(
    "transformers.decision.template_utils", reason="needs a transformers that serves decisions"
)

QUESTIONS = {
    "choice": {"type": "choice", "criteria": {"ant": None, "bee": "a bee"}},
    "choice with instructions": {
        "type": "choice", "instructions": {"what": ["is it"]}, "criteria": {"ant": {"legs": 6}},
    },
    "score": {"type": "score", "criteria": ["small", "large"]},
    "noul": {"type": "noul"},
    "noul with criteria": {"type": "noul", "criteria": {"true": "a bee", "false": None}},
    "no type": {"criteria": {"ant": None}},
    "other type": {"type": "rank", "criteria": ["a"]},
    "no criteria": {"type": "choice"},
    "empty criteria": {"type": "choice", "criteria": {}},
    "list for a choice": {"type": "choice", "criteria": ["ant", "bee"]},
    "number for a description": {"type": "choice", "criteria": {"ant": 1}},
    "object for a score": {"type": "score", "criteria": {"a": "b"}},
    "empty score": {"type": "score", "criteria": []},
    "other answer of a noul": {"type": "noul", "criteria": {"maybe": "x"}},
    "number for instructions": {"type": "noul", "instructions": 3},
    "unknown key": {"type": "noul", "weight": 1},
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_transformers_refuses_is_refused(name):
    config = template_utils.DecisionConfig()

    def passes(read):
        try:
            read()
        except ValueError:
            return False
        return True

    theirs = passes(lambda: template_utils.parse_questions({"q": QUESTIONS[name]}, config))
    assert passes(lambda: read_questions({"q": QUESTIONS[name]})) == theirs


def test_all_wrong_questions_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)Question 'a'.*\nQuestion 'b'"):
        read_questions({"a": {"type": "what"}, "ok": {"type": "noul"}, "b": {"type": "choice"}})


@pytest.mark.parametrize("shares", [[0.7, 0.2, 0.1], [1.0], [0.5, 0.5], [0.2] * 5])
def test_a_choice_is_written_as_transformers_writes_it(shares):
    options = [f"o{n}" for n in range(len(shares))]
    question = template_utils.Question("q", "choice", None, options, options, [None] * len(shares))
    assert answer_choice(dict(zip(options, shares, strict=True))) == question.answer(shares)


def test_an_image_is_seen_where_its_placeholder_stands():
    (question,) = read_questions(
        {"q": {"type": "choice", "instructions": ["is img-1 it"], "criteria": {"a": "as img-2"}}}
    ).values()
    assert seen_images({"deep": [{"photo": "img-10"}]}, question, ["img-1", "img-10", "img-2"]) == (
        "img-10", "img-1", "img-2",
    )  # fmt: skip
    assert seen_images("nothing", question, []) == ()


@pytest.fixture(scope="module")
def ask(open_local, fitted, bee):
    asset = {"type": "image", "format": "png", "data_base64": base64.b64encode(bee).decode()}

    with open_local({"insects": fitted.run}) as server:

        def post(questions, **changes):
            body = {"model": "insects", "state": "look at img-1", "assets": {"img-1": asset}}
            return server.post_json("/v1/systemone", {**body, "questions": questions, **changes})

        yield post


def test_class_names_are_answered_by_the_head(ask):
    said = ask({"insect": {"type": "choice", "criteria": {"bee": None, "ant": None}}})
    assert said.status == 200, said.body
    answer = said.json
    assert answer["model"] == "insects"
    assert answer["usage"]["output_tokens"] == 0
    insect = answer["answers"]["insect"]
    assert (insect["type"], insect["choice"]) == ("choice", "bee")
    assert sum(insect["probabilities"].values()) == pytest.approx(1)
    assert insect["confidence"] == pytest.approx(2 * insect["probabilities"]["bee"] - 1)
    assert json.loads(said.headers["cliptune-answered-by"]) == {"insect": "head"}


def test_other_options_are_answered_by_zero_shot(ask):
    said = ask({
        "thing": {"type": "choice", "criteria": {"car": "a photo of a car", "bee": "a bee"}},
        "alive": {"type": "noul", "criteria": {"true": "an insect", "false": "a brick wall"}},
    })  # fmt: skip
    assert said.status == 200, said.body
    answers = said.json["answers"]
    assert answers["thing"]["choice"] == "bee"
    assert answers["alive"]["noul"] > 0.5
    assert set(json.loads(said.headers["cliptune-answered-by"]).values()) == {"zero-shot"}


@pytest.mark.parametrize(
    ("questions", "changes", "status"),
    [
        ({"q": {"type": "score", "criteria": ["a", "b"]}}, {}, 400),
        ({"q": {"type": "noul"}}, {}, 400),
        ({"q": {"type": "choice", "criteria": {"a": None}}}, {"assets": {}}, 400),
        ({"q": {"type": "what"}}, {}, 422),
        ({}, {}, 422),
        ({"q": {"type": "noul"}}, {"other": 1}, 422),
        ({"q": {"type": "noul"}}, {"state": 3}, 422),
        ({"q": {"type": "choice", "criteria": {"a": None}}}, {"model": "none"}, 404),
        (
            {"q": {"type": "choice", "criteria": {"ant": None}}},
            {"assets": {"img-1": {"data_base64": "AAAA"}}},
            400,
        ),
        (
            {"q": {"type": "choice", "criteria": {"ant": None}}},
            {"assets": {f"img-{n}": {} for n in range(5)}},
            422,
        ),
    ],
)
def test_what_cannot_be_answered_gets_a_plain_sentence(ask, questions, changes, status):
    said = ask(questions, **changes)
    assert said.status == status, said.body
    assert isinstance(said.json["detail"], str)

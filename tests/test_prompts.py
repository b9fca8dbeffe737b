import subprocess
import sys

import numpy as np
import pytest

from cliptune.errors import InputError, UnknownNameError
from cliptune.prompts import (
    custom_template_set,
    distinct_prompts,
    ensemble_rows,
    find_equal_classes,
    list_template_sets,
    load_template_set,
)


def test_published_sets_are_those_of_open_clip():
    import open_clip

    published = {
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
        "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
    }
    for name, functions in published.items():
        filled = [t.replace("{}", "ant") for t in load_template_set(name).templates]
        assert filled == [function("ant") for function in functions]


def test_published_sets_are_read_without_importing_open_clip():
    code = (
        "import sys; from cliptune.prompts import load_template_set; "
        "load_template_set('openai'); "
        "assert 'open_clip' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_template_has_one_place_for_the_class():
    for template_set in list_template_sets():
        assert template_set.templates
        assert all(t.count("{}") == 1 for t in template_set.templates)


def test_unknown_set_names_the_nearest():
    with pytest.raises(UnknownNameError, match="nearest: openai"):
        load_template_set("open-ai")


@pytest.mark.parametrize("templates", [["a photo"], ["{} and {}"], []])
def test_rejects_a_template_without_exactly_one_place(templates):
    with pytest.raises(InputError):
        custom_template_set(templates)


def test_braces_in_a_class_name_stay():
    assert distinct_prompts(["a {} b"], ["the {}."]) == ["the a {} b."]


def test_rows_are_normalised_means_and_each_text_is_encoded_once():
    vectors = {
        "x ant": [1.0, 0.0, 0.0],
        "y ant": [0.0, 1.0, 0.0],
        "x bee": [0.0, 0.0, 1.0],
        "y bee": [0.0, 0.6, 0.8],
    }
    calls = []

    def encode(texts):
        calls.extend(texts)
        return np.asarray([vectors[t] for t in texts], np.float32)

    rows = ensemble_rows(encode, ["ant", "bee", "ant"], ["x {}", "y {}"])
    assert calls == ["x ant", "y ant", "x bee", "y bee"]
    assert rows[0] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0])
    assert rows[1] == pytest.approx(np.asarray([0, 0.3, 0.9]) / np.linalg.norm([0.3, 0.9]))
    assert (rows[2] == rows[0]).all()


def test_prompts_that_cancel_out_are_an_error():
    def encode(texts):
        return np.asarray([[1.0, 0.0], [-1.0, 0.0]], np.float32)

    with pytest.raises(InputError, match="'ant' average to nothing"):
        ensemble_rows(encode, ["ant"], ["x {}", "y {}"])


def test_classes_with_equal_texts_are_found():
    def encode(texts):
        return np.asarray([[len(t), 1.0] for t in texts], np.float32)

    names = ["a", "bee", "A", "b", "fly"]
    rows = ensemble_rows(encode, names, ["x {}"])
    assert find_equal_classes(names, rows) == (("a", "A", "b"), ("bee", "fly"))
    assert find_equal_classes(names[:2], rows[:2]) == ()

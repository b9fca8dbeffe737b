"""Class names: cleaned for prompts, overridden by the user, refused when they collide."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliptune.errors import DataError, InputError
from cliptune.images.names import clean_class_name, name_classes, read_class_names


def classes(labels, given_names=None, numbered=False):
    return name_classes(labels, given_names, numbered=numbered, origin="data")


@given(st.text())
def test_a_clean_name_has_single_spaces_and_no_marks(raw):
    clean = clean_class_name(raw)
    assert not set(clean) & set("_-\n\t\r")
    assert "  " not in clean
    assert clean == clean.strip()
    assert clean_class_name(clean) == clean


@given(st.text())
def test_cleaning_removes_nothing_but_separators(raw):
    composed = unicodedata.normalize("NFC", raw)
    kept = [c for c in composed if not c.isspace() and c not in "_-"]
    assert [c for c in clean_class_name(raw) if c != " "] == kept


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("golden_retriever", "golden retriever"),
        ("t-shirt", "t shirt"),
        ("  two\nlines ", "two lines"),
        ("__aquarium__fish--", "aquarium fish"),
        ("Ameise_groß", "Ameise groß"),
        ("u\u0308ber", "\u00fcber"),
    ],
)
def test_examples_of_cleaning(raw, clean):
    assert clean_class_name(raw) == clean


def test_labels_that_are_one_name_after_cleaning_are_refused_by_name():
    with pytest.raises(DataError, match=r"'golden-retriever' and 'golden_retriever'"):
        classes(["golden-retriever", "golden_retriever"])
    with pytest.raises(DataError, match=r"'Ant' and 'ant'"):
        classes(["Ant", "ant"])


def test_a_label_without_letters_needs_a_name():
    with pytest.raises(DataError, match="'___' has no letters"):
        classes(["___", "ant"])
    assert classes(["___", "ant"], {"___": "bee", "ant": "ant"}).names == ("bee", "ant")


def test_a_mapping_renames_labels_and_must_be_complete():
    named = classes(["n01", "n02"], {"n01": "cat", "n02": "dog", "n03": "unused"})
    assert named.names == ("cat", "dog")
    assert named.code_of == {"n01": 0, "n02": 1}
    with pytest.raises(InputError, match="lack 'n02'"):
        classes(["n01", "n02"], {"n01": "cat"})
    with pytest.raises(DataError, match="'n01' and 'n02' are both 'cat'"):
        classes(["n01", "n02"], {"n01": "cat", "n02": "cat"})


def test_a_list_that_holds_the_labels_is_the_vocabulary_in_its_order():
    named = classes(["ant", "bee"], ["wasp", "bee", "ant"])
    assert named.names == ("wasp", "bee", "ant")
    assert named.code_of == {"ant": 2, "bee": 1}
    assert classes(["sea_lion", "seal"], ["sea lion", "seal"]).code_of["sea_lion"] == 0


def test_a_list_that_holds_none_of_the_labels_renames_them_in_order():
    assert classes(["ants", "bees"], ["ant", "bee"]).code_of == {"ants": 0, "bees": 1}


def test_a_list_that_holds_half_of_the_labels_is_refused():
    with pytest.raises(InputError, match="'dogs' of 'data' are not among the class names"):
        classes(["cat", "dogs"], ["cat", "dog"])


def test_the_wrong_number_of_names_is_refused():
    with pytest.raises(InputError, match="3 class names were given for the 2 classes"):
        classes(["ants", "bees"], ["ant", "bee", "wasp"])


def test_numbers_index_a_list_of_names():
    named = classes(["0", "2"], ["ant", "bee", "wasp"], numbered=True)
    assert named.code_of == {"0": 0, "2": 2}
    assert named.names == ("ant", "bee", "wasp")
    with pytest.raises(InputError, match=r"label 3, which is not among the 3 .*\(0 to 2\)"):
        classes(["0", "3"], ["ant", "bee", "wasp"], numbered=True)


def test_given_names_keep_their_hyphens():
    assert classes(["a", "b"], {"a": "t-shirt", "b": " tie  pin"}).names == ("t-shirt", "tie pin")


def test_a_name_given_twice_is_refused():
    with pytest.raises(DataError, match="'bee'"):
        classes(["x", "y"], ["bee", "bee"])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("names.txt", "ant\n\n  bee \n", ["ant", "bee"]),
        ("names.json", json.dumps(["ant", "bee"]), ["ant", "bee"]),
        ("names.json", json.dumps({"0": "ant"}), {"0": "ant"}),
        ("names.txt", json.dumps({"ä": "ant"}), {"ä": "ant"}),
        ("names.txt", "\ufeffant\r\nbee", ["ant", "bee"]),
    ],
)
def test_files_of_names(name, text, expected, tmp_path):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert read_class_names(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "b": "x"}', "expected a JSON list"),
        (b'{"a": 1, "b": 1}', "gives two names one number"),
        (b"[1, 2]", "expected"),
        (b"{", "no valid JSON"),
    ],
)
def test_files_that_hold_something_else_are_refused(content, message, tmp_path):
    (tmp_path / "n.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_class_names(tmp_path / "n.json")


def test_unreadable_files_of_names_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.txt"):
        read_class_names(tmp_path / "absent.txt")
    (tmp_path / "n.txt").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(InputError, match=r"n\.txt"):
        read_class_names(tmp_path / "n.txt")

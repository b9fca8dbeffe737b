"""Options take what a caller from Python gives."""

from pathlib import Path

import cliptune as ct
from cliptune.workflows.options import read_prompts


def test_texts_are_paths_and_single_texts_are_lists():
    assert ct.ComputeOptions(cache_dir="there").cache_dir == Path("there")
    assert ct.ComputeOptions().cache_dir is None
    options = ct.DataOptions(class_names="names.txt", where="kind=a")
    assert (options.class_names, options.where) == (Path("names.txt"), ("kind=a",))
    assert ct.TemplateOptions(templates="openai").templates == ("openai",)


def test_prompts_are_names_of_sets_or_templates():
    mixed = read_prompts(["openai", "a photo of a {}."])
    assert mixed == ct.TemplateOptions(templates=("openai",), template=("a photo of a {}.",))
    assert read_prompts("simple") == ct.TemplateOptions(templates=("simple",))
    assert read_prompts(()) == ct.TemplateOptions()


def test_words_say_what_is_not_as_usual():
    from cliptune.workflows.options import ComputeOptions, DataOptions, option_words

    assert option_words(DataOptions(), ComputeOptions()) == ()
    dataset = DataOptions(
        label_column="kind", where=("site=a,b", "year=3"), class_level=2, on_bad_image="skip"
    )
    compute = ComputeOptions(precision="fp32", truncate=True, cache_dir="elsewhere", offline=True)
    said = " ".join(option_words(dataset, compute))
    assert said == (
        "--label-column kind --class-level 2 --where site=a,b --where year=3 --on-bad-image skip "
        "--precision fp32 --truncate"
    )

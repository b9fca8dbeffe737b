"""What families state, against open_clip's own table, and what the command line says of them."""

import json
from dataclasses import fields

import pytest

from cliptune.cli import run_command_line
from cliptune.encoders.families import (
    Family,
    OpenClipFamily,
    families,
    family_of_weights,
    transformers_families,
)
from cliptune.encoders.names import HubRepo, parse_name, split_max_patches
from cliptune.encoders.published import Published, model_config
from cliptune.encoders.refused import REFUSED
from cliptune.errors import InputError

OPEN_CLIP = [f for f in families().values() if isinstance(f, OpenClipFamily)]
PUBLISHED = [f for f in OPEN_CLIP if not f.examples[0].startswith("hf-hub:")]
RESIZE = {"shortest": "shortest side, centre crop", "squash": "squash"}


@pytest.mark.parametrize("family", PUBLISHED, ids=lambda family: family.name)
def test_stated_facts_are_those_of_open_clips_table(family):
    entry = parse_name(family.examples[0])
    assert isinstance(entry, Published)
    assert (family.mean, family.std) == (entry.preprocess["mean"], entry.preprocess["std"])
    assert family.interpolation == entry.preprocess["interpolation"]
    assert family.resize == RESIZE[entry.preprocess["resize_mode"]]
    config = model_config(entry.architecture)
    assert family.context == config["text_cfg"].get("context_length", 77)
    assert (family.score == "sigmoid") == ("init_logit_bias" in config)
    uncausal = config["text_cfg"].get("no_causal_mask", False)
    assert family.mask.startswith("none") == uncausal


@pytest.mark.parametrize("family", PUBLISHED, ids=lambda family: family.name)
def test_every_example_is_of_its_family(family):
    for example in family.examples:
        entry = parse_name(example)
        assert family_of_weights(entry.architecture, entry.tag) == family.name


def test_models_prints_what_each_family_states(capsys):
    assert run_command_line(["models", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = {one["name"] for one in told["families"]}
    assert names == set(families())
    stated = {one.name for one in fields(Family)}
    for one in told["families"]:
        assert set(one) == stated
        assert one["licence"]
        assert one["paper"]
    by_name = {one["name"]: one for one in told["models"]}
    assert by_name["ViT-B-16-SigLIP2/webli"]["family"] == "siglip2-open_clip"
    assert by_name["ViT-B-16/dfn2b"]["family"] == "dfn"
    assert run_command_line(["models", "naflex"]) == 0
    assert "SigLIP 2 NaFlex" in capsys.readouterr().out


def test_known_owners_need_no_prefix():
    for family in transformers_families().values():
        repo = family.examples[0].removeprefix("hf-hub:")
        assert parse_name(repo) == HubRepo(repo)
    assert parse_name("hf-hub:a/b@v1.0") == HubRepo("a/b", "v1.0")
    assert split_max_patches("x?max_patches=64") == ("x", 64)
    for wrong in ("hf-hub:a/b@", "hf-hub:a/b@../c", "hf-hub:a/b@x y"):
        with pytest.raises(InputError, match="with @REVISION behind it"):
            parse_name(wrong)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("jinaai/jina-clip-v2", "Jina-CLIP"),
        ("hf-hub:jinaai/jina-clip-v2", "Jina-CLIP"),
        ("hf-hub:qihoo360/fg-clip-base", "FG-CLIP"),
        ("hf-hub:tulip-berkeley/tulip-B-16-224", "TULIP"),
        ("hf-hub:MahmoodLab/CONCH", "CONCH"),
        ("dinov2_vitl14_dinotxt", "dino.txt"),
        ("dino.txt", "dino.txt"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line_before_any_request(name, title, capsys):
    assert run_command_line(["predict", "x.jpg", "--labels", "a,b", "--model", name]) == 2
    said = capsys.readouterr().err
    assert f"{title} cannot be had" in said
    assert said.count("\n") == 1
    assert {one.title for one in REFUSED} >= {title}

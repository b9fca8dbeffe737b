import re
import subprocess
import sys
from pathlib import Path

import pytest

from cliptune.encoders.names import (
    OPENAI_NAMES,
    Embedded,
    HubRepo,
    LocalFile,
    LocalFolder,
    parse_name,
)
from cliptune.encoders.published import (
    Published,
    architectures,
    find_published,
    model_config,
    published,
)
from cliptune.errors import InputError, UnknownNameError


def test_lite_is_the_embedded_model():
    assert parse_name("lite") == Embedded()


@pytest.mark.parametrize(("theirs", "architecture"), OPENAI_NAMES.items())
def test_openai_names_mean_openai_weights_with_quick_gelu(theirs, architecture):
    found = parse_name(theirs)
    assert isinstance(found, Published)
    assert (found.architecture, found.tag, found.quick_gelu) == (architecture, "openai", True)


def test_openai_names_are_those_of_the_original_package():
    source = (Path(_package_folder("clip")) / "clip.py").read_text()
    assert set(re.findall(r'"([^"]+)": "https://openaipublic', source)) == set(OPENAI_NAMES)


@pytest.mark.parametrize("tag", ["laion2b_s34b_b79k", "laion2b-s34b-b79k", "LAION2B_s34b_b79k"])
def test_tags_are_read_as_open_clip_reads_them(tag):
    assert parse_name(f"ViT-B-32/{tag}") == find_published("ViT-B-32", "laion2b_s34b_b79k")


def test_an_architecture_without_a_tag_lists_its_tags():
    with pytest.raises(InputError, match=r"add a tag, e.g. ViT-B-16/openai; tags: openai, laion"):
        parse_name("ViT-B-16")


def test_an_architecture_without_published_weights_says_so():
    with pytest.raises(InputError, match="without published weights; give your own as ViT-M-16@"):
        parse_name("ViT-M-16")


def test_an_unknown_tag_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"tag of ViT-B-32 'opnai'; nearest: openai"):
        parse_name("ViT-B-32/opnai")


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"model 'ViT-B-33/openai'; nearest: ViT-B-32/op"):
        parse_name("ViT-B-33/openai")
    with pytest.raises(UnknownNameError, match="nearest: lite"):
        parse_name("litte")


def test_hub_names():
    assert parse_name("hf-hub:laion/CLIP-ViT-B-32") == HubRepo("laion/CLIP-ViT-B-32")
    for wrong in ("hf-hub:", "hf-hub:laion", "hf-hub:a/b/c", "hf-hub:a/b c"):
        with pytest.raises(InputError, match="expected hf-hub:OWNER/NAME"):
            parse_name(wrong)


def test_paths(tmp_path, monkeypatch):
    file = tmp_path / "my weights.pt"
    file.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_name(str(tmp_path)) == LocalFolder(tmp_path)
    assert parse_name(str(file)) == LocalFile(file)
    assert parse_name("~/my weights.pt") == LocalFile(file)
    assert parse_name(f"ViT-B-32@{file}") == LocalFile(file, "ViT-B-32")
    assert parse_name(f"ViT-S-16-quickgelu@{file}") == LocalFile(file, "ViT-S-16-quickgelu")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/none.pt", "gone.safetensors"])
def test_a_missing_path_is_told_as_such(name):
    with pytest.raises(InputError, match="there is no such file or folder"):
        parse_name(name)


def test_a_missing_file_behind_an_architecture(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        parse_name(f"ViT-B-32@{tmp_path / 'none.pt'}")


def test_any_architecture_can_be_had_with_quick_gelu():
    assert "ViT-S-16-quickgelu" not in architectures()
    assert model_config("ViT-S-16-quickgelu") == model_config("ViT-S-16") | {"quick_gelu": True}
    assert model_config("ViT-B-32-quickgelu")["quick_gelu"] is True
    assert "quick_gelu" not in model_config("ViT-B-32")


def test_the_table_is_open_clips_own():
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    assert set(architectures()) == set(open_clip.list_models())
    ours = [(a, tag) for a, tags in published().items() for tag in tags]
    assert ours == open_clip.list_pretrained()
    for architecture, tag in ours:
        entry = published()[architecture][tag]
        facts = get_pretrained_cfg(architecture, tag)
        assert entry.preprocess == {key: facts[key] for key in entry.preprocess}
        assert entry.quick_gelu == facts.get("quick_gelu", False)
        assert f"{entry.repo}/{entry.filename}" == facts["hf_hub"]


def test_names_are_known_without_torch():
    code = (
        "import sys; from cliptune.encoders import list_models; found = list_models();"
        "assert len(found) > 150 and found[0].name == 'lite';"
        "assert not {'torch', 'open_clip', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def _package_folder(name):
    import importlib.util

    return importlib.util.find_spec(name).submodule_search_locations[0]

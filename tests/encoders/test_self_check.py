"""What a self-check sees of a model that loads and answers wrongly."""

import json
import shutil

import numpy as np
import pytest
import torch
from family_models import gemma_tokenizer, make
from safetensors.torch import load_file, save_file

from cliptune.encoders import load_encoder
from cliptune.encoders.engines.probing import probe_answers
from cliptune.encoders.engines.resolving import resolve
from cliptune.encoders.engines.self_check import SelfCheck, check_encoder
from cliptune.encoders.probe_pictures import CAPTIONS, load_probe
from cliptune.errors import CheckpointError


@pytest.fixture
def altered(small_family, tmp_path):
    """Copy a family's model, change a value of one of its JSON files, and load it."""

    def alter(name, file, change):
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(small_family(name).folder, folder)
        values = json.loads((folder / file).read_text())
        change(values)
        (folder / file).write_text(json.dumps(values))
        return load_encoder(str(folder), device="cpu", precision="fp32")

    return alter


def right_padding(values):
    values["padding_side"] = "right"


def statuses(check):
    return {one.name: one.status for one in check.findings}


def test_a_sound_random_model_passes_and_says_what_it_cannot_show(altered):
    check = check_encoder(altered("siglip", "tokenizer_config.json", right_padding))
    assert not check.trained
    assert check.warnings == ()
    unseen = {name for name, status in statuses(check).items() if status == "unseen"}
    assert unseen == {"probe"}
    assert SelfCheck.from_dict(json.loads(json.dumps(check.to_dict()))) == check


def test_a_wrong_mean_and_std(altered):
    def openai(values):
        values["image_processor"].update(image_mean=[0.48, 0.46, 0.41], image_std=[0.27] * 3)

    check = check_encoder(altered("siglip", "processor_config.json", openai))
    assert statuses(check)["normalisation"] == "warned"
    assert any("mean 0.48, 0.46, 0.41" in said and "0.5" in said for said in check.warnings)


def test_gelu_for_quick_gelu(altered):
    def gelu(values):
        values["vision_config"]["hidden_act"] = "gelu"

    check = check_encoder(altered("chinese_clip", "config.json", gelu))
    assert any("'gelu'" in said and "'quick_gelu'" in said for said in check.warnings)


def test_the_wrong_padding_side(altered):
    def left(values):
        values["padding_side"] = "left"

    check = check_encoder(altered("metaclip_2", "tokenizer_config.json", left))
    assert any("pads texts on the left" in said for said in check.warnings)


def test_a_tokenizer_of_another_vocabulary(small_family, tmp_path):
    folder = tmp_path / "metaclip_2"
    shutil.copytree(small_family("metaclip_2").folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 40  # where the tower reads its row
    (folder / "config.json").write_text(json.dumps(config))
    check = check_encoder(load_encoder(str(folder), device="cpu", precision="fp32"))
    assert any("no end mark 40" in said for said in check.warnings)
    gemma_tokenizer(folder).save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"knows \d+ tokens, the text tower"):
        load_encoder(str(folder), device="cpu")


def test_weights_with_nan_are_refused(small_family, tmp_path):
    folder = tmp_path / "siglip"
    shutil.copytree(small_family("siglip").folder, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["vision_model.post_layernorm.weight"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"with NaN or infinity \(vision_model.post_lay"):
        load_encoder(str(folder), device="cpu")


def test_what_was_found_is_remembered_by_the_fingerprint(small_family, tmp_path, caplog):
    name = str(small_family("siglip").folder)
    first = resolve(name, tmp_path)
    assert "pads texts on the left" in caplog.text
    kept = json.loads((first.store.path / "check.json").read_text())
    assert statuses(SelfCheck.from_dict(kept))["padding side"] == "warned"


def test_trained_weights_find_the_captions_of_public_pictures():
    pytest.importorskip("skimage", reason="needs the extra samples")
    assert len(load_probe().pictures) == len(CAPTIONS) == 24
    encoder = load_encoder("lite", device="cpu", precision="fp32")
    assert probe_answers(encoder, True, None).status == "passed"
    with torch.no_grad():
        image_side = next(p for n, p in encoder.model.named_parameters() if n.startswith("visual"))
        kept = image_side.clone()
        image_side.zero_()
    found = probe_answers(encoder, True, None)
    image_side.data = kept
    assert found.status == "warned"
    assert "where 1 is chance" in found.said
    assert "neither another normalisation" in found.said


def test_random_weights_are_told_from_trained_ones(small_family):
    lite = load_encoder("lite", device="cpu", precision="fp32")
    assert check_encoder(lite).trained
    random = load_encoder(str(small_family("altclip").folder), device="cpu", precision="fp32")
    assert not check_encoder(random).trained
    assert np.isfinite(random.logit_scale)


def test_a_scale_out_of_range(tmp_path):
    model = make("siglip", tmp_path / "siglip", scale=5000.0)
    check = check_encoder(load_encoder(str(model.folder), device="cpu", precision="fp32"))
    assert any("a factor of 5000" in said for said in check.warnings)

"""The sections that move weights, on real images and a model of the real architecture, small."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from cliptune.cli import run_command_line

SECTIONS = "zero-shot,fine-tuning,rates,map-after,beyond,ship"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A CLIP with random weights as a local folder; training it takes seconds."""
    import torch
    from safetensors.torch import save_file

    from cliptune.encoders.open_clip_encoder import build_model

    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    described = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(build_model(config).eval().state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def thumbnails(small_insects, tmp_path_factory):
    """Real ants and bees of few pixels, so that decoding takes no time."""
    folder = tmp_path_factory.mktemp("data") / "thumbnails"
    for split, n in (("train", 24), ("val", 8)):
        for name in ("ants", "bees"):
            (folder / split / name).mkdir(parents=True)
            for path in sorted((small_insects / split / name).iterdir())[:n]:
                with Image.open(path) as image:
                    small = image.convert("RGB").resize((48, 36))
                small.save(folder / split / name / f"{path.stem}.png")
    return folder


@pytest.fixture(scope="module")
def finished(thumbnails, tiny_model, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "trained"
    arguments = ["study", str(thumbnails), "-m", str(tiny_model), "--only", SECTIONS]
    arguments += ["--budget", "30m", "--out", str(out), "--cache-dir", str(cache)]
    assert run_command_line(arguments) == 0
    return out


@pytest.fixture(scope="module")
def sections(finished):
    return json.loads((finished / "study.json").read_text())["sections"]


def of_model(section):
    return next(iter(section["numbers"]["models"].values()))


def test_every_section_has_an_answer(sections):
    assert {name: s["skipped"] for name, s in sections.items()} == dict.fromkeys(
        SECTIONS.split(",")
    )
    assert all(s["conclusion"] for s in sections.values())


def test_epoch_zero_is_zero_shot_and_parameters_add_up(sections):
    found = of_model(sections["fine-tuning"])
    assert [record["epoch"] for record in found["epochs"]] == list(range(len(found["epochs"])))
    zero_shot = next(
        m for m in sections["ship"]["numbers"]["methods"] if m["method"] == "zero-shot"
    )
    assert found["epochs"][0]["val"]["accuracy"] == pytest.approx(zero_shot["val"]["accuracy"])
    trained = [g for g in found["plan"]["groups"] if g["start_epoch"] is not None]
    assert sum(group["parameters"] for group in trained) == found["parameters"]
    assert f"{found['parameters']:,} weights" in sections["fine-tuning"]["conclusion"]


def test_the_words_about_a_change_agree_with_its_test(sections):
    change = of_model(sections["fine-tuning"])["against_zero_shot"]
    text = sections["fine-tuning"]["conclusion"]
    said = {
        "better": "is better than zero-shot" in text,
        "worse": "is worse than zero-shot" in text,
        "neither": "not measurably different" in text,
    }
    assert sum(said.values()) == 1
    assert said["neither"] == (change["p_value"] >= 0.05 or change["difference"] == 0)


def test_trained_weights_are_a_classifier_that_predicts(sections, finished, run, data_root):
    image = next((data_root / "hymenoptera_data/val/bees").iterdir())
    for name in ("full", "head-then-full", "attention"):
        method = next(m for m in sections["ship"]["numbers"]["methods"] if m["method"] == name)
        code, answer, said = run("predict", image, "--run", finished / method["run"])
        assert code == 0, said
        labels = answer["predictions"][0]["labels"]
        assert sum(entry["probability"] for entry in labels) == pytest.approx(1)


def test_the_map_afterwards_shows_the_trained_weights(sections, finished):
    numbers = of_model(sections["map-after"])
    assert numbers["verdict"] in sections["map-after"]["conclusion"]
    folder = finished / "sections" / "fine-tuning"
    arrays = load_file(next(folder.glob("trained-*.safetensors")))
    # Only validation images: 48 were there to learn from, 10 of them were held out.
    assert len(arrays["rows"]) == numbers["n_images"] == 10
    assert np.allclose(np.linalg.norm(arrays["images"], axis=1), 1, atol=1e-3)
    before, after = (numbers[when]["centroid_distance"]["value"] for when in ("before", "after"))
    assert before != after


def test_rates_say_what_is_within_noise(sections):
    found = of_model(sections["rates"])
    assert len(found["trials"]) >= 9
    assert found["recommendation"]["text"] in sections["rates"]["conclusion"]


def test_going_further_is_held_against_the_best_before(sections):
    attempts = sections["beyond"]["numbers"]["attempts"]
    assert [a["method"] for a in attempts] == ["attention", "head-then-full"]
    changes = [a["against_simple"] for a in attempts]
    pays = any(change["difference"] > 0 and change["p_value"] < 0.05 for change in changes)
    might = any(change["high"] > 0.01 for change in changes)
    said = sections["beyond"]["conclusion"]
    assert ("It pays here" in said) == pays
    assert ("cannot tell" in said) == (might and not pays)
    assert ("does not pay" in said) == (not might and not pays)


def test_what_is_unfinished_does_not_stay(finished, sections):
    assert sections
    assert not (finished / "checkpoint").exists()
    assert not list(finished.rglob("*.sqlite3"))


def test_two_models_stand_side_by_side(small_insects, tiny_model, run, tmp_path):
    code, result, _ = run(
        "study", small_insects, "-m", "lite", "-m", tiny_model, "--only", "zero-shot,ship",
        "--budget", "30m", "--out", tmp_path / "two",
    )  # fmt: skip
    assert code == 0
    section = result["sections"]["zero-shot"]
    assert list(section["numbers"]["models"]) == ["lite", str(tiny_model)]
    assert f"{tiny_model} is worse than lite" in section["conclusion"]
    assert result["sections"]["ship"]["numbers"]["recommended"]["model"] == "lite"


def test_rates_that_ran_out_of_time_say_on_how_many_trainings_they_rest(
    thumbnails, tiny_model, run, tmp_path, monkeypatch
):
    from cliptune.sweeps.heads import HeadTrainer

    turns = iter([9])
    monkeypatch.setattr(
        HeadTrainer, "affordable", lambda self, cells, seconds: cells[: next(turns, 0)]
    )
    monkeypatch.setattr("cliptune.studies.plan.add_moving", lambda step, *_: (step, 0.0))
    code, result, said = run(
        "study", thumbnails, "-m", tiny_model, "--only", "rates", "--budget", "29m", "--out",
        tmp_path / "study",
    )  # fmt: skip
    assert code == 0, said
    notes = " ".join(result["sections"]["rates"]["notes"])
    assert "rests on 9 of them" in notes


def test_blocks_that_stay_frozen_run_once_with_the_same_result(
    thumbnails, tiny_model, make_cache, tmp_path, monkeypatch
):
    """No section freezes lower blocks by itself; here those that train do."""
    from functools import partial

    from cliptune.finetuning.entry import ActivationPlace
    from cliptune.finetuning.options import FinetuneOptions, TrainableOptions
    from cliptune.studies.sections import finetune_sweep, recipe_and_attention
    from cliptune.sweeps.options import SweepOptions

    last = TrainableOptions(train=("image.last1", "head"))
    few = partial(FinetuneOptions, trainable=last, views=2, precision="fp32")
    monkeypatch.setattr(recipe_and_attention, "FinetuneOptions", few)
    monkeypatch.setattr(finetune_sweep, "SweepOptions", partial(SweepOptions, blocks=1))
    found = []
    for name, only in (("kept", "rates,beyond"), ("plain", "beyond")):
        cache = make_cache()
        arguments = ["study", str(thumbnails), "-m", str(tiny_model), "--only", only]
        arguments += ["--budget", "29m", "--out", str(tmp_path / name), "--cache-dir", str(cache)]
        assert run_command_line(arguments) == 0
        kept = list((cache / "activations").rglob("*.rows"))
        # The recipe's are two views and the images as they are, to learn from and held out.
        assert len(kept) > 4 if name == "kept" else not kept
        sections = json.loads((tmp_path / name / "study.json").read_text())["sections"]
        records = sections["beyond"]["numbers"]["records"]
        (own,) = (record for key, record in records.items() if "head-then-full" in key)
        found.append([(e["loss"], e["val"]["log_loss"]) for e in own["epochs"][1:]])
        monkeypatch.setattr(ActivationPlace, "in_cache", lambda *_, **__: None)
    n_shared = min(map(len, found))  # how many epochs there are is a question of time
    assert n_shared
    np.testing.assert_allclose(found[0][:n_shared], found[1][:n_shared], atol=1e-5)

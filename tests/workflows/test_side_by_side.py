"""``--model A+B``: encoders side by side, from their rows to a run that is served."""

import asyncio
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

import cliptune as ct
from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.encoders.joint import JointEncoder, read_preprocess
from cliptune.encoders.names import split_joint
from cliptune.errors import InputError, NoTrunkError
from cliptune.features import FeatureStore
from cliptune.images import ImageTable
from cliptune.images.decode import decode_image
from cliptune.serving.decoding import Decoder
from cliptune.serving.opening import open_served
from cliptune.serving.settings import ServeSettings
from cliptune.workflows import fit_joint
from cliptune.workflows.options import ComputeOptions


@pytest.fixture(scope="module")
def name(tiny_model):
    return f"{tiny_model}+lite"


@pytest.fixture(scope="module")
def compute(make_cache):
    return ComputeOptions(engine="torch", cache_dir=make_cache())


@pytest.fixture(scope="module")
def joint(name):
    encoder = load_encoder(name)
    assert isinstance(encoder, JointEncoder)
    return encoder


@pytest.fixture(scope="module")
def pictures(small_data):
    return [Image.open(file).convert("RGB") for file in sorted(small_data.glob("val/*/*.jpg"))[:4]]


def test_logits_are_the_mean_of_both_models(joint, pictures):
    pixels = np.stack([joint.preprocess(picture) for picture in pictures])
    assert pixels.shape[1:] == joint.preprocess.shape
    texts = ["an ant", "a bee", "a wasp"]
    images, rows = joint.encode_images(pixels), joint.encode_texts(texts)
    assert images.dtype == rows.dtype == np.float32
    assert images.shape == (4, joint.dim)
    for unit in (images, rows):
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    each = [
        part.logit_scale
        * part.encode_images(np.stack([part.preprocess(picture) for picture in pictures]))
        @ part.encode_texts(texts).T
        for part in joint.parts
    ]
    np.testing.assert_allclose(
        log_softmax(joint.logit_scale * images @ rows.T, axis=1),
        log_softmax(np.mean(each, axis=0), axis=1),
        atol=2e-4,
    )


def test_rows_kept_by_part_are_those_of_the_joint_encoder(joint, small_data, make_cache):
    table = ImageTable.open(small_data)
    store, told = FeatureStore(make_cache()), []
    assert not store.holds(joint, table)
    found = store.features(joint, table, trunk=True, progress=told.append)
    assert store.holds(joint, table)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].done == told[-1].total == told[-1].embedded == len(table)
    pixels = np.stack([joint.preprocess(table.load_image(row)) for row in range(len(table))])
    np.testing.assert_allclose(found.vectors, joint.encode_images(pixels), atol=1e-5)
    np.testing.assert_allclose(found.trunk, joint.encode_trunk(pixels), atol=1e-5)
    behind = found.trunk[:, joint.dim :]
    np.testing.assert_allclose(np.linalg.norm(behind, axis=1), 1, atol=1e-5)
    alone = [store.features(part, table) for part in joint.parts]  # embedded already
    halves = np.split(found.vectors, [joint.parts[0].dim], axis=1)
    for half, one, weight in zip(halves, alone, joint.weights, strict=True):
        np.testing.assert_allclose(half, np.float32(weight) * one.vectors, atol=1e-7)
    other = JointEncoder("turned", joint.parts[::-1])
    assert other.fingerprint != joint.fingerprint
    assert store.features(other, table).key != found.key
    with pytest.raises(InputError, match="patches"):
        store.features(joint, table, tokens=True)
    texts = ["an ant", "a bee"]
    np.testing.assert_allclose(
        store.text_features(joint, texts), joint.encode_texts(texts), atol=1e-6
    )


def test_a_part_without_a_projection_gives_its_embedding(joint, pictures, monkeypatch):
    part = joint.parts[1]

    def refuse(pixels):
        raise NoTrunkError("none")

    monkeypatch.setattr(part, "encode_trunk", refuse)
    found = joint.encode_trunk(np.stack([joint.preprocess(picture) for picture in pictures]))
    own = part.encode_images(np.stack([part.preprocess(picture) for picture in pictures]))
    np.testing.assert_allclose(found[:, -part.dim :], own / np.sqrt(2), atol=1e-6)


def test_preprocess_comes_back_from_plain_values(joint):
    assert read_preprocess(joint.preprocess.to_dict()) == joint.preprocess
    single = joint.parts[0].preprocess
    assert read_preprocess(single.to_dict()) == single
    for wrong in ({"parts": []}, {"parts": "ab"}, {"parts": [1, 2]}):
        with pytest.raises(TypeError):
            read_preprocess(wrong)


@pytest.mark.parametrize("kept", [True, False])
def test_fit_keeps_what_held_out_answers_favour(
    small_data, name, compute, tmp_path, monkeypatch, kept
):
    monkeypatch.setattr(fit_joint, "is_shown", lambda gain, margin: not kept)
    out = tmp_path / "run"
    result = ct.fit(small_data, model=name, compute=compute, out=out)
    found = result.encoders
    assert found.asked == name
    assert list(found.answers) == [name, *split_joint(name)]
    assert found.best_alone == "lite"  # the other's weights are random
    assert found.kept == result.model == (name if kept else "lite")
    assert found.low <= found.gain <= found.high
    assert found.n == result.n_train == 24
    assert ct.load_result(out).encoders == found
    assert found.sentence in result.blocks()
    assert found.sentence in result.notes
    images = ImageTable.open(small_data).split("val")
    predicted = ct.predict(images, run=out, compute=compute)
    labels = [one.labels[0].label for one in predicted.predictions]
    truth = [images.class_names[label] for label in images.labels]
    assert np.mean(np.equal(labels, truth)) == result.test.accuracy.value


def test_a_run_of_both_is_served_as_it_predicts(small_data, name, compute, tmp_path):
    out = tmp_path / "run"
    fitted = ct.fit(small_data, method="linear", model=name, compute=compute, out=out)
    assert fitted.model == name
    assert fitted.encoders is None  # one method: nothing is compared
    files = sorted(small_data.glob("val/*/*.jpg"))
    predicted = ct.predict([str(file) for file in files], run=out, compute=compute)
    settings = ServeSettings(runs={"both": str(out)}, engine="torch", cache_dir=compute.cache_dir)
    served = open_served("both", out, settings, {})
    pixels = np.stack(
        [
            served.preprocess(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
            for file in files
        ]
    )
    answer = served.answer(served.tower.run(pixels))
    for row, one in zip(answer.probabilities, predicted.predictions, strict=True):
        assert served.class_names[int(row.argmax())] == one.labels[0].label
        assert row.max() == pytest.approx(one.labels[0].probability, abs=1e-4)
    with pytest.raises(InputError, match="a graph holds one"):
        ct.export(out, format="onnx", out=tmp_path / "graph", compute=compute)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "{data}", "--model", "lite+"], "different encoders"),
        (["fit", "{data}", "--model", "lite+lite"], "different encoders"),
        (["fit", "{data}", "--model", "lite+no-such"], "'no-such'"),
        (["fit", "{data}", "--model", "no/where+lite"], "'no/where+lite' is no file or folder"),
        (["fit", "{data}", "--model", "lite+lite?crops=1"], "are the same encoder"),
        (["fit", "{data}", "--model", "{name}", "--crops", "6"], "write ?crops=6 behind the names"),
        (["fit", "{data}", "--model", "{name}", "--embed-encoder"], "can hold one"),
        (["fit", "{data}", "--model", "{name}", "--method", "attention"], "patches"),
        (["fit", "{data}", "--model", "{name}", "--unlabelled", "{data}"], "several encoders"),
        (["finetune", "{data}", "--model", "{name}"], "may train"),
        (["study", "{data}", "--model", "{name}"], "may train"),
        (["embed", "{data}", "--model", "{name}", "--executor", "local"], "a worker opens one"),
    ],
)
def test_what_takes_one_encoder_says_so(small_data, name, tmp_path, capsys, arguments, said):
    words = [word.format(data=small_data, name=name) for word in arguments]
    assert run_command_line([*words, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_server_reads_a_large_picture_for_each_as_the_cache_does(joint, tmp_path):
    rng = np.random.default_rng(0)
    large = tmp_path / "large.jpg"
    Image.fromarray(rng.integers(0, 256, (1800, 2400, 3), dtype=np.uint8)).save(large)
    data, sides = large.read_bytes(), [part.preprocess.min_side for part in joint.parts]
    assert sides[0] != sides[1]
    wanted = [
        part.preprocess(decode_image(data, name="large", min_side=side))
        for part, side in zip(joint.parts, sides, strict=True)
    ]
    run = SimpleNamespace(preprocess=joint.preprocess, min_sides=tuple(sides))
    with ThreadPoolExecutor(1) as pool:
        item = SimpleNamespace(problem=None, data=data)
        packed = asyncio.run(Decoder(pool, 10**8).pixels(item, run))
    for own, pixels in zip(joint.preprocess.unpack(packed[None]), wanted, strict=True):
        np.testing.assert_array_equal(own[0], pixels)
    once = joint.preprocess(decode_image(data, name="large", min_side=max(sides)))
    assert (joint.preprocess.unpack((once != packed)[None])[0]).mean() > 0.1


def test_doctor_measures_one(name, capsys):
    assert run_command_line(["doctor", "--model", name]) == 2
    assert "each is measured by itself" in capsys.readouterr().err


def test_encoders_that_are_loaded_are_compared_as_named_ones_are(
    small_data, name, joint, compute, tmp_path
):
    here = ComputeOptions(cache_dir=compute.cache_dir)
    result = ct.fit(small_data, model=joint, compute=here, out=tmp_path / "run")
    assert list(result.encoders.answers) == [name, *split_joint(name)]
    for option, said in (
        ({"embed_encoder": True}, "can hold one"),
        ({"unlabelled": small_data}, "several encoders"),
    ):
        with pytest.raises(InputError, match=said):
            ct.fit(small_data, model=joint, compute=here, out=tmp_path / "other", **option)
        assert not (tmp_path / "other").exists()


def test_with_several_labels_an_image_it_is_said_that_nothing_is_compared(
    small_data, name, compute, tmp_path
):
    files, rows = sorted(small_data.glob("*/*/*.jpg")), []
    for number, file in enumerate(files):
        shutil.copy(file, tmp_path)
        rows.append(f"{file.name},{file.parent.name};{'odd' if number % 2 else 'even'}")
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,labels", *rows]) + "\n")
    result = ct.fit(table, model=name, compute=compute, out=tmp_path / "run")
    assert result.model == name
    assert any("kept as it was asked for" in note for note in result.notes)


def test_a_path_with_a_plus_is_one_encoder(tmp_path, monkeypatch):
    folder = tmp_path / "a+b"
    folder.mkdir()
    assert split_joint(str(folder)) == (str(folder),)
    assert split_joint(f"{folder}?crops=6") == (f"{folder}?crops=6",)
    assert split_joint("lite?crops=2+ViT-B-32/openai") == ("lite?crops=2", "ViT-B-32/openai")


def test_the_most_rounded_part_names_the_precision(joint):
    rounded = JointEncoder("both", [joint.parts[0], _Rounded(joint.parts[1])])
    assert joint.precision == "fp32"
    assert rounded.precision == "bf16"
    assert joint.engine == "torch+torch"
    assert replace(ComputeOptions(), crops=2).model_name("lite") == "lite?crops=2"


class _Rounded:
    precision = "bf16"

    def __init__(self, part):
        self._part = part

    def __getattr__(self, name):
        return getattr(self._part, name)

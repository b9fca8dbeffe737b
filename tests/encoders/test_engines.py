"""Engines give torch's answers, keep their graphs, and notice when these are not theirs."""

import errno
import json
import os
import re
import threading
from functools import partial

import numpy as np
import pytest

from cliptune import encoders
from cliptune.cli import run_command_line
from cliptune.encoders import DualEncoder, load_encoder
from cliptune.encoders.engines import (
    Work,
    choices,
    doctor,
    making,
    open_on_engine,
    opening,
    runtimes,
    storage,
)
from cliptune.encoders.engines import encoder as encoder_module
from cliptune.encoders.engines.agreement import compare_rows, photo_like
from cliptune.encoders.engines.backends import possible_ways
from cliptune.encoders.engines.encoder import EngineEncoder
from cliptune.encoders.engines.machine import Machine
from cliptune.encoders.engines.trial import Trial
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.errors import (
    ConversionError,
    DeviceError,
    InputError,
    MissingExtraError,
    UnavailableError,
)
from cliptune.features.keys import StoreKey
from cliptune.system import atomic, file_state

TEXTS = ["a photo of a bee", "ant", "a long description of a red bicycle that leans on a wall"]
WITH = Machine("one", 2, bf16=True, system="Linux x86_64")
WITHOUT = Machine("two", 2, bf16=False, system="Linux x86_64")


@pytest.fixture
def cache(trusting_cache):
    return trusting_cache


@pytest.fixture
def tiny_folder(make_folder, tiny_config):
    return str(make_folder(tiny_config))


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_an_engine_gives_torchs_rows(tiny_folder, cache, pixels, engine):
    torch_encoder = load_encoder(tiny_folder, device="cpu", precision="fp32")
    encoder = open_on_engine(tiny_folder, engine=engine, precision="fp32", cache_dir=cache)
    assert isinstance(encoder, EngineEncoder)
    assert isinstance(encoder, DualEncoder)
    assert (encoder.engine, encoder.precision) == (engine, "fp32")
    for same in ("dim", "logit_scale", "context_length", "preprocess", "fingerprint"):
        assert getattr(encoder, same) == getattr(torch_encoder, same)
    for name in ("encode_images", "encode_tokens", "encode_trunk"):
        ours, theirs = getattr(encoder, name)(pixels), getattr(torch_encoder, name)(pixels)
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    rows = encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(rows, torch_encoder.encode_texts(TEXTS), atol=2e-5)
    assert rows.dtype == np.float32
    with pytest.raises(InputError, match="80 tokens"):
        encoder.encode_texts(["ant", "bee " * 78])
    cut = encoder.encode_texts(["bee " * 78], truncate=True)
    np.testing.assert_allclose(
        cut, torch_encoder.encode_texts(["bee " * 78], truncate=True), atol=2e-5
    )
    with pytest.raises(InputError, match="uint8"):
        encoder.encode_images(pixels.astype(np.float32))


def test_a_later_start_needs_neither_weights_nor_torch(tiny_folder, cache, monkeypatch, pixels):
    first = open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)
    rows = first.encode_images(pixels)
    monkeypatch.setattr(encoders, "load_encoder", lambda *_, **__: pytest.fail("torch was loaded"))
    later = open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)
    np.testing.assert_array_equal(later.encode_images(pixels), rows)
    assert later.encode_texts(TEXTS).shape == (3, first.dim)
    assert (later.reason, later.news) == (first.reason, "")
    assert first.news


def test_a_graph_is_opened_beside_other_work(tiny_folder, cache, pixels, monkeypatch):
    named = {"engine": "openvino", "precision": "fp32", "cache_dir": cache}
    first = open_on_engine(tiny_folder, **named)
    wanted = first.encode_images(pixels)
    opened, real = [], encoder_module.open_graph

    def open_graph(engine, path, **given):
        opened.append((path.stem, threading.current_thread() is threading.main_thread()))
        return real(engine, path, **given)

    monkeypatch.setattr(encoder_module, "open_graph", open_graph)
    again = open_on_engine(tiny_folder, **named)
    again.open_ahead("tokens")  # it was not made: whoever needs it makes it
    again.open_ahead("image")
    np.testing.assert_array_equal(again.encode_images(pixels), wanted)
    assert opened == [("image", False)]
    again.open_ahead("image")
    again.encode_texts(TEXTS)
    assert opened == [("image", False), ("text", True)]


def test_a_fault_in_opening_ahead_is_told_to_who_needs_the_graph(
    tiny_folder, cache, pixels, monkeypatch
):
    named = {"engine": "openvino", "precision": "fp32", "cache_dir": cache}
    open_on_engine(tiny_folder, **named).encode_images(pixels)

    def refuse(*_, **__):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(encoder_module, "open_graph", refuse)
    again = open_on_engine(tiny_folder, **named)
    again.open_ahead("image")
    with pytest.raises(ConversionError, match="no such operation"):
        again.encode_images(pixels)


def test_changed_weights_are_another_encoder(make_folder, tiny_config, cache):
    folder = str(make_folder(tiny_config))
    before = open_on_engine(folder, engine="openvino", precision="fp32", cache_dir=cache)
    make_folder(tiny_config, seed=1)
    after = open_on_engine(folder, engine="openvino", precision="fp32", cache_dir=cache)
    assert after.fingerprint == load_encoder(folder).fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", ["cut", "altered", "version"])
def test_a_graph_that_is_not_whole_or_of_another_version_is_made_again(
    tiny_folder, cache, pixels, caplog, damage
):
    rows = open_on_engine(
        tiny_folder, engine="openvino", precision="fp32", cache_dir=cache
    ).encode_images(pixels)
    (weights,) = cache.rglob("image.bin")
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "altered":
        stat = weights.stat()
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        record = weights.with_name("image.json")
        facts = json.loads(record.read_text())
        facts["versions"]["openvino"] = "2020.1"
        record.write_text(json.dumps(facts))
    again = open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)
    np.testing.assert_allclose(again.encode_images(pixels), rows, atol=1e-6)
    said = [record.message for record in caplog.records if "made again" in record.message]
    assert len(said) == 1


def test_a_graph_is_read_for_its_digest_once(tiny_folder, cache, monkeypatch, pixels):
    read = []
    digest = storage._digest
    monkeypatch.setattr(storage, "_digest", lambda path: read.append(path.name) or digest(path))
    once = partial(
        open_on_engine, tiny_folder, engine="openvino", precision="fp32", cache_dir=cache
    )
    rows = once().encode_images(pixels)
    assert "image.bin" in read
    read.clear()
    np.testing.assert_array_equal(once().encode_images(pixels), rows)
    assert not read
    monkeypatch.setattr(file_state, "_SETTLED_NS", 10**18)  # young files are read every time
    (checked,) = cache.rglob("image.checked.json")
    checked.unlink()
    for _ in range(2):
        read.clear()
        once().encode_images(pixels)
        assert "image.bin" in read
    assert not checked.exists()


def test_a_small_first_start_converts_nothing_and_a_second_one_does(tiny_folder, cache):
    few = Work(n_images=1)
    first = open_on_engine(tiny_folder, cache_dir=cache, work=few)
    assert isinstance(first, TorchEncoder)
    assert not list(cache.rglob("*.xml"))
    open_on_engine(tiny_folder, cache_dir=cache, work=few)
    assert list(cache.rglob("image.xml"))


def test_a_tower_that_cannot_be_converted_goes_on_in_torch(tiny_folder, cache, monkeypatch, caplog):
    import openvino

    def refuse(*_, **__):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    monkeypatch.setattr("torch.onnx.export", refuse)
    encoder = open_on_engine(tiny_folder, cache_dir=cache)
    assert isinstance(encoder, TorchEncoder)
    assert "no such operation" in caplog.text
    with pytest.raises(ConversionError, match="no such operation"):
        open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)


def test_a_conversion_that_changes_the_answers_is_not_taken(
    tiny_folder, cache, monkeypatch, caplog
):
    def wrong(self, pixels):
        rows = np.random.default_rng(0).standard_normal((len(pixels), self.dim))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(EngineEncoder, "encode_images", wrong)
    encoder = open_on_engine(tiny_folder, cache_dir=cache, engine="openvino", precision="fp32")
    assert isinstance(encoder, TorchEncoder)
    (said,) = [r.message for r in caplog.records if "not taken" in r.message]
    assert "mean-centred cosine" in said


def _wrong_at_first(times):
    """Give rows of other images at the first calls, then the right ones."""
    right, calls = EngineEncoder.encode_images, []

    def encode(self, pixels):
        calls.append(len(pixels))
        return right(self, pixels[::-1] if len(calls) <= times else pixels)

    return encode


@pytest.fixture
def one_call_a_trial(monkeypatch, cache):
    """Trials that take no time at all, so that each embeds the sample once."""
    monkeypatch.setattr(opening, "Trial", partial(Trial, seconds=0))


def test_a_refusal_is_not_believed_before_it_was_seen_twice(
    tiny_folder, cache, monkeypatch, one_call_a_trial
):
    monkeypatch.setattr(EngineEncoder, "encode_images", _wrong_at_first(1))
    encoder = open_on_engine(tiny_folder, cache_dir=cache, engine="openvino", precision="fp32")
    assert isinstance(encoder, EngineEncoder)
    (choice,) = _choices(cache).values()
    assert (choice.way, choice.surprise) == ("openvino fp32", "")


def test_an_fp32_engine_that_was_refused_is_measured_again_after_a_day(
    tiny_folder, cache, monkeypatch, one_call_a_trial
):
    once = partial(
        open_on_engine, tiny_folder, cache_dir=cache, engine="openvino", precision="fp32"
    )
    with monkeypatch.context() as wrong:
        wrong.setattr(EngineEncoder, "encode_images", _wrong_at_first(10**9))
        assert isinstance(once(), TorchEncoder)
    (choice,) = _choices(cache).values()
    assert choice.way == "torch"
    assert choice.surprise.startswith("openvino fp32: mean-centred cosine")
    assert isinstance(once(), TorchEncoder)  # it is remembered
    now = choices.time.time()
    monkeypatch.setattr(choices.time, "time", lambda: now + 86_401)
    assert not _choices(cache)
    assert isinstance(once(), EngineEncoder)
    assert not next(iter(_choices(cache).values())).surprise


@pytest.mark.parametrize("change", ["of a former version", "another release"])
def test_what_another_version_chose_is_measured_again(
    tiny_folder, cache, monkeypatch, one_call_a_trial, change
):
    once = partial(
        open_on_engine, tiny_folder, cache_dir=cache, engine="openvino", precision="fp32"
    )
    once()
    (path,) = cache.rglob("choice-*.json")
    values = json.loads(path.read_text())
    values["way"] = "torch"
    path.write_text(json.dumps(values))
    assert isinstance(once(), TorchEncoder)  # what stands there is followed
    if change == "another release":
        values["versions"]["openvino"] = "2020.1"
    else:
        values = {"way": "torch", "reason": "no other engine did better here"}
    path.write_text(json.dumps(values))
    assert isinstance(once(), EngineEncoder)


def _choices(cache):
    (facts,) = cache.rglob("facts.json")
    return choices.list_choices(facts.parent)


def test_doctor_shows_what_was_refused_against_expectation(tiny_folder, cache, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_SECONDS", 0)
    first = doctor.examine(tiny_folder, cache_dir=cache, work=Work())
    assert not first.remembered
    (facts,) = cache.rglob("facts.json")
    odd = choices.Choice("torch", "no other engine did better here", "openvino fp32: 0.9 images/s")
    choices.write_choice(facts.parent, "auto", "fp32", odd)
    (said,) = [
        value
        for asked, value in doctor.examine(tiny_folder, cache_dir=cache, work=Work())
        .to_dict()["remembered"]
        .items()
        if asked == "auto fp32"
    ]
    assert said["surprise"] == "openvino fp32: 0.9 images/s"
    assert said["holds_until"] > said["decided"]
    assert run_command_line(["doctor", "--model", tiny_folder, "--cache-dir", str(cache)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Remembered for auto fp32 until {said['holds_until']}: torch" in shown
    assert "this was refused: openvino fp32: 0.9 images/s" in shown


@pytest.mark.parametrize("full", ["graphs", "everything"])
def test_a_full_cache_disk_goes_on_in_torch(tiny_folder, cache, monkeypatch, caplog, full):
    def no_room(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.tempfile, "mkdtemp", no_room)
    if full == "everything":
        monkeypatch.setattr(atomic.tempfile, "mkstemp", no_room)
    assert isinstance(open_on_engine(tiny_folder, cache_dir=cache), TorchEncoder)
    assert "No space left on device" in caplog.text
    assert not list(cache.rglob("choice-*"))  # the engines are not to blame
    with pytest.raises(UnavailableError, match="No space left on device"):
        open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)


def test_a_converter_that_ends_without_room_is_not_to_blame(tiny_folder, cache, monkeypatch):
    import openvino

    def refuse(*_, **__):
        raise RuntimeError("basic_ios::clear: iostream error")

    usage = making.shutil.disk_usage(cache.parent)
    monkeypatch.setattr(openvino, "save_model", refuse)
    monkeypatch.setattr(making.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UnavailableError, match="no room for the openvino graph"):
        open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)


def test_what_a_killed_conversion_left_is_removed_by_the_next(tiny_folder, cache):
    once = partial(
        open_on_engine, tiny_folder, engine="openvino", precision="fp32", cache_dir=cache
    )
    once()
    (record,) = cache.rglob("image.json")
    left = record.parent.parent / ".making-left"
    left.mkdir()
    (left / "image.bin").write_bytes(b"half")
    record.unlink()
    once()
    assert not list(cache.rglob(".making-*"))


def test_a_graph_that_the_engine_refuses_is_told_in_one_line(tiny_folder, cache, monkeypatch):
    from cliptune.encoders.engines import encoder as engine_encoder

    def refuse(*_, **__):
        raise RuntimeError("no such\noperation")

    monkeypatch.setattr(engine_encoder, "open_graph", refuse)
    with pytest.raises(ConversionError, match="cannot run the graph of the image tower"):
        open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)
    assert isinstance(open_on_engine(tiny_folder, cache_dir=cache), TorchEncoder)


def test_eight_bits_are_calibrated_on_the_users_images_and_their_cost_is_told(
    tiny_folder, cache, pixels
):
    def own(preprocess, n):
        return photo_like(n, preprocess.size, seed=3)

    work = Work(load_pixels=own, labels=("ant", "bee"))
    encoder = open_on_engine(tiny_folder, precision="int8", cache_dir=cache, work=work)
    assert (encoder.engine, encoder.precision) == ("openvino", "int8")
    assert re.search(r"mean-centred cosine at least 0?\.?\d.*of your images", encoder.news)
    full = open_on_engine(tiny_folder, precision="fp32", engine="openvino", cache_dir=cache)
    rows = encoder.encode_images(pixels)
    assert 0.9 < float((rows * full.encode_images(pixels)).sum(1).min()) < 0.999999
    pooled, texts = (StoreKey.of(encoder, kind) for kind in ("pooled", "texts"))
    assert pooled.engine.startswith("openvino ")
    assert texts.engine == "openvino"
    later = open_on_engine(tiny_folder, precision="int8", cache_dir=cache)
    assert later.news == encoder.news


def test_eight_bits_of_a_convolutional_tower_take_one_image_a_request(
    make_folder, tiny_resnet_config, cache, monkeypatch
):
    lengths, cut = [], runtimes._parts
    monkeypatch.setattr(
        runtimes,
        "_parts",
        lambda *given: [lengths.append(len(part)) or (i, part) for i, part in cut(*given)],
    )
    folder = str(make_folder(tiny_resnet_config))
    encoder = open_on_engine(folder, precision="int8", cache_dir=cache)
    lengths.clear()
    encoder.encode_images(photo_like(6, encoder.preprocess.size, seed=5))
    assert lengths == [1] * 6
    assert StoreKey.of(encoder, "pooled").engine.endswith(" singly")


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_what_is_computed_alone_is_the_same(tiny_folder, cache, pixels, engine):
    encoder = open_on_engine(tiny_folder, engine=engine, precision="fp32", cache_dir=cache)
    for kind, encode in (
        ("pooled", encoder.encode_images),
        ("tokens", encoder.encode_tokens),
        ("trunk", encoder.encode_trunk),
    ):
        alone = encoder.encode_alone(kind, pixels[1:3])
        np.testing.assert_allclose(alone, encode(pixels)[1:3], atol=2e-5)
    alone = encoder.encode_alone("texts", TEXTS[1:])
    np.testing.assert_allclose(alone, encoder.encode_texts(TEXTS)[1:], atol=2e-5)
    cut = encoder.encode_alone("texts-cut", ["bee " * 78])
    expected = encoder.encode_texts(["bee " * 78], truncate=True)
    np.testing.assert_allclose(cut, expected, atol=2e-5)


def test_keys_tell_engines_and_formats_apart_and_leave_torchs_as_they_were(tiny_folder, cache):
    torch_encoder = load_encoder(tiny_folder)
    encoder = open_on_engine(tiny_folder, engine="openvino", precision="fp32", cache_dir=cache)
    digests = {StoreKey.of(e, "pooled").digest for e in (torch_encoder, encoder)}
    assert len(digests) == 2
    key = StoreKey("f", {"size": [1, 1]}, "fp32", "torch", "pooled")
    assert key.digest == "0ff2b46ccf3c2332bf5e3ca4dc026eee"


@pytest.mark.parametrize(
    ("request_", "convolutional", "machine", "expected"),
    [
        (("auto", "auto"), False, WITH, ["openvino bf16", "openvino fp32", "onnx fp32"]),
        (("auto", "auto"), False, WITHOUT, ["openvino fp32", "onnx fp32"]),
        (("auto", "auto"), True, WITH, ["openvino fp32", "onnx fp32"]),
        (("openvino", "bf16"), True, WITH, ["openvino bf16"]),
        (("openvino", "bf16"), False, WITHOUT, ["openvino fp32"]),
        (("auto", "int8"), False, WITHOUT, ["openvino int8"]),
        (("onnx", "auto"), False, WITH, ["onnx fp32"]),
    ],
)
def test_what_comes_into_question(request_, convolutional, machine, expected):
    ways = possible_ways(*request_, convolutional=convolutional, machine=machine)
    assert [str(way) for way in ways] == expected
    if not machine.bf16 and request_[1] != "int8":
        assert ways[0].reason == "this processor has no bf16"


def test_an_engine_that_is_not_installed_names_the_extra(monkeypatch, cache):
    monkeypatch.setattr("cliptune.encoders.engines.runtimes.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'cliptune[fast]'")):
        open_on_engine("lite", engine="openvino", cache_dir=cache)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'cliptune[onnx]'")):
        open_on_engine("lite", engine="onnx", cache_dir=cache)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"engine": "tpu"}, InputError, "unknown engine 'tpu'"),
        ({"engine": "onnx", "precision": "int8"}, InputError, "it takes fp32"),
        ({"engine": "openvino", "device": "cuda"}, DeviceError, "computes on the processor"),
    ],
)
def test_refuses_what_an_engine_cannot_do(tiny_folder, cache, options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        open_on_engine(tiny_folder, cache_dir=cache, **options)


def test_agreement_is_judged_after_the_common_mean_is_gone():
    rng = np.random.default_rng(0)
    own = rng.standard_normal((200, 16))
    noise = 0.1 * rng.standard_normal(own.shape)
    rows, moved = (
        (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        for x in (own + 10, own + 10 + noise)
    )
    texts = np.eye(16, dtype=np.float32)
    plain = float((rows * moved).sum(1).min())
    found = compare_rows(moved, texts, rows, texts)
    assert plain > 0.999
    assert found.min_cosine < 0.99
    centred = [x - rows.mean(0, dtype=np.float64) for x in (rows, moved)]
    cosines = (centred[0] * centred[1]).sum(1) / np.prod(
        [np.linalg.norm(x, axis=1) for x in centred], axis=0
    )
    assert found.min_cosine == pytest.approx(cosines.min(), abs=1e-9)
    assert found.top1 == ((rows @ texts.T).argmax(1) == (moved @ texts.T).argmax(1)).mean()
    assert not found.keeps_answers
    assert compare_rows(rows, texts, rows, texts).keeps_answers

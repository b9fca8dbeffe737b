"""Checks before a run: each one can fail, says why, and leaves the model as it was."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cliptune.checks import CHECK_NAMES, run_checks
from cliptune.checks.features import check_duplicates, check_labels, check_zero_shot
from cliptune.checks.trial import blind_loss, guessing_loss
from cliptune.finetuning.losses import class_aware_loss, prompt_cross_entropy, sigmoid_loss
from cliptune.finetuning.options import FinetuneOptions, TrainableOptions
from cliptune.images import ImageTable
from tiny_training import make_encoder, weights_of  # the tiny models of the fine-tuning tests

COLOURS = ("red", "green", "blue")
TEMPLATES = ("a photo of a {}.", "{}")
FULL = FinetuneOptions(precision="fp32", learning_rate=1e-4)


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small lose by threads where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    """Class folders of noisy colours, splits above them."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 20), ("val", 6), ("test", 6)):
        for c, name in enumerate(COLOURS):
            place = tmp_path / "data" / split / name
            place.mkdir(parents=True)
            for number in range(n):
                pixels = rng.integers(0, 130, size=(40, 44, 3))
                pixels[..., c] += 110
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number:02d}.png")
    return tmp_path / "data"


def results_of(data, *, encoder=None, options=FULL, **settings):
    table = ImageTable.open(data) if isinstance(data, Path) else data
    found = run_checks(
        encoder or make_encoder(), table, templates=TEMPLATES, options=options, **settings
    )
    return {result.name: result for result in found}


def test_every_check_reports_in_order_as_json_and_changes_no_weight(folder, tmp_path):
    encoder = make_encoder()
    before = weights_of(encoder)
    results = results_of(folder, encoder=encoder, folder=tmp_path)
    assert tuple(results) == CHECK_NAMES
    after = weights_of(encoder)
    assert all(torch.equal(before[name], after[name]) for name in before)
    for result in results.values():
        json.dumps(result.to_dict(), allow_nan=False)
        assert result.status in ("passed", "warned", "failed", "skipped")
        assert result.meaning.endswith(".")
        assert result.advice.endswith((".", "?"))
    failed = [name for name, result in results.items() if result.status == "failed"]
    assert failed == []
    passed = {name for name, result in results.items() if result.status == "passed"}
    assert {"readable", "class_counts", "imbalance", "contact_sheet", "label_signal"} <= passed
    assert {"initial_loss", "gradient_flow", "overfit_one_batch", "input_independent"} <= passed


def test_without_fine_tuning_its_checks_are_skipped(folder):
    results = results_of(folder, options=None)
    skipped = [name for name, result in results.items() if result.status == "skipped"]
    assert skipped == ["contact_sheet", *CHECK_NAMES[CHECK_NAMES.index("initial_loss") :]]


def test_an_unreadable_image_is_listed_and_left_out_of_the_rest(folder):
    (folder / "train" / "green" / "03.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    results = results_of(folder, options=None)
    readable = results["readable"]
    assert readable.status == "failed"
    assert readable.value["unreadable"] == 1
    assert readable.value["listed"][0]["id"] == "train/green/03.png"
    assert results["class_counts"].value == {"red": 20, "green": 19, "blue": 20}


def test_shuffled_labels_are_noticed(folder):
    table = ImageTable.open(folder)
    labels = np.random.default_rng(0).permutation(table.labels)
    results = results_of(dataclasses.replace(table, labels=labels), options=None)
    assert results["label_signal"].status == "warned"
    assert "do not follow from the images" in results["label_signal"].advice
    assert results["zero_shot"].status == "warned"


def test_the_same_picture_in_two_splits_is_named(folder):
    copy = folder / "test" / "red" / "copy.png"
    copy.write_bytes((folder / "train" / "red" / "07.png").read_bytes())
    duplicates = results_of(folder, options=None)["duplicates"]
    assert duplicates.status == "warned"
    assert {"test/red/copy.png", "train/red/07.png"} in [
        {pair["first"], pair["second"]} for pair in duplicates.value["listed"]
    ]


def test_duplicates_within_one_split_do_not_warn():
    rows = np.eye(8, dtype=np.float32)[[0, 0, 1, 2, 3, 4, 5, 6]]
    names = tuple("abcdefgh")
    splits = np.asarray(["train"] * 6 + ["test"] * 2)
    result = check_duplicates(rows, names, splits)
    assert (result.status, result.value["in_all"]) == ("passed", 1)


def test_small_and_uneven_classes_are_named(folder):
    for number in range(2, 20):
        (folder / "train" / "blue" / f"{number:02d}.png").unlink()
    table = ImageTable.open(folder)
    results = results_of(table, options=None)
    assert results["class_counts"].status == "warned"
    assert "blue" in results["class_counts"].meaning
    assert (results["imbalance"].status, results["imbalance"].value) == ("passed", 10.0)
    keep = np.flatnonzero((table.labels != 2) | (table.splits != "train"))
    results = results_of(table.select(keep), options=None)
    assert results["class_counts"].status == "failed"


def test_the_picture_shows_each_image_as_it_is_and_augmented(folder, tmp_path):
    result = results_of(folder, options=None, folder=tmp_path)["contact_sheet"]
    with Image.open(result.value) as sheet:
        assert sheet.width > 600
        assert sheet.height > 400


@pytest.mark.parametrize("method", ["full", "lora", "head-then-full"])
def test_every_method_passes_on_good_data(folder, method):
    options = dataclasses.replace(FULL, method=method, learning_rate=None)
    results = results_of(folder, options=options)
    for name in ("initial_loss", "gradient_flow", "input_independent"):
        assert results[name].status == "passed", results[name]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("class-aware", math.log(8)),
        ("clip", math.log(8)),
        ("cross-entropy", math.log(3)),
        ("sigmoid", 8 * math.log(2)),
    ],
)
def test_the_initial_loss_is_the_closed_form(folder, loss, expected):
    result = results_of(folder, options=dataclasses.replace(FULL, loss=loss))["initial_loss"]
    assert result.value == pytest.approx(expected, abs=1e-4)
    assert result.status == "passed"


def test_a_gradient_that_is_cut_off_is_noticed(folder):
    encoder = make_encoder()
    encoder.model.visual.ln_pre.register_forward_hook(lambda _m, _i, out: out.detach())
    result = results_of(folder, encoder=encoder)["gradient_flow"]
    assert result.status == "warned"
    assert result.value["unreached"] == ["image.stem"]


def test_frozen_groups_count_as_frozen(folder):
    frozen = TrainableOptions(train=("image.last1",))
    result = results_of(folder, options=dataclasses.replace(FULL, trainable=frozen))
    assert result["gradient_flow"].status == "passed"
    assert result["gradient_flow"].value["trains"] == [
        "image.block2",
        "image.top",
        "image.projection",
    ]


@pytest.mark.parametrize("train", [("image.last1",), ("image.last1", "text"), ("text",)])
def test_blocks_that_never_train_run_once_a_batch_with_equal_results(folder, monkeypatch, train):
    options = dataclasses.replace(FULL, trainable=TrainableOptions(train=train))
    runs = []

    def counted():
        encoder, calls = make_encoder(), []
        for tower in (encoder.model.visual.transformer, encoder.model.transformer):
            tower.resblocks[0].mlp.register_forward_hook(lambda *_, of=tower: calls.append(of))
        results = results_of(folder, encoder=encoder, options=options)
        runs.append([calls.count(tower) for tower in dict.fromkeys(calls)])
        return results

    short = counted()
    monkeypatch.setattr("cliptune.checks.training.behind_frozen", lambda _session, steps: steps)
    whole = counted()
    saved = [after - before for before, after in zip(*runs, strict=True)]
    assert saved[0] > 20
    assert (saved[1] > 20) == ("text" not in train)
    for name, result in short.items():
        assert result.status == whole[name].status
    for name, key in (("rate_range", "curve"), ("overfit_one_batch", "last")):
        np.testing.assert_allclose(short[name].value[key], whole[name].value[key], atol=2e-4)
    assert short["input_independent"].value == pytest.approx(
        whole["input_independent"].value, abs=2e-4
    )


def test_training_that_cannot_fit_a_batch_is_noticed(folder):
    only_scale = TrainableOptions(train=("logit_scale",))
    results = results_of(folder, options=dataclasses.replace(FULL, trainable=only_scale))
    assert results["overfit_one_batch"].status == "warned"


def test_a_rate_that_breaks_the_loss_is_noticed(folder):
    result = results_of(folder, options=dataclasses.replace(FULL, learning_rate=1.0))["rate_range"]
    assert result.status == "warned"
    assert 1e-7 <= result.value["suggested"] < result.value["breaks_at"] <= 0.1
    assert "Try --lr" in result.advice


def test_zero_shot_is_held_against_guessing():
    rows = np.eye(4, dtype=np.float32)
    labels = np.asarray([0, 1, 2, 3] * 5)
    good = check_zero_shot(rows[labels], labels, class_rows=rows, scale=20.0)
    assert (good.status, good.value["accuracy"]) == ("passed", 1.0)
    assert good.expected["loss_below"] == pytest.approx(math.log(4), abs=1e-4)
    wrong = check_zero_shot(rows[labels], (labels + 1) % 4, class_rows=rows, scale=20.0)
    assert wrong.status == "warned"
    assert wrong.value["loss"] == pytest.approx(20 + math.log(1 + 3 * math.exp(-20)), abs=1e-3)


def test_features_that_carry_the_shuffled_labels_are_noticed():
    """Shuffling moves labels between rows; rows that repeat by label give them away."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    shuffled = np.random.default_rng(0).permutation(labels)
    rows = np.eye(2, dtype=np.float32)[shuffled] + rng.normal(0, 0.05, (80, 2))
    signal, control = check_labels(rows.astype(np.float32), labels, seed=0)
    assert signal.status == "warned"
    assert control.status == "warned"


class Asked:
    """As much of a session and a step as the closed forms read."""

    def __init__(self, loss, labels, n_classes):
        self.loss = loss
        self.labels = torch.from_numpy(labels)
        self.data = self
        self.train = self
        self.class_names = tuple(map(str, range(n_classes)))


@pytest.mark.parametrize("loss", ["class-aware", "cross-entropy", "sigmoid"])
def test_the_blind_loss_is_the_minimum_over_texts_with_equal_images(loss):
    """One image vector for all, free texts a class: minimised numerically."""
    labels = np.asarray([0, 0, 0, 1, 2, 2])
    asked = Asked(loss, labels, 3)
    target = torch.from_numpy(labels)
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64)
    images = torch.ones(6, 1, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def value():
        texts, one = logits[:, None], torch.ones((), dtype=torch.float64)
        if loss == "cross-entropy":
            return prompt_cross_entropy(images, texts, target, one)
        if loss == "sigmoid":
            return sigmoid_loss(images, texts[target], target, one, bias)
        return class_aware_loss(images, texts[target], target, one)

    def closure():
        optimizer.zero_grad()
        result = value()
        result.backward()
        return result

    optimizer.step(closure)
    assert blind_loss(asked, asked) == pytest.approx(value().item(), abs=1e-4)
    assert guessing_loss(asked, asked) >= blind_loss(asked, asked) - 1e-9

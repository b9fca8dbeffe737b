"""Each family of transformers beside transformers itself, from pictures and texts to scores."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
import transformers
from family_models import FAMILIES, TEXTS, make
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import normalize

from cliptune.cli import run_command_line
from cliptune.encoders import load_encoder
from cliptune.encoders.engines import open_on_engine
from cliptune.encoders.engines.agreement import draw_inputs
from cliptune.encoders.engines.conversion import convert_to_onnx, convert_to_openvino
from cliptune.encoders.engines.runtimes import open_graph
from cliptune.encoders.engines.token_ids import write_down
from cliptune.encoders.families import transformers_families
from cliptune.encoders.model_config import rebuild_encoder
from cliptune.encoders.native_patches import grid_of, native_grid, pack_patches
from cliptune.errors import InputError


@pytest.fixture(scope="module")
def pictures(data_root):
    """Photographs of several shapes, and their paths."""
    paths = sorted((data_root / "hymenoptera_data" / "val").rglob("*.jpg"))
    return list(islice(paths, 0, None, 30))[:5]


def theirs(model, pictures, texts):
    """Return transformers' own unit rows and logits."""
    found = transformers.AutoModel.from_pretrained(model.folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(model.folder)
    images = [Image.open(path).convert("RGB") for path in pictures]
    with torch.no_grad():
        # The processor of NaFlex overrules what its image processor was saved with.
        pixels = processor.image_processor(images=images, return_tensors="pt")
        ids = processor.tokenizer(texts, return_tensors="pt", truncation=True, **model.padding)
        out = found(**pixels, **ids)
    rows = [normalize(embedded, dim=-1).numpy() for embedded in (out.image_embeds, out.text_embeds)]
    return *rows, out.logits_per_image.numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_and_logits_are_those_of_transformers(small_family, pictures, name):
    model = small_family(name)
    encoder = load_encoder(str(model.folder), device="cpu", precision="fp32")
    images, texts, logits = theirs(model, pictures, TEXTS)
    pixels = np.stack([encoder.preprocess(Image.open(p).convert("RGB")) for p in pictures])
    ours = encoder.encode_images(pixels), encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(ours[0], images, atol=1e-4)
    np.testing.assert_allclose(ours[1], texts, atol=1e-4)
    found = encoder.logit_scale * ours[0] @ ours[1].T + (encoder.logit_bias or 0.0)
    np.testing.assert_allclose(found, logits, atol=1e-4)
    assert np.abs(images[0] @ images[1]) < 0.999, "the weights tell pictures apart"
    assert encoder.score == transformers_families()[name].score


def test_a_shorter_context_is_the_models_own(pictures, tmp_path):
    """The published so400m-patch14-224 has 16 positions."""
    model = make("siglip", tmp_path / "short", context=16)
    encoder = load_encoder(str(model.folder), device="cpu", precision="fp32")
    assert encoder.context_length == 16
    texts = ["a photo of an ant.", "a bee on a flower"]
    np.testing.assert_allclose(
        encoder.encode_texts(texts), theirs(model, pictures, texts)[1], atol=1e-5
    )


@pytest.mark.parametrize("name", ["siglip", "siglip2"])
def test_predict_prints_the_scores_of_the_zero_shot_pipeline(
    small_family, pictures, name, tmp_path, capsys
):
    folder = str(small_family(name).folder)
    arguments = [*map(str, pictures), "--labels", "ant,bee,blue bird", "--model", folder]
    assert run_command_line(["predict", *arguments, "--json", "--cache-dir", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    pipeline = transformers.pipeline("zero-shot-image-classification", model=folder)
    assert answer["score"] == "sigmoid"
    for path, said in zip(pictures, answer["predictions"], strict=True):
        told = pipeline(str(path), candidate_labels=["ant", "bee", "blue bird"])
        expected = {one["label"]: one["score"] for one in told}
        found = {one["label"]: one["probability"] for one in said["labels"]}
        assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_every_family_converts(small_family, name, engine, tmp_path):
    """Both towers, to rows of torch; texts as their rows are cut."""
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[engine], reason="no engine")
    convert = {"openvino": convert_to_openvino, "onnx": convert_to_onnx}[engine]
    encoder = load_encoder(str(small_family(name).folder), device="cpu", precision="fp32")
    pixels, ids = draw_inputs(encoder.preprocess, 3), encoder.tokenizer(TEXTS).numpy()
    if engine == "openvino":
        ids = ids[:, : encoder.text_end.lengths(ids).max()]
    for tower, given in (("image", pixels), ("text", ids)):
        convert(encoder, tower, tmp_path)
        path = tmp_path / f"{tower}.{'xml' if engine == 'openvino' else 'onnx'}"
        found = open_graph(engine, path, precision="fp32")(given)
        rows = encoder.encode_images(pixels) if tower == "image" else encoder.encode_texts(TEXTS)
        np.testing.assert_allclose(found, rows, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stored_tokenizer_gives_the_same_ids(small_family, name):
    encoder = load_encoder(str(small_family(name).folder), device="cpu", precision="fp32")
    stored = write_down(encoder)
    assert stored is not None
    read = type(stored).from_json(stored.to_json())
    np.testing.assert_array_equal(read(TEXTS), encoder.tokenizer(TEXTS).numpy())


@pytest.mark.parametrize("name", ["siglip2", "altclip"])
def test_a_run_rebuilds_the_model_from_what_it_keeps(small_family, name, tmp_path):
    encoder = load_encoder(str(small_family(name).folder), device="cpu", precision="fp32")
    for place, content in encoder.blueprint.files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(content)
    weights = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    save_file(weights, tmp_path / "encoder.safetensors")
    rebuilt = rebuild_encoder(
        "kept",
        json.loads(json.dumps(encoder.blueprint.to_dict())),
        weights=tmp_path / "encoder.safetensors",
        folder=tmp_path,
        device="cpu",
        precision="fp32",
    )
    assert rebuilt.fingerprint == encoder.fingerprint
    assert (rebuilt.score, rebuilt.logit_bias) == (encoder.score, encoder.logit_bias)
    np.testing.assert_array_equal(rebuilt.encode_texts(TEXTS), encoder.encode_texts(TEXTS))


@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_text_has_a_row_or_is_refused(small_family, name, tmp_path):
    folder = str(small_family(name).folder)
    for engine in ("torch", "openvino"):
        encoder = open_on_engine(folder, engine=engine, precision="fp32", cache_dir=tmp_path)
        if name in ("siglip", "siglip2", "tipsv2"):  # these small tokenizers add no marks
            with pytest.raises(InputError, match="text '' has no token for"):
                encoder.encode_texts(["an ant", "", "a bee"])
            continue
        rows = encoder.encode_texts(["an ant", "", "a bee"])
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_fewer_patches_are_other_rows_kept_apart(small_family, pictures):
    folder = small_family("siglip2").folder
    image = Image.open(pictures[0]).convert("RGB")
    rows, keys = [], set()
    for name in (str(folder), f"{folder}?max_patches=6"):
        encoder = load_encoder(name, device="cpu", precision="fp32")
        rows.append(encoder.encode_images(encoder.preprocess(image)[None]))
        keys.add(encoder.fingerprint)
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
    assert len(keys) == 2
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=6)
    with torch.no_grad():
        theirs = model.get_image_features(**processor(images=image, return_tensors="pt"))
    np.testing.assert_allclose(rows[1], normalize(theirs.pooler_output, dim=-1), atol=1e-5)


def test_native_pictures_keep_their_shape_within_the_number_of_patches():
    """As transformers' processor cuts them, for shapes from thin to square."""
    processor = transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=64)
    for width, height in ((500, 375), (375, 500), (64, 64), (900, 20), (33, 700)):
        rng = np.random.default_rng(width)
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        packed = pack_patches(image, 64, 16)
        told = processor(images=image, return_tensors="np")
        rows, columns = grid_of(packed[None])[0]
        assert [rows, columns] == told["spatial_shapes"][0].tolist()
        assert (rows, columns) == native_grid(height, width, 64, 16)
        flat = packed[:, 1 : 1 + rows * columns].transpose(1, 2, 0).reshape(rows * columns, -1)
        seen = told["pixel_values"][0][: rows * columns]
        np.testing.assert_allclose(flat / 127.5 - 1, seen, atol=1e-6)


def test_native_grids_are_those_of_timm():
    from timm.data.naflex_transforms import get_image_size_for_seq

    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = (int(side) for side in rng.integers(20, 2000, 2))
        n = int(rng.choice([64, 256, 576]))
        _, (rows, columns) = get_image_size_for_seq((height, width), 16, n)
        assert native_grid(height, width, n, 16) == (rows // 16, columns // 16)


def test_the_number_of_patches_on_the_command_line_is_what_is_kept_by(
    small_family, pictures, tmp_path, capsys
):
    folder = str(small_family("siglip2").folder)
    command = ["predict", str(pictures[0]), "--labels", "ant,bee", "--model", folder, "--json"]
    command += ["--cache-dir", str(tmp_path), "--engine", "torch"]
    told = []
    for more in ([], ["--max-patches", "6"], [], ["--max-patches", "6"]):
        assert run_command_line([*command, *more]) == 0
        answer = json.loads(capsys.readouterr().out)["predictions"][0]["labels"]
        told.append({one["label"]: one["probability"] for one in answer})
    assert told[0] == pytest.approx(told[2], abs=1e-5)
    assert told[1] == pytest.approx(told[3], abs=1e-5)
    assert abs(told[0]["ant"] - told[1]["ant"]) > 1e-4
    for wrong, said in (("0", "--max-patches"), ("many", "--max-patches")):
        assert run_command_line([*command, "--max-patches", wrong]) == 2
        assert said in capsys.readouterr().err
    fixed = str(small_family("siglip").folder)
    arguments = ["predict", str(pictures[0]), "--labels", "a,b", "--model", fixed]
    assert run_command_line([*arguments, "--max-patches", "6"]) == 2
    assert "takes pictures of one size" in capsys.readouterr().err


def test_photographs_fill_their_patches(data_root):
    paths = sorted((data_root / "hymenoptera_data").rglob("*.jpg"))
    counts = []
    for path in paths:
        with Image.open(path) as picture:
            counts.append(np.prod(native_grid(picture.height, picture.width, 256, 16)))
    assert len(counts) == 396
    assert (min(counts), max(counts)) == (240, 256)


def test_a_family_is_exported_as_graphs_alone(small_family, small_data, compute, tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="needs cliptune[export]")
    pytest.importorskip("onnx", reason="needs cliptune[export]")
    run, shared = tmp_path / "run", ["--cache-dir", str(compute.cache_dir)]
    words = ["--model", str(small_family("siglip").folder), "--method", "linear", *shared]
    assert run_command_line(["fit", str(small_data), *words, "--out", str(run)]) == 0
    export = ["export", str(run), *shared, "--images", "4", "--out"]
    capsys.readouterr()
    assert run_command_line([*export, str(tmp_path / "hub"), "--format", "hub"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "cliptune:" in one]
    assert "do not leave in the hub's format; use --format onnx" in line
    assert not (tmp_path / "hub").exists()
    assert run_command_line([*export, str(tmp_path / "onnx"), "--format", "onnx"]) == 0

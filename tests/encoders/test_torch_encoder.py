import numpy as np
import pytest
import torch
from torch import nn

from cliptune.encoders import DualEncoder, Preprocess
from cliptune.encoders.torch_encoder import TorchEncoder, is_convolutional
from cliptune.errors import InputError

PREPROCESS = Preprocess(size=(8, 8), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


class LetterTokenizer:
    """One id a letter, between a 1 and a 2."""

    context_length = 8
    identity = "letters"

    def __call__(self, texts):
        rows = torch.zeros(len(texts), self.context_length, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = [1, *(ord(letter) % 60 + 3 for letter in text)][: self.context_length - 1]
            row[: len(ids) + 1] = torch.tensor([*ids, 2])
        return rows

    def count_tokens(self, text):
        return len(text) + 2


class TinyModel(nn.Module):
    """Linear towers, so that every embedding has a closed form."""

    def __init__(self, convolutions=0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.image = nn.Parameter(torch.randn(3 * 8 * 8, 5, generator=generator))
        self.text = nn.Parameter(torch.randn(64, 5, generator=generator))
        self.blocks = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(convolutions)))
        self.logit_scale = nn.Parameter(torch.tensor(4.6052))

    def encode_image(self, images):
        return self.blocks(images).flatten(1) @ self.image

    def encode_text(self, tokens):
        return nn.functional.one_hot(tokens, 64).to(self.text.dtype).sum(1) @ self.text

    def encode_image_tokens(self, images):
        return images.flatten(2).transpose(1, 2)

    def encode_image_trunk(self, images):
        flat = self.blocks(images).flatten(1)
        return flat @ self.image, flat


def make_encoder(model=None, **options):
    options = {"tokenizer": LetterTokenizer(), "preprocess": PREPROCESS} | options
    return TorchEncoder(name="tiny", model=model or TinyModel(), **options)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_follows_the_protocol_of_a_dual_encoder():
    encoder = make_encoder()
    assert isinstance(encoder, DualEncoder)
    assert (encoder.name, encoder.dim, encoder.context_length) == ("tiny", 5, 8)
    assert (encoder.device, encoder.precision) == ("cpu", "fp32")


def test_embeds_normalised_pixels_as_unit_rows(pixels):
    encoder = make_encoder()
    flat = PREPROCESS.normalize(pixels).reshape(3, -1)
    expected = unit(flat @ encoder.model.image.detach().numpy())
    found = encoder.encode_images(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tokens_are_not_normalised_to_unit_length(pixels):
    found = make_encoder().encode_tokens(pixels)
    expected = PREPROCESS.normalize(pixels).reshape(3, 3, 64).transpose(0, 2, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_trunk_rows_are_the_embedding_and_what_it_is_projected_from(pixels):
    encoder = make_encoder()
    found = encoder.encode_trunk(pixels)
    assert found.shape == (3, 5 + 192)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :5], encoder.encode_images(pixels), atol=1e-6)
    expected = unit(PREPROCESS.normalize(pixels).reshape(3, -1))
    np.testing.assert_allclose(found[:, 5:], expected, atol=1e-6)


def test_takes_read_only_and_transposed_pixels(pixels):
    encoder = make_encoder()
    expected = encoder.encode_images(pixels)
    shown = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    shown.flags.writeable = False
    np.testing.assert_array_equal(encoder.encode_images(shown), expected)


def test_leaves_the_pixels_as_they_were(pixels):
    before = pixels.copy()
    make_encoder().encode_images(pixels)
    np.testing.assert_array_equal(pixels, before)


def test_texts_in_pieces_equal_texts_one_by_one():
    encoder = make_encoder()
    texts = [f"t{i % 7}" + "x" * (i % 4) for i in range(300)]
    single = np.concatenate([encoder.encode_texts([text]) for text in texts])
    found = encoder.encode_texts(texts)
    np.testing.assert_allclose(found, single, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_rejects_a_text_that_is_too_long_and_names_both_lengths():
    encoder = make_encoder()
    with pytest.raises(InputError, match=r"text of 11 tokens, but tiny takes 8: 'abcdefghi'.*--tr"):
        encoder.encode_texts(["ab", "abcdefghi"])
    cut = encoder.encode_texts(["abcdefghi"], truncate=True)
    np.testing.assert_allclose(cut, encoder.encode_texts(["abcdef"]), atol=1e-6)


@pytest.mark.parametrize("texts", [[], "a single string"])
def test_rejects_what_is_no_list_of_texts(texts):
    with pytest.raises(InputError, match="non-empty list of strings"):
        make_encoder().encode_texts(texts)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 3, 8, 9), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((2, 3, 8, 8), np.float32),
    ],
)
def test_rejects_pixels_of_another_shape_or_type(wrong):
    with pytest.raises(InputError, match=r"expected \(B, 3, 8, 8\) uint8"):
        make_encoder().encode_images(wrong)


def test_logit_scale_is_exponentiated_and_not_rounded():
    assert make_encoder().logit_scale == pytest.approx(100.0, abs=0.01)
    assert make_encoder(precision="bf16").logit_scale == make_encoder().logit_scale


def test_bf16_rounds_the_weights_and_keeps_unit_float32_rows(pixels):
    encoder = make_encoder(precision="bf16")
    assert encoder.model.image.dtype == torch.bfloat16
    rows = encoder.encode_images(pixels)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows, make_encoder().encode_images(pixels), atol=0.02)


def test_fingerprint_does_not_depend_on_precision():
    assert make_encoder(precision="bf16").fingerprint == make_encoder().fingerprint


def test_fingerprint_changes_with_everything_that_changes_an_embedding():
    changed = TinyModel()
    with torch.no_grad():
        changed.text[0, 0] += 1e-6
    other_letters = LetterTokenizer()
    other_letters.identity = "other letters"
    encoders = [
        make_encoder(),
        make_encoder(changed),
        make_encoder(tokenizer=other_letters),
        make_encoder(preprocess=Preprocess(size=(8, 8))),
        make_encoder(architecture="QuickGELU"),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == len(encoders)
    assert make_encoder().fingerprint == encoders[0].fingerprint


def test_convolutions_in_channels_last_give_the_same_rows(pixels):
    model = TinyModel(convolutions=5)
    assert is_convolutional(model)
    assert not is_convolutional(TinyModel(convolutions=1))
    with torch.inference_mode():
        images = torch.from_numpy(PREPROCESS.normalize(pixels))
        expected = unit(model.encode_image(images).numpy())
    np.testing.assert_allclose(make_encoder(model).encode_images(pixels), expected, atol=1e-6)


def test_the_model_can_be_trained_afterwards(pixels):
    encoder = make_encoder()
    encoder.encode_images(pixels)
    encoder.encode_texts(["ab"])
    loss = encoder.model.encode_image(torch.zeros(1, 3, 8, 8)).sum()
    loss.backward()
    assert encoder.model.image.grad is not None
    assert encoder.model.image.dtype == torch.float32

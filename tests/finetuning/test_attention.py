"""The replaced attention computes what open_clip computes, gradients included."""

import pytest
import torch

from cliptune.finetuning.attention import (
    FusedAttention,
    SplitAttention,
    fused_attention,
    join_attention,
    split_attention,
)
from tiny_training import HashTokenizer, make_model


def run(model):
    torch.manual_seed(1)
    images, tokens = torch.randn(3, 3, 32, 32), HashTokenizer()(["a red dot.", "blue"])
    image, text = model.encode_image(images), model.encode_text(tokens)
    (image.square().sum() + text.square().sum()).backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return image.detach(), text.detach(), gradients


@pytest.mark.parametrize("custom_text", [False, True])
def test_fused_attention_gives_the_same_rows_and_gradients(custom_text):
    model = make_model(custom_text=custom_text)
    image, text, gradients = run(model)
    with fused_attention(model):
        assert sum(isinstance(m, FusedAttention) for m in model.modules()) == 5
        fused_image, fused_text, fused_gradients = run(model)
    torch.testing.assert_close(fused_image, image)
    torch.testing.assert_close(fused_text, text)
    assert fused_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(fused_gradients[name], gradient, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, FusedAttention) for m in model.modules())


@pytest.mark.parametrize("kind", [FusedAttention, SplitAttention])
def test_a_mask_of_each_row_and_head_is_taken_as_torch_takes_it(kind):
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(32, 2, batch_first=True)
    rows = torch.randn(3, 5, 32)
    mask = torch.where(torch.rand(6, 5, 5) < 0.3, -torch.inf, 0.0)
    mask.diagonal(dim1=1, dim2=2).zero_()
    expected, _ = attention(rows, rows, rows, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(kind(attention)(rows, rows, rows, attn_mask=mask)[0], expected)


def test_fused_attention_keeps_names_and_parameters(tiny_model):
    before = dict(tiny_model.named_parameters())
    with fused_attention(tiny_model):
        assert {n: id(p) for n, p in tiny_model.named_parameters()} == {
            n: id(p) for n, p in before.items()
        }


def test_split_attention_computes_the_same_and_joins_back(tiny_model):
    image, text, _ = run(tiny_model)
    weights = {n: p.clone() for n, p in tiny_model.state_dict().items()}
    replaced = split_attention(tiny_model)
    assert sum(isinstance(m, SplitAttention) for m in tiny_model.modules()) == 5
    split_image, split_text, _ = run(tiny_model)
    torch.testing.assert_close(split_image, image)
    torch.testing.assert_close(split_text, text)
    with torch.no_grad():
        replaced[0][0].attn.k_proj.weight.add_(1.0)
    join_attention(replaced)
    changed = {n for n, p in tiny_model.state_dict().items() if not torch.equal(p, weights[n])}
    assert len(changed) == 1
    name = changed.pop()
    rows = (tiny_model.state_dict()[name] - weights[name]).ne(0).all(dim=1)
    assert rows.nonzero().flatten().tolist() == list(range(32, 64))


def test_bf16_rows_stay_close_to_fp32(tiny_model):
    image, text, _ = run(tiny_model)
    with fused_attention(tiny_model), torch.autocast("cpu", dtype=torch.bfloat16):
        half_image, half_text, _ = run(tiny_model)
    for half, full in ((half_image, image), (half_text, text)):
        assert torch.cosine_similarity(half.float(), full).min() > 0.999

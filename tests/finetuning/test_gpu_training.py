"""Training on a CUDA GPU beside the processor's."""

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from cliptune.finetuning.loop import finetune
from cliptune.finetuning.memory import largest_that_fits
from cliptune.finetuning.options import FinetuneOptions
from cliptune.finetuning.records import EpochRecord, StepRecord, TrainingOutcome, TrainingPlan
from cliptune.finetuning.towers import to_device
from tiny_training import make_data, make_encoder, make_model, run, weights_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")

FAST = FinetuneOptions(
    epochs=3, batch_size=8, learning_rate=1e-3, precision="fp32", interpolate=False, seed=3
)


@pytest.mark.parametrize("method", ["full", "lora", "head-then-full"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_on_the_gpu(method, precision):
    options = dataclasses.replace(FAST, method=method, precision=precision)
    encoder, events = run(make_encoder(device="cuda"), options=options)
    assert isinstance(plan := events[0], TrainingPlan)
    assert plan.precision == precision
    first, *_, last = [event for event in events if isinstance(event, EpochRecord)]
    losses = [event.loss for event in events if isinstance(event, StepRecord)]
    assert np.isfinite(losses).all()
    assert last.train.log_loss < first.train.log_loss
    assert isinstance(events[-1], TrainingOutcome)
    assert all(weight.is_cuda for weight in encoder.model.state_dict().values())


def test_the_gpu_trains_to_the_processors_weights():
    """One process trains on one device, so the processor has another."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        expected = pool.submit(weights_from_the_processor).result()
    on_gpu, _ = run(make_encoder(device="cuda"), options=FAST)
    for name, weight in weights_of(on_gpu).items():
        torch.testing.assert_close(weight.cpu(), expected[name], atol=5e-3, rtol=5e-2)


def weights_from_the_processor():
    encoder, _ = run(options=FAST)
    return weights_of(encoder)


def test_a_run_on_the_gpu_resumes(tmp_path):
    options = dataclasses.replace(FAST, checkpoint_seconds=0.0)
    whole, _ = run(make_encoder(device="cuda"), options=options)
    events = finetune(make_encoder(device="cuda"), make_data(), options, folder=tmp_path)
    for event in events:
        if isinstance(event, StepRecord) and event.step == 4:
            break
    events.close()
    resumed, events = run(
        make_encoder(device="cuda"), options=options, folder=tmp_path, resume=True
    )
    assert events[0].resumed_at_step == 4
    after = weights_of(resumed)
    for name, weight in weights_of(whole).items():
        torch.testing.assert_close(after[name], weight, atol=1e-4, rtol=1e-3)


def test_what_fits_is_found_by_trying():
    free, _ = torch.cuda.mem_get_info()
    each = free // 5  # four fit, and eight do not

    def run(n_images):
        torch.empty(n_images * each, dtype=torch.uint8, device="cuda")

    assert largest_that_fits(run, 64, device="cuda") == 4


def test_lora_on_convolutions_is_merged_where_the_gpu_rounds_them():
    """TF32 alone would differ by more than the merge may."""
    tower = {"image_size": 32, "layers": (2, 2, 2, 2), "width": 64, "head_width": 64}
    options = dataclasses.replace(FAST, method="lora", learning_rate=1e-2)
    model = make_model(vision=tower)
    _, events = run(make_encoder(model, device="cuda"), options=options)
    assert 0 < events[-1].merge_error <= 1e-4


def test_pixels_arrive_as_they_were():
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(to_device(pixels, "cuda").cpu(), pixels)

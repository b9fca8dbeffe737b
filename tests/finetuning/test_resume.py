"""A run that is interrupted anywhere ends with the weights of an undisturbed one, bit for bit."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cliptune.errors import InputError, RunError
from cliptune.finetuning.checkpoints import load_state
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.options import FinetuneOptions, OptimizerOptions, TrainableOptions
from cliptune.finetuning.records import EpochRecord, StepRecord, TrainingOutcome, TrainingPlan
from tiny_training import make_data, make_encoder, make_model, run, weights_of

BASE = FinetuneOptions(
    epochs=2,
    batch_size=8,
    learning_rate=1e-3,
    precision="fp32",
    augment="strong",
    checkpoint_seconds=0.0,
    interpolate=False,
)
HERE = Path(__file__).parent
SGD = OptimizerOptions(name="sgd", momentum=0.9, nesterov=True)
LATER = TrainableOptions(unfreeze=((0, "image.last1"), (1, "all")))
WAYS = {
    "full": BASE,
    "sgd, balanced, in parts": dataclasses.replace(
        BASE, optimizer=SGD, balance=True, micro_batch_size=3
    ),
    "unfreezing": dataclasses.replace(BASE, trainable=LATER),
    "lora": dataclasses.replace(BASE, method="lora"),
    "head-then-full": dataclasses.replace(BASE, method="head-then-full"),
    "sigmoid": dataclasses.replace(BASE, loss="sigmoid"),
}


def interrupt(options, folder, *, after):
    """Leave a run once that many steps are done."""
    events = finetune(make_encoder(), make_data(), options, folder=folder)
    for event in events:
        if isinstance(event, StepRecord) and event.step == after:
            break
    events.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [2, 4])
def test_resumed_weights_and_records_are_those_of_an_undisturbed_run(tmp_path, way, after):
    options = WAYS[way]
    whole, expected = run(options=options)
    interrupt(options, tmp_path, after=after)
    resumed, events = run(options=options, folder=tmp_path, resume=True)
    assert isinstance(events[0], TrainingPlan)
    assert events[0].resumed_at_step == after
    pairs = zip(weights_of(whole).items(), weights_of(resumed).values(), strict=True)
    assert [name for (name, a), b in pairs if not torch.equal(a, b)] == []
    for a, b in zip(expected[-1].epochs, events[-1].epochs, strict=True):
        assert dataclasses.replace(a, seconds=0) == dataclasses.replace(b, seconds=0)


def test_a_convolutional_tower_in_channels_last_resumes_bit_equal(tmp_path):
    tower = {"image_size": 32, "layers": (1, 1, 1, 1), "width": 8, "head_width": 16}

    def encoder():
        return make_encoder(make_model(vision=tower))

    whole, _ = run(encoder(), options=BASE)
    events = finetune(encoder(), make_data(), BASE, folder=tmp_path)
    for event in events:
        if isinstance(event, StepRecord) and event.step == 4:
            break
    events.close()
    resumed, _ = run(encoder(), options=BASE, folder=tmp_path, resume=True)
    after = weights_of(resumed)
    assert all(torch.equal(tensor, after[name]) for name, tensor in weights_of(whole).items())


def test_a_finished_run_resumes_to_its_end_without_a_step(tmp_path):
    whole, first = run(options=BASE, folder=tmp_path)
    again, events = run(options=BASE, folder=tmp_path, resume=True)
    assert not [event for event in events if isinstance(event, StepRecord)]
    assert [e.epoch for e in events if isinstance(e, EpochRecord)] == [0, 1, 2]
    assert isinstance(events[-1], TrainingOutcome)
    assert events[-1].epochs == first[-1].epochs
    after = weights_of(again)
    assert all(torch.equal(tensor, after[name]) for name, tensor in weights_of(whole).items())


def test_refuses_other_options_and_says_which(tmp_path):
    interrupt(BASE, tmp_path, after=1)
    other = dataclasses.replace(BASE, epochs=5, optimizer=SGD)
    with pytest.raises(RunError) as caught:
        run(options=other, folder=tmp_path, resume=True)
    message = str(caught.value)
    assert "epochs (2 there, 5 here)" in message
    assert "optimizer.name ('adamw' there, 'sgd' here)" in message
    assert "\n" not in message


def test_refuses_other_data(tmp_path):
    interrupt(BASE, tmp_path, after=1)
    with pytest.raises(RunError, match=r"3 added \('train/0024.png', .* 'train/0026.png'\)"):
        run(data=make_data(27), options=BASE, folder=tmp_path, resume=True)


def test_refuses_a_checkpoint_that_does_not_say_which_images(tmp_path):
    """As versions before wrote them: with counts and a checksum of labels."""
    interrupt(BASE, tmp_path, after=1)
    state = load_state(tmp_path)
    del state.facts["identity"]["images"]
    file = tmp_path / "state.safetensors"
    with safe_open(file, framework="pt") as saved:
        tensors = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118  no mapping
    save_file(tensors, file, {"facts": json.dumps(state.facts)})
    (tmp_path / "images.parquet").unlink()
    with pytest.raises(RunError, match="no readable record of the images"):
        run(options=BASE, folder=tmp_path, resume=True)


def test_checkpoints_need_to_know_which_images(tmp_path):
    data = dataclasses.replace(make_data(), identity=None)
    with pytest.raises(InputError, match="which images the run rests on"):
        run(data=data, options=BASE, folder=tmp_path)


def test_refuses_another_model(tmp_path):
    interrupt(BASE, tmp_path, after=1)
    with pytest.raises(RunError, match=r"model \("):
        run(make_encoder(seed=1), options=BASE, folder=tmp_path, resume=True)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
from tiny_training import make_data, make_encoder
from test_resume import BASE
import dataclasses
from safetensors.torch import load_file, save_file
from cliptune.finetuning.checkpoints import has_state
from cliptune.finetuning.loop import finetune
import accelerate  # with the model below, all that a run would import

make_encoder()

def train(folder, out):
    options = dataclasses.replace(BASE, epochs=3, interpolate=True)
    encoder = make_encoder()
    for event in finetune(encoder, make_data(), options, folder=folder, resume=has_state(folder)):
        pass
    save_file(dict(encoder.model.state_dict()), out)

def child(folder, out):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            train(folder, out)
            code = 0
        finally:
            os._exit(code)
    return pid

root = Path(sys.argv[2])
began = time.monotonic()
assert os.waitpid(child(root / "whole", root / "whole.safetensors"), 0)[1] == 0
whole = time.monotonic() - began
rng = random.Random(0)
kills = 0
while kills < 10:
    pid = child(root / "killed", root / "killed.safetensors")
    time.sleep(rng.uniform(0.02, 0.6 * whole))
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        kills += 1
    else:  # it was done before the kill: begin anew
        assert status == 0, status
        (root / "killed").rename(root / f"done{kills}")
        (root / "killed.safetensors").rename(root / f"done{kills}.safetensors")
assert os.waitpid(child(root / "killed", root / "killed.safetensors"), 0)[1] == 0
first = load_file(root / "whole.safetensors")
for file in [*root.glob("done*.safetensors"), root / "killed.safetensors"]:
    other = load_file(file)
    assert first.keys() == other.keys()
    assert all(torch.equal(first[name], other[name]) for name in first), file
print("equal after", kills, "kills")
"""


def test_ten_kills_at_random_moments_change_no_bit(tmp_path):
    """One process forks the runs, so that torch is imported once."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, str(script), str(HERE), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "equal after 10 kills"


SHARED = dataclasses.replace(BASE, batch_size=7, epochs=3, learning_rate=1e-4)
WORKER = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
import torch
torch.set_num_threads(1)
from tiny_training import make_data, make_encoder
from test_resume import SHARED
from cliptune.finetuning.loop import finetune
from cliptune.finetuning.records import StepRecord

losses = []
for event in finetune(make_encoder(), make_data(), SHARED):
    if isinstance(event, StepRecord):
        losses.append(event.loss)
result = event
from accelerate import PartialState
state = PartialState()
if state.is_main_process:
    val = [record.val.log_loss for record in result.epochs]
    print(json.dumps({"n": state.num_processes, "losses": losses, "val": val}), flush=True)
state.destroy_process_group()
"""


def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    """With uneven shares: 7 images a step, and three prompts, over two processes."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    # On a CPU this starts processes that talk by gloo; accelerate's own --cpu starts but one.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    launch += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    done = subprocess.run(
        [sys.executable, *launch, "--main_process_port", "0", str(script), str(HERE)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = json.loads(done.stdout.strip().splitlines()[-1])
    assert two["n"] == 2
    _, events = run(options=SHARED)
    losses = [event.loss for event in events if isinstance(event, StepRecord)]
    assert two["losses"] == pytest.approx(losses, abs=1e-4)
    val = [record.val.log_loss for record in events[-1].epochs]
    assert two["val"] == pytest.approx(val, abs=1e-4)

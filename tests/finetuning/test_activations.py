"""Training from what frozen blocks give, kept on disk, is training through them every time."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from cliptune.errors import InputError
from cliptune.finetuning.border import find_border
from cliptune.finetuning.data import TrainingData
from cliptune.finetuning.entry import ActivationPlace
from cliptune.finetuning.groups import name_groups, plan_groups
from cliptune.finetuning.kept_rows import KeptRows
from cliptune.finetuning.options import FinetuneOptions, TrainableOptions
from cliptune.finetuning.records import BlocksRecord, EpochRecord, StepRecord, TrainingPlan
from cliptune.finetuning.trainee import Trainee
from tiny_training import ColourTable, identify, make_data, make_encoder, make_model, run

LAST = FinetuneOptions(
    epochs=4,
    batch_size=8,
    views=2,
    precision="fp32",
    learning_rate=1e-3,
    trainable=TrainableOptions(train=("image.last1",)),
)


def contents(images):
    return [f"{images.seed} {name}" for name in images.ids]


@pytest.fixture
def place(tmp_path):
    return ActivationPlace(tmp_path / "activations", contents)


def losses(events):
    return np.array([event.loss for event in events if isinstance(event, StepRecord)])


def scores(events):
    return [(e.val.log_loss, e.train.log_loss) for e in events if isinstance(e, EpochRecord)]


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 1e-2)], ids=["fp32", "bf16"]
)
@pytest.mark.parametrize("custom_text", [False, True], ids=["clip", "custom-text"])
def test_losses_and_scores_are_those_of_the_whole_tower(place, precision, tolerance, custom_text):
    options = replace(LAST, precision=precision)
    _, plain = run(make_encoder(make_model(custom_text=custom_text)), options=options)
    _, kept = run(
        make_encoder(make_model(custom_text=custom_text)), options=options, activations=place
    )
    assert kept[0].kept_bytes > 0 == plain[0].kept_bytes
    assert np.abs(losses(plain) - losses(kept)).max() <= tolerance
    np.testing.assert_allclose(scores(plain), scores(kept), atol=tolerance)


@pytest.mark.parametrize("selector", ["image.last2", "image.projection", "image.top"])
def test_any_depth_can_be_entered(place, selector):
    options = replace(LAST, trainable=TrainableOptions(train=(selector,)))
    _, plain = run(options=options)
    _, kept = run(options=options, activations=place)
    assert kept[0].kept_bytes > 0
    assert np.abs(losses(plain) - losses(kept)).max() <= 1e-5


def test_a_text_tower_that_trains_too_is_computed_every_time(place):
    options = replace(LAST, trainable=TrainableOptions(train=("image.last1", "text")))
    _, plain = run(options=options)
    _, kept = run(options=options, activations=place)
    assert np.abs(losses(plain) - losses(kept)).max() <= 1e-5


@dataclass(frozen=True)
class CountingTable(ColourTable):
    """Counts the pictures that are read."""

    reads: tuple = ()

    def load_image(self, row):
        CountingTable.n_reads += 1
        return super().load_image(row)


def counted(options, place):
    CountingTable.n_reads = 0
    train, val = CountingTable(24), ColourTable(12, seed=1)
    data = TrainingData(train, val, ("a {}.",), identify(train=train, val=val))
    _, events = run(data=data, options=options, activations=place)
    return CountingTable.n_reads, events


def test_every_view_is_read_once_and_a_second_run_reads_none(place):
    trial = 2
    first, events = counted(LAST, place)
    assert first == 2 * 24 + 24 + trial  # two views, and the plain one for the training score
    done = [(event.done, event.total) for event in events if isinstance(event, BlocksRecord)]
    assert done == [(24, 24), (24, 24)]
    again, second = counted(LAST, place)
    assert again == trial
    assert (losses(second) == losses(events)).all()
    other_seed, _ = counted(replace(LAST, seed=1), place)
    assert other_seed == 2 * 24 + trial


def test_without_a_place_every_epoch_sees_a_new_view():
    _, events = run(options=replace(LAST, views=None))
    plan = events[0]
    assert isinstance(plan, TrainingPlan)
    assert (plan.views, plan.kept_bytes) == (4, 0)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_moves_from_the_first_block_on_is_not_kept(place, method):
    options = FinetuneOptions(method=method, epochs=2, batch_size=8, precision="fp32")
    _, events = run(options=options, activations=place)
    assert (events[0].views, events[0].kept_bytes) == (2, 0)


def test_the_border_lies_before_what_trains_later_too():
    trainee = Trainee(make_model())
    options = TrainableOptions(train=("image",), unfreeze=((0, "image.last1"), (2, "image.last2")))
    plans = plan_groups(name_groups(trainee), options, default_rates={"all": 1e-3})
    border = find_border(plans, "image")
    assert border.blocks[border.n_frozen - 1] == "visual.transformer.resblocks.0"
    assert border.n_moving == 2
    assert find_border(plans, "text").n_moving == 0


def test_too_little_disk_names_what_is_needed_and_what_fits(place):
    # A layout that shrinks with depth would also name a later block; a ViT's does not.
    with pytest.raises(InputError, match=r"takes 104 kB .* allows 60 kB; use .*--views 1 or --no-"):
        run(options=LAST, activations=replace(place, max_bytes=60_000))
    assert not list(place.folder.rglob("*.rows"))


def test_a_damaged_or_torn_row_is_computed_again(place):
    _, first = run(options=LAST, activations=place)
    for file in place.folder.rglob("*.rows"):
        data = bytearray(file.read_bytes())
        data[100] ^= 1
        file.write_bytes(data)
    _, again = run(options=LAST, activations=place)
    assert sum(isinstance(event, BlocksRecord) for event in again) == 2
    assert (losses(first) == losses(again)).all()


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = KeptRows(tmp_path / "a", 5, (2, 3), torch.bfloat16)
    values = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    rows.write(np.array([4, 1]), values)
    assert rows.lacks(np.array([1, 2]))
    assert not rows.lacks(np.array([1, 4]))
    assert torch.equal(rows.read(np.array([1, 4])), values.to(torch.bfloat16)[[1, 0]])
    rows.close()
    again = KeptRows(tmp_path / "a", 5, (2, 3), torch.bfloat16)
    assert not again.lacks(np.array([4]))
    again.close()


def test_a_run_that_is_taken_up_sees_the_same_views(place, tmp_path):
    from cliptune.finetuning.loop import finetune

    _, whole = run(options=LAST, activations=place)
    events = finetune(
        make_encoder(), make_data(), replace(LAST, checkpoint_seconds=0), folder=tmp_path / "run",
        activations=place,
    )  # fmt: skip
    steps = (event for event in events if isinstance(event, StepRecord))
    for _ in range(5):
        next(steps)
    events.close()
    _, rest = run(
        options=replace(LAST, checkpoint_seconds=0), folder=tmp_path / "run", resume=True,
        activations=place,
    )  # fmt: skip
    assert (losses(rest) == losses(whole)[-len(losses(rest)) :]).all()


def captioned(n_train=24, n_val=12):
    """Images with two captions of unlike length each."""
    tables = []
    for seed, n in enumerate((n_train, n_val)):
        plain = ColourTable(n, seed=seed)
        words = [plain.class_names[label] for label in plain.labels]
        captions = tuple(
            (f"a {word} thing", f"number {row} of many {word} things that are seen here.")
            for row, word in enumerate(words)
        )
        tables.append(replace(plain, captions=captions))
    return TrainingData(*tables, identity=identify(train=tables[0], val=tables[1]))


@pytest.mark.parametrize("custom_text", [False, True], ids=["clip", "custom-text"])
@pytest.mark.parametrize("train", [("text.last1",), ("image.last1", "text.last1"), ("text.top",)])
@pytest.mark.parametrize("make", [make_data, captioned], ids=["classes", "captions"])
def test_texts_enter_their_tower_behind_the_frozen_blocks(place, custom_text, train, make):
    options = replace(LAST, trainable=TrainableOptions(train=train))
    events, towers = {}, {}
    for name, where in (("plain", None), ("kept", place)):
        encoder = make_encoder(make_model(custom_text=custom_text))
        tower = encoder.model.text if custom_text else encoder.model
        towers[name] = calls = []
        tower.transformer.resblocks[0].mlp.register_forward_hook(
            lambda _m, given, _o, calls=calls: calls.append(len(given[0]))
        )
        _, events[name] = run(encoder, make(), options, activations=where)
    assert np.abs(losses(events["plain"]) - losses(events["kept"])).max() <= 1e-5
    np.testing.assert_allclose(scores(events["plain"]), scores(events["kept"]), atol=1e-5)
    assert events["kept"][0].kept_bytes > 0
    n_texts = len({text for own in captioned().train.captions for text in own}) * 2
    assert sum(towers["kept"]) <= n_texts + 20 < sum(towers["plain"])


def test_texts_that_were_kept_are_not_computed_again_and_damage_is(place):
    options = replace(LAST, trainable=TrainableOptions(train=("text.last1",)))

    def count():
        encoder, calls = make_encoder(), []
        encoder.model.transformer.resblocks[0].mlp.register_forward_hook(lambda *_: calls.append(1))
        _, events = run(encoder, options=options, activations=place)
        return len(calls), losses(events)

    (first, expected), (second, again) = count(), count()
    assert second == first - 1  # all six prompts are one block
    assert (again == expected).all()
    for file in place.folder.rglob("*.rows"):
        data = bytearray(file.read_bytes())
        data[5] ^= 1
        file.write_bytes(data)
    third, mended = count()
    assert third == first
    assert (mended == expected).all()


def test_too_little_disk_for_texts_says_what_is_needed(place):
    options = replace(LAST, trainable=TrainableOptions(train=("text.last1",)))
    with pytest.raises(InputError, match=r"for 6 texts .* leaves .*--max-disk 1MB or --no"):
        run(options=options, activations=replace(place, max_bytes=105_000))

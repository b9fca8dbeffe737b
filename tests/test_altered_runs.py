"""Runs that somebody altered together with their digests: one line, never an answer.

Digests protect against accidents; here every file is rewritten and the manifest with it.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cliptune.classifiers.calibrated_head import CalibratedHead, EncoderRecord
from cliptune.classifiers.run_encoder import load_run_encoder
from cliptune.cli import run_command_line
from cliptune.errors import CheckpointError, RunError
from cliptune.evaluation.calibration import Threshold
from cliptune.heads import HEADS
from cliptune.runs import RunDir
from cliptune.workflows.fitted_scores import count_learned_from
from fakes import TinyEncoder

NAMES = ("ant", "bee", "cat")
DIM, BEHIND, PATCHES = 16, 4, 2


def fit_head(name):
    rng = np.random.default_rng(0)
    head = HEADS[name]()
    width = DIM + BEHIND if head.needs == "trunk" else DIM
    shape = (24, 1 + PATCHES, DIM) if head.needs == "tokens" else (24, width)
    X = rng.standard_normal(shape).astype(np.float32)
    X /= np.linalg.norm(X, axis=-1, keepdims=True)
    texts = np.eye(len(NAMES), DIM, dtype=np.float32)
    return head.fit(X, np.arange(24) % len(NAMES), text_rows=texts, logit_scale=10.0)


@pytest.fixture(scope="module")
def heads():
    """Every head, fitted once."""
    from cliptune.heads.zero_shot import ZeroShotHead

    rows = np.eye(len(NAMES), DIM, dtype=np.float32)
    fitted = {name: fit_head(name) for name in HEADS if name != "zero-shot"}
    return {"zero-shot": ZeroShotHead().fit(text_rows=rows, logit_scale=10.0), **fitted}


@pytest.fixture
def write_run(tmp_path, heads):
    """Write a whole run with a classifier, and return its folder."""

    def write(name="zero-shot"):
        run = RunDir.create(tmp_path / "run", {"data": "somewhere"})
        threshold = Threshold(0.7, 0.95, 0.9, 0.99, 0.8, 40)
        record = EncoderRecord.of(TinyEncoder())
        CalibratedHead(heads[name], NAMES, ("a {}.",), record, 2.0, threshold).save(run)
        run.write_csv("partition.csv", ["id", "part"], [("a.jpg", "train"), ("=b.jpg", "test")])
        run.finish({})
        return run.path

    return write


def seal(folder):
    """Write the manifest anew, as whoever altered the run can."""
    RunDir(folder).finish({})


def alter_facts(folder, change):
    facts = json.loads((folder / "classifier.json").read_text())
    change(facts)
    (folder / "classifier.json").write_text(json.dumps(facts))
    seal(folder)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_head_that_is_whole_is_read(name, write_run):
    loaded = CalibratedHead.load(str(write_run(name)))
    assert loaded.head.name == name


FACTS = {
    "temperature below 0": lambda f: f.update(temperature=-1),
    "temperature 0": lambda f: f.update(temperature=0),
    "temperature infinite": lambda f: f.update(temperature=1e999),
    "temperature not a number": lambda f: f.update(temperature=float("nan")),
    "temperature as text": lambda f: f.update(temperature="2"),
    "temperature missing": lambda f: f.pop("temperature"),
    "a name too many": lambda f: f["class_names"].append("dog"),
    "a name too few": lambda f: f["class_names"].pop(),
    "a name twice": lambda f: f["class_names"].__setitem__(0, "bee"),
    "names as text": lambda f: f.update(class_names="abc"),
    "names as numbers": lambda f: f.update(class_names=[1, 2, 3]),
    "an empty name": lambda f: f["class_names"].__setitem__(0, ""),
    "no templates": lambda f: f.update(templates=[]),
    "a template without a place": lambda f: f.update(templates=["a photo"]),
    "templates as text": lambda f: f.update(templates="a {}."),
    "a threshold as number": lambda f: f.update(threshold=0.5),
    "a threshold above 1": lambda f: f["threshold"].update(probability=1.5),
    "a threshold not a number": lambda f: f["threshold"].update(probability=float("nan")),
    "a threshold as text": lambda f: f["threshold"].update(precision="high"),
    "a threshold with more": lambda f: f["threshold"].update(colour="red"),
    "an encoder as list": lambda f: f.update(encoder=[1]),
    "an encoder without dim": lambda f: f["encoder"].pop("dim"),
    "an encoder of another dim": lambda f: f["encoder"].update(dim=8),
    "an encoder of dim as text": lambda f: f["encoder"].update(dim="16"),
    "an encoder of scale below 0": lambda f: f["encoder"].update(logit_scale=-1),
    "an encoder named by a number": lambda f: f["encoder"].update(name=3),
    "an encoder with weights perhaps": lambda f: f["encoder"].update(weights_in_run="no"),
    "an encoder in a strange precision": lambda f: f["encoder"].update(precision="fp3"),
    "a preprocessing as text": lambda f: f["encoder"].update(preprocess="none"),
    "a preprocessing without std": lambda f: f["encoder"]["preprocess"].update(std=[0, 1, 1]),
    "a preprocessing of odd size": lambda f: f["encoder"]["preprocess"].update(size=["a", 1]),
    "a preprocessing with more": lambda f: f["encoder"]["preprocess"].update(hook="x"),
    "a head as text": lambda f: f.update(head="linear"),
    "a head of a strange kind": lambda f: f["head"].update(name=["linear"]),
    "a head of another kind": lambda f: f["head"].update(name="knn"),
    "parameters as list": lambda f: f["head"].update(parameters=[1]),
    "unknown parameters": lambda f: f["head"].update(parameters={"hook": "x"}),
    "no head": lambda f: f.pop("head"),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_that_contradict_are_one_line(name, write_run):
    folder = write_run()
    alter_facts(folder, FACTS[name])
    with pytest.raises((RunError, CheckpointError)) as caught:
        CalibratedHead.load(str(folder))
    assert "\n" not in str(caught.value)


def alter_head(folder, change):
    arrays = load_file(folder / "head.safetensors")
    change(arrays)
    save_file(arrays, folder / "head.safetensors")
    seal(folder)


def shapes_of(heads, name):
    return {k: v.shape for k, v in heads[name].state().items()}


@pytest.mark.parametrize("name", sorted(HEADS))
@pytest.mark.parametrize("how", ["nan", "gone", "added", "narrow", "half of it", "text"])
def test_arrays_that_do_not_belong_together(name, how, write_run, heads):
    """Each array of each head, one at a time."""
    folder = write_run(name)
    whole = (folder / "head.safetensors").read_bytes()
    for key, shape in shapes_of(heads, name).items():

        def change(arrays, key=key, shape=shape):
            if how == "nan":
                arrays[key] = np.full(shape, np.nan, np.float32)
            elif how == "gone":
                arrays.pop(key)
            elif how == "added":
                arrays["more"] = arrays[key]
            elif how == "narrow":
                arrays[key] = np.zeros((*shape, 1), arrays[key].dtype)
            elif how == "half of it":
                arrays[key] = np.ascontiguousarray(arrays[key][: len(arrays[key]) // 2])
            else:
                arrays[key] = np.ones(shape, bool)

        if how == "half of it" and key == "penalty":
            continue  # a record of what was chosen
        (folder / "head.safetensors").write_bytes(whole)
        alter_head(folder, change)
        with pytest.raises((RunError, CheckpointError)) as caught:
            CalibratedHead.load(str(folder))
        assert "\n" not in str(caught.value), key


FACTORS = [("zero-shot", "logit_scale"), ("prototype", "logit_scale"),
           ("attention", "logit_scale"), ("attention", "token_norm"),
           ("dual-linear", "logit_scale"), ("knn", "k"), ("cache", "weights")]  # fmt: skip


@pytest.mark.parametrize(("name", "key"), FACTORS)
def test_a_factor_below_zero_would_turn_answers_around(name, key, write_run):
    folder = write_run(name)
    alter_head(folder, lambda arrays: arrays.update({key: -arrays[key]}))
    with pytest.raises(CheckpointError, match="above 0"):
        CalibratedHead.load(str(folder))


@pytest.mark.parametrize(("name", "key"), [("knn", "labels"), ("cache", "key_labels")])
@pytest.mark.parametrize("label", [-1, 10**6])
def test_labels_outside_the_classes(name, key, label, write_run):
    folder = write_run(name)
    alter_head(folder, lambda arrays: arrays[key].__setitem__(0, label))
    with pytest.raises(CheckpointError, match="saved labels"):
        CalibratedHead.load(str(folder))


MANIFESTS = {
    "no files": lambda m: m.pop("files"),
    "an empty list": lambda m: m.update(files={}),
    "files as list": lambda m: m.update(files=["config.json"]),
    "digests as numbers": lambda m: m["files"].update({"config.json": 3}),
    "no classifier": lambda m: m["files"].pop("classifier.json"),
    "no head": lambda m: m["files"].pop("head.safetensors"),
    "no options": lambda m: m["files"].pop("config.json"),
    "a file elsewhere": lambda m: m["files"].update({"../other": "0" * 64}),
    "an absolute file": lambda m: m["files"].update({"/etc/hostname": "0" * 64}),
    "an odd name": lambda m: m["files"].update({"a\0b": "0" * 64}),
    "version as text": lambda m: m.update(format_version="1"),
    "version true": lambda m: m.update(format_version=True),
    "version 0": lambda m: m.update(format_version=0),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_does_not_record_the_run(name, write_run):
    folder = write_run()
    manifest = json.loads((folder / "manifest.json").read_text())
    MANIFESTS[name](manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError) as caught:
        CalibratedHead.load(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["classifier.json", "head.safetensors"])
def test_a_link_out_of_the_run_is_not_followed(name, write_run, tmp_path):
    folder = write_run()
    (folder / name).replace(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(RunError, match="leads out of its folder"):
        CalibratedHead.load(str(folder))


def test_a_file_that_the_run_does_not_record_is_not_read_with_its_encoder(write_run):
    folder = write_run()
    alter_facts(folder, lambda facts: facts["encoder"].update(weights_in_run=True))
    (folder / "encoder").mkdir()
    (folder / "encoder" / "tokenizer.json").write_text("{}")
    with pytest.raises(RunError, match=r"records no file 'encoder/tokenizer\.json'"):
        load_run_encoder(str(folder))


def test_an_encoder_of_another_width_than_recorded_is_refused():
    record = EncoderRecord.of(TinyEncoder())
    other = TinyEncoder()
    object.__setattr__(record, "dim", 8)
    with pytest.raises(RunError, match="records 8 dimensions"):
        record.require_same(other)


class Table:
    ids = ("a.jpg", "=b.jpg", "c.jpg")


def test_what_a_run_saw_is_read_back(write_run):
    assert count_learned_from(RunDir.open(write_run()), "somewhere", Table()) == 1


@pytest.mark.parametrize(
    "content", ["", "id\na.jpg\n", "id,part,more\na,b,c\n", "a,b\n1,2\n", 'id,part\n"a\n', "\xff"]
)
def test_a_broken_partition_is_one_line(content, write_run):
    folder = write_run()
    (folder / "partition.csv").write_bytes(content.encode("latin-1"))
    seal(folder)
    with pytest.raises(RunError, match=r"partition\.csv"):
        count_learned_from(RunDir.open(folder), "somewhere", Table())


@pytest.mark.parametrize("data", [3, None, ["somewhere"], "a\0b"])
def test_a_run_on_data_of_an_odd_name_is_on_other_data(data, write_run):
    folder = write_run()
    (folder / "config.json").write_text(json.dumps({"data": data}))
    seal(folder)
    assert count_learned_from(RunDir.open(folder), "somewhere", Table()) == 0


def test_the_command_line_ends_with_one_line(write_run, make_tree, capsys):
    folder = write_run()
    alter_facts(folder, FACTS["temperature below 0"])
    image = make_tree("a.png") / "a.png"
    assert run_command_line(["predict", str(image), "--run", str(folder)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "temperature is -1" in message

"""A verb refuses what its command refuses, with the same line."""

import pytest

import cliptune as ct
from cliptune.cli import run_command_line

NOWHERE = "no-such-data"

# A command line, and the same as a call.
CASES = {
    "predict DATA": lambda d: ct.predict([d]),
    "predict DATA --labels ant": lambda d: ct.predict([d], labels=["ant"]),
    "predict DATA --labels ant,ant": lambda d: ct.predict([d], labels="ant,ant"),
    "predict DATA --labels ant,,bee": lambda d: ct.predict([d], labels=["ant", "", "bee"]),
    "predict DATA --labels a,b --top 0": lambda d: ct.predict([d], labels="a,b", top=0),
    "predict DATA --labels a,b": lambda d: ct.predict([d], labels="a,b"),
    "predict DATA --run nowhere": lambda d: ct.predict([d], run="nowhere"),
    "evaluate DATA": lambda d: ct.evaluate(d),
    "evaluate DATA --run nowhere --model ViT-B-32/openai": lambda d: ct.evaluate(
        d, run="nowhere", model="ViT-B-32/openai"
    ),
    "evaluate DATA --task retrieval --run nowhere": lambda d: ct.evaluate(
        d, task="retrieval", run="nowhere"
    ),
    "evaluate DATA --templates opnai": lambda d: ct.evaluate(d, prompts="opnai"),
    "evaluate DATA --class-names nothing.txt": lambda d: ct.evaluate(
        d, dataset=ct.DataOptions(class_names="nothing.txt")
    ),
    "embed DATA --out /dev/null/x": lambda d: ct.embed(d, out="/dev/null/x"),
    "embed DATA --out x --model nothing-like-it": lambda d: ct.embed(d, model="nothing-like-it"),
    "fit DATA --method liner": lambda d: ct.fit(d, method="liner"),
    "fit DATA --margin -1": lambda d: ct.fit(d, margin=-1),
    "fit DATA --val 1.5": lambda d: ct.fit(d, val=1.5),
    "fit DATA --seeds 3": lambda d: ct.fit(d, seeds=3),
    "fit DATA --shots 0": lambda d: ct.fit(d, shots=0),
    "fit DATA --abstain-precision 2": lambda d: ct.fit(d, abstain_precision=2),
    "fit DATA --method linear --epochs 3": lambda d: ct.fit(d, method="linear", epochs=3),
    "fit DATA --epochs 3": lambda d: ct.fit(d, epochs=3),
    "fit DATA --device gpu": lambda d: ct.fit(d, compute=ct.ComputeOptions(device="gpu")),
    "fit DATA --method full --engine onnx": lambda d: ct.finetune(
        d, compute=ct.ComputeOptions(engine="onnx")
    ),
    "fit DATA --method lora --resume nowhere": lambda d: ct.finetune(
        d, method="lora", resume="nowhere"
    ),
    "check DATA --val 0": lambda d: ct.check(d, val=0),
    "check DATA --method nothing": lambda d: ct.check(d, method="nothing"),
    "sweep DATA --trials 5": lambda d: ct.sweep(d, trials=5),
    "sweep DATA --grid lr=nan": lambda d: ct.sweep(d, grid="lr=nan"),
    "sweep DATA --method linear --epochs 3": lambda d: ct.sweep(d, method="linear", epochs=3),
    "sweep DATA --storage foo": lambda d: ct.sweep(d, storage="foo"),
    "map DATA --run nowhere": lambda d: ct.map(d, run="nowhere"),
    "map DATA --sample 0": lambda d: ct.map(d, sample=0),
    "study DATA --budget soon": lambda d: ct.study(d, budget="soon"),
    "study DATA --only nothing": lambda d: ct.study(d, only="nothing"),
}


def test_there_are_more_than_twenty():
    assert len(CASES) >= 20


@pytest.mark.parametrize("line", CASES)
def test_verb_and_command_say_the_same(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPTUNE_CACHE", str(tmp_path / "cache"))
    words = [NOWHERE if word == "DATA" else word for word in line.split()]
    assert run_command_line(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    with pytest.raises(ct.CliptuneError) as caught:
        CASES[line](NOWHERE)
    assert printed.err == f"cliptune: {' '.join(str(caught.value).split())}\n"
    assert not (tmp_path / "runs").exists()

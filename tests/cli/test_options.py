"""Options are looked at before data: each of these names data that are not there."""

import shlex
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import pytest
from cyclopts import Parameter

from cliptune.cli import _COMMANDS, build_app, run_command_line
from cliptune.cli.cache import app as cache_app

NOWHERE = "no-such-data"

# What comes after the data, and what the one line has to speak of.
REFUSED = {
    "fit": {
        "--seed -1": "--seed",
        "--seed 4294967296": "0 to 4294967295",
        "--seed 1.5": "whole number",
        "--seeds 1.5": "whole number",
        "--shots 4 --seeds 100000": "1 to 1000",
        "--shots 4 --seed 4294967295 --seeds 2": "--seed plus --seeds",
        "--shots 0": "--shots",
        "--val nan": "above 0, below 1",
        "--val 0": "above 0, below 1",
        "--val -1": "above 0, below 1",
        "--lr nan": "up to 1000",
        "--lr 1e30": "up to 1000",
        "--weight-decay inf": "finite number",
        "--abstain-precision 2": "up to 1",
        "--out /dev/null/x": "cannot write",
        "--cache-dir /dev/null/x": "--cache-dir",
        "--model nothing-like-it": "unknown model",
        "--device gpu": "unknown device",
        "--precision fp16 --device cpu": "needs a GPU",
        "--engine torch --precision int8": "does not compute",
        "--class-names nothing.txt": "class names file",
        "--where x": "no condition",
        "--watch x --method linear": "--watch",
    },
    "fit --method full": {
        "--lr head=nan": "rate head",
        "--lr 1e30": "up to 1000",
        "--lr ,": "is no rate",
        "--checkpoint-seconds nan": "--checkpoint-seconds",
        "--unfreeze 5:all": "begin the unfreezing at 0",
        "--unfreeze 0:head,99:all": "after the last of 10 epochs",
        "--micro-batch-size 0": "micro-batch size 0",
        "--nesterov": "sgd",
        "--momentum 0.5": "sgd",
        "--clip-norm nan": "--clip-norm",
        "--layer-decay nan": "--layer-decay",
        "--warmup nan": "--warmup",
        "--seeds 3": "--seeds",
        "--train ,": "names nothing",
        "--precision int8": "cannot train",
        "--engine onnx": "cannot train",
    },
    "finetune": {
        "--lr head=nan": "rate head",
        "--lr ,": "is no rate",
        "--val 0": "above 0, below 1",
        "--method linear": "linear",
        "--rank 3": "--method lora",
        "--precision int8": "cannot train",
        "--resume nowhere": "no unfinished run",
        "--no-activations --max-disk 1GB": "leave one of them out",
        "--max-disk x": "--max-disk",
    },
    "fit --method lora": {"--rank 0": "rank 0", "--rank 99999999999": "rank"},
    "check": {
        "--val 0": "above 0, below 1",
        "--method knn --rank 3": "--rank",
        "--method knn --lr 3": "--lr",
        "--engine onnx": "cannot train",
    },
    "sweep": {
        "--seeds 100000": "1 to 1000",
        "--trials 5": "--search tpe",
        "--budget nan": "is no time",
        "--budget 99999999h": "more than a year",
        "--train-images 1.5": "whole number",
        "--grid lr=nan": "is no number",
        "--grid lr=1e30": "up to 1e+06",
        "--grid 'lr=1e-3..1:1000 wd=1e-3..1:1000'": "3000000 trainings",
        "--storage foo": "no address",
        "--storage mysql://u:secret@h/d": "mysql://u:***@h/d",
        "--method linear --epochs 3": "takes no --epochs",
        "--method full --max-memory 2G": "takes no --max-memory",
    },
    "study": {
        "--val -1": "above 0, below 1",
        "--only ,": "names no section",
        "--skip ' ,'": "names no section",
        "--out /dev/null/x": "cannot write",
        "--model nothing-like-it": "unknown model",
    },
    "map": {"--sample 1.5": "whole number", "--run nowhere": "no run directory"},
    "evaluate": {
        "--run nowhere": "no run directory",
        "--run nowhere --model ViT-B-32/openai": "brings its encoder",
        "--seed 99999999999": "0 to 4294967295",
    },
    "embed": {"--out /dev/null/x": "cannot write"},
    "embed --out x --executor local": {
        "--group-pattern '['": "no regular expression",
        "--group-pattern 'a{99999999999}'": "no regular expression",
        "--workers 0": "whole number",
        "--rows-per-shard 1e3": "whole number",
        "--shard 2/2": "i from 0 to n - 1",
        "--shard=-1/2": "expected i/n",
        "--address host:1": "it is ray's",
    },
    "search": {
        "ant --n 0": "whole number",
        "ant --device gpu": "unknown device",
        "ant --engine torch --precision int8": "does not compute",
        "ant --cache-dir /dev/null/x": "--cache-dir",
    },
    "serve": {
        "--port 65536": "to 65535",
        "--max-wait-ms nan": "finite number",
        "--timeout 0": "above 0",
        "--token-file nothing": "cannot read the token",
        "--token-file .": "it is a folder",
        "--cache-dir /dev/null/x": "--cache-dir",
    },
    "export --out x": {
        "--limit nan": "finite number",
        "--images 0": "whole number",
        "--push a/b": "--format hub",
        "--format hub --push ../x": "no OWNER/NAME",
        "--format hub --input pixels": "leave out --input",
    },
    "label-next": {
        "--n 0": "whole number",
        "--run nowhere": "no run directory",
        "--folder x": "NAME=",
    },
    "relabel": {
        "nothing.csv": "cannot read",
        "/dev/zero": "not a file",
    },
    "data": {
        "x --to nothing": "unknown format",
        "/dev/null/x --to csv": "cannot write",
        "x": "go together",
    },
    "report": {"--out /dev/null/x": "cannot write"},
    "predict": {
        "--run nowhere --templates openai": "brings its templates",
        "--labels a,b --csv --json": "--csv and --json",
        "--labels a,b --top 1.5": "whole number",
    },
}


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        (command, options, expected)
        for command, cases in REFUSED.items()
        for options, expected in cases.items()
    ],
)
def test_a_wrong_option_is_refused_before_data_are_opened(command, options, expected, capsys):
    name, *method = command.split()
    assert run_command_line([name, NOWHERE, *method, *shlex.split(options)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert NOWHERE not in captured.err
    assert "secret" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", ""], "an empty value"),
        (["evaluate", " "], "an empty value"),
        (["sweep", NOWHERE, "--grid", ""], "after --grid"),
        (["sweep", NOWHERE, "--grid="], "for --grid"),
        (["study", NOWHERE, "--only", ""], "after --only"),
        (["evaluate", NOWHERE, "--out", ""], "after --out"),
        (["models", "nothing-like-it"], "unknown model"),
        (["cache", "prune", "--max-megabytes", "nan"], "--max-megabytes"),
        (["cache", "prune", "--max-age-days", "inf"], "--max-age-days"),
        (["cache", "list", "--cache-dir", "/dev/null"], "is no folder"),
        (["cache", "verify", "--cache-dir", "/dev/null"], "is no folder"),
    ],
)
def test_what_is_empty_or_matches_nothing_is_not_passed_over(arguments, expected, capsys):
    assert run_command_line(arguments) == 2
    assert expected in capsys.readouterr().err


def _numeric_options():
    """Find every option of whole or other numbers, in groups of options too."""
    functions = [cache_app[name].default_command for name in ("list", "verify", "prune")]
    app = build_app()
    functions += [app[name].default_command for name in _COMMANDS if name != "cache"]
    waiting = [(f.__name__, get_type_hints(f, include_extras=True)) for f in functions]
    while waiting:
        owner, hints = waiting.pop()
        for name, hint in hints.items():
            if is_dataclass(hint):
                own = {field.name for field in fields(hint)}
                inner = get_type_hints(hint, include_extras=True)
                waiting.append((hint.__name__, {k: v for k, v in inner.items() if k in own}))
            kinds = [hint, *get_args(hint), *(k for a in get_args(hint) for k in get_args(a))]
            if int in kinds or float in kinds:
                yield f"{owner}.{name}", kinds


def test_every_option_of_numbers_is_read_strictly():
    """The parser's own reading rounds 1.5 to 2, and takes not-a-number."""
    found = dict(_numeric_options())
    assert len(found) > 20
    for name, kinds in found.items():
        readers = [kind for kind in kinds if isinstance(kind, Parameter) and kind.converter]
        assert readers, f"{name} has no reader of numbers"

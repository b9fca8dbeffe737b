"""Options that no command can take, to be refused before data are looked at."""

from __future__ import annotations

__all__ = ["NOWHERE", "OPTIONS"]

NOWHERE = "no-such-data"

_NUMBERS = ("nan", "inf", "-1", "1e999", "x")
_SEEDS = [f"--seed {value}" for value in ("-1", "4294967296", "1.5", "nan", "9" * 30)]
_COUNTS = ("0", "-1", "1.5", "nan", "9" * 30)
_LIMITS = ("workers", "max-batch", "max-queue", "max-items", "max-bytes", "max-pixels")
_COMPUTE = (
    *("--device gpu", "--device ''", "--engine nothing", "--precision fp8"),
    *("--precision fp16 --device cpu", "--engine torch --precision int8"),
    *("--max-patches 0", "--max-patches nan", "--cache-dir /dev/null/x", "--cache-dir ''"),
)
_DATA = (
    *("--folder x", "--folder x=nothing", "--class-level 0", "--class-level 1.5"),
    *("--group-pattern '['", "--group-pattern 'a{99999999999}'", "--where x", "--where ''"),
    *("--class-names nothing.txt", "--on-bad-image maybe", "--split ''", "--journal ''"),
)
_VALS = [f"--val {value}" for value in ("0", "1", *_NUMBERS)]

OPTIONS: dict[str, list[str]] = {
    "fit": [
        *_SEEDS,
        *_VALS,
        *(f"--method linear-sgd --lr {value}" for value in ("0", "1e30", *_NUMBERS)),
        *(f"--weight-decay {value}" for value in _NUMBERS),
        *(f"--epochs {value}" for value in ("0", "1.5", "1e3")),
        *(f"--abstain-precision {value}" for value in ("0", "2", *_NUMBERS)),
        *(f"--shots {value}" for value in ("0", "1.5", "4,4", ",", "9" * 30)),
        *("--seeds 3", "--seeds 0", "--shots 4 --seeds 1.5", "--shots 4 --seeds 999999"),
        *("--method nothing", "--method knn --features trunk", "--lr 1", "--rank 4"),
        *("--templates nothing", "--template nothing", "--where x", "--class-names nothing.txt"),
        *("--model nothing-like-it", "--device gpu", "--precision fp16 --device cpu"),
        *("--engine torch --precision int8", "--out /dev/null/x", "--cache-dir /dev/null/x"),
        *("--on-bad-image maybe", "--features nothing", "--track tensorboard"),
    ],
    "fit --method full": [
        *_SEEDS,
        *(f"--lr {value}" for value in ("0", "1e30", ",", "head=nan", "head=-1", "head")),
        *(f"--checkpoint-seconds {value}" for value in _NUMBERS),
        *(f"--clip-norm {value}" for value in ("0", *_NUMBERS)),
        *(f"--layer-decay {value}" for value in ("0", "2", *_NUMBERS)),
        *(f"--warmup {value}" for value in ("1", *_NUMBERS)),
        *("--unfreeze 5:all", "--unfreeze 0:head,99:all", "--unfreeze x", "--unfreeze ,"),
        *("--micro-batch-size 0", "--batch-size 0", "--batch-size 1.5", "--patience 0"),
        *("--nesterov", "--momentum 0.5", "--optimizer sgd --momentum 1", "--epochs 0"),
        *("--train ,", "--freeze ,", "--shots 4", "--seeds 3", "--features trunk", "--rank 4"),
        *("--engine onnx", "--precision int8", "--track nothing", "--resume nowhere"),
    ],
    "fit --method lora": [
        *(f"--rank {value}" for value in ("0", "-1", "1.5", "9" * 12)),
        *("--alpha 0", "--towers nothing", "--towers ,"),
    ],
    "check": [*_SEEDS, *_VALS, "--method nothing", "--method knn --lr 3", "--lr nan"],
    "sweep": [
        *_SEEDS,
        *_VALS,
        *(
            f"--grid lr={v}"
            for v in ("nan", "inf", "0", "-1", "1e30", "1..0", "0..1:3", "1..2:9999")
        ),
        *("--grid lr", "--grid nothing=1", "--grid ''", "--grid 'lr=1..2:1000 wd=1..2:1000'"),
        *(f"--budget {value}" for value in ("0", "1e3", "99999999h", *_NUMBERS)),
        *("--seeds 0", "--seeds 1.5", "--seeds 999999", "--trials 5", "--epochs 0"),
        *("--train-images 0", "--train-images 1.5", "--max-memory 0", "--max-memory nan"),
        *("--storage nothing", "--storage mysql://u:secret@h/d", "--method nothing"),
        *("--method linear --epochs 3", "--method full --max-memory 2G", "--out /dev/null/x"),
    ],
    "study": [
        *_SEEDS,
        *_VALS,
        *(f"--budget {value}" for value in ("0", *_NUMBERS)),
        *("--only ,", "--only nothing", "--skip ' ,'", "--only data --skip data", "--only ''"),
        *("--model nothing-like-it", "--out /dev/null/x", "--image nothing.jpg"),
    ],
    "map": [
        *_SEEDS,
        *("--sample 0", "--sample 1.5", "--method nothing", "--run nowhere", "--out /dev/null/x"),
    ],
    "evaluate": [
        *_SEEDS,
        *("--task nothing", "--run nowhere", "--task retrieval --template 'a {}'", "--out ''"),
        "--run nowhere --model ViT-B-32/openai",
    ],
    "embed": ["--out /dev/null/x", "--out x --seed -1", ""],
    "embed --out x --executor local": [
        *_SEEDS,
        *_COMPUTE,
        *_DATA,
        *(f"--{name} {value}" for name in ("workers", "rows-per-shard") for value in _COUNTS),
        *(f"--shard={value}" for value in ("1/1", "2/1", "-1/2", "x", "0/0", "1", "nan/1")),
        *("--dtype float64", "--address x:1", "--executor nothing", "--shard ''"),
    ],
    "embed --out x": ["--shard 0/2", "--retry", "--workers 2", "--dtype float16"],
    "search ant": [*_COMPUTE, *(f"--n {value}" for value in _COUNTS), "--model lite"],
    "export --out x": [
        *_SEEDS,
        *_COMPUTE,
        *(f"--images {value}" for value in _COUNTS),
        *(f"--limit {value}" for value in ("2", *_NUMBERS)),
        *("--format nothing", "--input nothing", "--format hub --input pixels", "--data ''"),
        *("--push a/b", "--format hub --push x", "--format hub --push ../x"),
    ],
    "export": ["--out ''", "--out /dev/null/x", ""],
    "serve": [
        *(f"--port {value}" for value in ("-1", "65536", "1.5", "nan", "9" * 30)),
        *(f"--{name} {value}" for name in _LIMITS for value in _COUNTS),
        *(f"--{name} {v}" for name in ("max-wait-ms", "timeout", "reload") for v in _NUMBERS),
        *("--timeout 0", "--token-file nothing", "--token-file .", "--cache-dir /dev/null/x"),
    ],
    "app": [
        *_SEEDS,
        *_COMPUTE,
        *_DATA,
        *(f"--port {value}" for value in ("-1", "65536", "1.5", "nan", "9" * 30)),
        *("--run nowhere", "--run ''", "--run nowhere --model nothing", "--model nothing"),
    ],
    "label-next": [
        *_SEEDS,
        *_COMPUTE,
        *_DATA,
        *(f"--n {value}" for value in _COUNTS),
        *("--run nowhere", "--run ''", "--run nowhere --model nothing"),
    ],
    "relabel": ["nothing.csv", "/dev/zero", "''", "nothing.csv --who ''", ".", ""],
    "data": [*_DATA, "x --to nothing", "x --to ''", "--to csv", "x", "/dev/null/x --to csv"],
    "report": ["--out ''", "--out /dev/null/x"],
    "finetune": [
        *_SEEDS,
        *_COMPUTE,
        *(f"--views {value}" for value in _COUNTS),
        *(f"--max-disk {value}" for value in (*_COUNTS, "x", "''", "-1GB", "1e400", "5XB")),
        *("--no-activations --max-disk 1GB", "--method linear", "--method ''"),
    ],
    "sweep --method full": [f"--blocks {value}" for value in _COUNTS],
    "sweep --method lora": ["--blocks 1"],
    "predict": [
        *("--labels ant", "--labels ant,ant", "--labels ,", "--labels a,b --top 0"),
        *("--labels a,b --top 1.5", "--labels a,b --csv --json", "--run nowhere --labels a,b"),
        *("--run nowhere --templates openai", "--run nowhere", ""),
    ],
}

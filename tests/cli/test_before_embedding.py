"""What counts of images and the layers of the model rule out is said before any is embedded."""

import pytest

from cliptune.cli import run_command_line
from cliptune.features import FeatureStore


@pytest.fixture
def data(make_tree):
    names = [
        f"{split}/{label}/{n}.png"
        for split in ("train", "test")
        for label in ("ant", "bee")
        for n in range(4 if split == "train" else 2)
    ]
    return make_tree(*names)


@pytest.fixture
def refused(data, tiny_model, tmp_path, monkeypatch, capsys):
    """Run a command that has to be refused before the first image is embedded."""

    def embed(*_, **__):
        raise AssertionError("an image was embedded before the refusal")

    def run(command, *options):
        monkeypatch.setattr(FeatureStore, "features", embed)
        out = tmp_path / "out"
        place = ["--model", str(tiny_model), "--cache-dir", str(tmp_path / "cache")]
        code = run_command_line([command, str(data), *place, "--out", str(out), *options])
        captured = capsys.readouterr()
        assert code == 2, captured.err
        assert not out.exists()
        return captured.err.splitlines()[-1]

    return run


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        ("fit", ("--shots", "1000"), "1000 are needed"),
        ("fit", ("--select", "auc"), "unknown criterion 'auc'"),
        ("fit", ("--method", "full", "--select", "macro-f1"), "takes no --select"),
        ("fit", ("--method", "full", "--balance", "loss"), "takes no --balance"),
        ("fit", ("--method", "knn", "--balance", "loss"), "which has nothing to balance"),
        ("fit", ("--method", "full", "--class-thresholds"), "takes no --class-thresholds"),
        ("fit", ("--method", "knn", "--class-thresholds"), "which has no bias to move"),
        ("fit", ("--method", "zero-shot", "--class-thresholds"), "which has no bias to move"),
        ("fit", ("--shots", "2", "--class-thresholds"), "leave one of them out"),
        ("fit", ("--select", "log-loss", "--class-thresholds"), "thresholds do not lower"),
        ("fit", ("--method", "full", "--unlabelled", "x"), "takes no --unlabelled"),
        ("fit", ("--method", "knn", "--unlabelled", "x"), "which has no weights to move"),
        ("fit", ("--shots", "2", "--unlabelled", "x"), "leave one of them out"),
        ("fit", ("--crops", "2", "--unlabelled", "x"), "leave one of them out"),
        ("fit", ("--class-thresholds", "--unlabelled", "x"), "leave one of them out"),
        ("fit", ("--unlabelled", "absent-folder"), "absent-folder"),
        ("fit", ("--shots", "1,5"), "4 images to draw from, 5 are needed"),
        ("fit", ("--method", "full", "--batch-size", "500"), "larger than the 8 images"),
        ("fit", ("--method", "full", "--train", "image.last99"), "the image tower has 2 blocks"),
        ("fit", ("--method", "full", "--train", "picture"), "unknown group 'picture'"),
        ("fit", ("--method", "full", "--freeze", "all"), "nothing is left to train"),
        ("fit", ("--method", "full", "--lr", "image=1e-5", "--freeze", "image"), "is frozen"),
        ("fit", ("--method", "full", "--unfreeze", "0:tail"), "unknown group 'tail'"),
        ("fit", ("--method", "lora", "--rank", "100000"), "rank above 64"),
        ("fit", ("--method", "full", "--watch", "no-such-data"), "no-such-data"),
        ("check", ("--method", "lora", "--rank", "100000"), "rank above 64"),
        ("sweep", ("--train-images", "5000"), "--train-images 5000"),
    ],
)
def test_it_is_refused_before_an_image_is_embedded(refused, command, options, expected):
    assert expected in refused(command, *options)


@pytest.mark.parametrize("command", [("fit", "--method", "full"), ("check",), ("sweep",)])
def test_a_class_of_one_image_is_found_before_any_is_embedded(refused, data, command):
    for image in sorted((data / "train" / "ant").iterdir())[1:]:
        image.unlink()
    assert "the class 'ant' has 1 training image" in refused(*command)

"""The command line says how it reads a data set, alone and before it computes."""

import json

from cliptune.cli import run_command_line


def test_one_paragraph_says_what_was_read(make_tree, capsys):
    folder = make_tree("train/ant/1.jpg", "train/bee/1.jpg", "eval/ant/2.jpg", "eval/bee/2.jpg")
    (folder / "train/notes.txt").touch()
    assert run_command_line(["data", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    for words in (
        "class folders in folders of splits (eval, train), 4 images, 2 classes (ant 2, bee 2)",
        "Splits: train 2, val 2",
        "Labels from the names of folders, classes sorted by name",
        "The folder 'eval' is the split val",
        "Not read: 1 files that are no images (such as 'train/notes.txt'): 1 .txt",
    ):
        assert words in said


def test_the_same_is_there_as_json(make_tree, answer):
    folder = make_tree("1/1.jpg", "2/1.jpg", "10/1.jpg", "10/2.jpg")
    facts, messages = answer(["data", str(folder), "--json"])
    assert messages == ""
    assert facts["n"] == 4
    assert facts["classes"] == [
        {"name": "1", "n": 1},
        {"name": "2", "n": 1},
        {"name": "10", "n": 2},
    ]
    assert facts["class_order"] == "sorted by number"
    assert facts["labels_from"] == "the names of folders"
    assert facts["ignored"] == []


def test_names_of_strangers_stay_in_their_paragraph(make_tree, capsys):
    folder = make_tree("ant\n\x1b[31m/1.jpg", "bee/1.jpg")
    assert run_command_line(["data", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_commands_say_it_before_they_compute(small_data, cache, tmp_path, answer):
    arguments = ["evaluate", str(small_data), "--json", "--cache-dir", str(cache)]
    _, messages = answer([*arguments, "--out", str(tmp_path / "out")])
    assert "class folders in folders of splits (train, val), 120 images, 2 classes" in messages


def test_what_can_be_read_in_two_ways_names_the_option(make_tree, capsys):
    folder = make_tree(*(f"{d}/{c}/1.jpg" for d in ("photo", "sketch") for c in ("dog", "cat")))
    assert run_command_line(["data", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "--class-level 1 or 2" in captured.err
    assert run_command_line(["data", str(folder), "--class-level", "2", "--json"]) == 0
    assert [c["name"] for c in json.loads(capsys.readouterr().out)["classes"]] == ["cat", "dog"]
    assert run_command_line(["data", str(folder), "--folder", "photo"]) == 2
    assert "expected NAME=ROLE" in capsys.readouterr().err


def test_several_labels_are_said_and_refused_by_commands_that_take_one(make_tree, capsys, answer):
    folder = make_tree("1.jpg", "2.jpg", "3.jpg")
    rows = [{"image": f"{n}.jpg", "label": ["ant", "bee"][: n + 1]} for n in (1, 2, 3)]
    rows[1]["label"] = ["bee"]
    rows[2]["label"] = ["ant"]
    path = folder / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    facts, _ = answer(["data", str(path), "--json"])
    assert (facts["several_labels"], facts["n_several"]) == (True, 1)
    for command in ("sweep", "check", "map", "finetune"):
        assert run_command_line([command, str(path)]) == 2, command
        message = capsys.readouterr().err
        assert "1 of the 3 images" in message, (command, message)
        assert "have several labels, such as '1.jpg' with 'ant', 'bee'" in message, command
        assert message.count("\n") == 1, (command, message)

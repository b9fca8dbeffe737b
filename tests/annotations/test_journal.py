"""The journal: acts add up, survive kills and full disks, and belong to their data."""

import json
import os
import subprocess
import sys
import threading

import pytest

from cliptune.annotations import Answer, Journal
from cliptune.annotations.acts import Act
from cliptune.errors import DataError, InputError, UnavailableError

IMAGES = [f"{n:032x}" for n in range(40)]
BEE, ANT = Answer.of("label", "bee"), Answer.of("label", "ant")


@pytest.fixture
def journal(tmp_path):
    return Journal.open(tmp_path / "journal.jsonl", data="flowers", contents=IMAGES)


def say(journal, image, answer, tab="one", **more):
    return journal.label([image], answer, who="ada", tab=tab, **more)


def test_the_last_act_stands_and_undo_goes_back_without_limit(journal):
    for n, answer in enumerate([BEE, ANT, Answer.of("none"), BEE]):
        assert say(journal, IMAGES[0], answer).number == n + 1
    seen = []
    while journal.undo(who="ada", tab="one"):
        seen.append(journal.standing.answer(IMAGES[0]))
    assert seen == [Answer.of("none"), ANT, BEE, None]
    while journal.redo(who="ada", tab="one"):
        pass
    assert journal.standing.answer(IMAGES[0]) == BEE
    assert len(journal.standing.acts) == 12
    assert Journal(journal.path).standing == journal.standing


def test_a_new_act_ends_what_could_be_done_again_and_tabs_undo_their_own(journal):
    say(journal, IMAGES[0], BEE)
    say(journal, IMAGES[1], ANT, tab="two")
    assert journal.undo(who="ada", tab="one").of == 1
    say(journal, IMAGES[2], ANT)
    assert journal.redo(who="ada", tab="one") is None
    assert journal.undo(who="bo", tab="two").of == 2
    assert journal.undo(who="bo", tab="two") is None


def test_several_images_at_once_keep_what_each_was_before(journal):
    say(journal, IMAGES[1], ANT)
    act = journal.label(IMAGES[:3], BEE, who="ada", tab="one")
    assert act.before == (None, ANT, None)
    journal.undo(who="ada", tab="one")
    assert [journal.standing.answer(image) for image in IMAGES[:3]] == [None, ANT, None]
    assert journal.standing.class_names == ["ant", "bee"]


def test_two_people_who_did_not_see_each_other_are_a_conflict_until_somebody_settles_it(journal):
    say(journal, IMAGES[0], BEE, tab="one", before=[None])
    say(journal, IMAGES[0], ANT, tab="two", before=[None])
    (conflict,) = journal.standing.conflicts()
    assert (conflict.first.number, conflict.second.number) == (1, 2)
    assert journal.standing.answer(IMAGES[0]) == ANT  # no act is lost, the later one stands
    say(journal, IMAGES[0], BEE, tab="one", before=[ANT])
    assert journal.standing.conflicts() == []
    say(journal, IMAGES[1], BEE, tab="one", before=[None])
    say(journal, IMAGES[1], BEE, tab="two", before=[None])
    assert journal.standing.conflicts() == []  # both said the same


def test_processes_that_write_at_once_lose_no_act(journal):
    others = [Journal(journal.path) for _ in range(4)]

    def write(place):
        for n in range(10):
            say(others[place], IMAGES[n], BEE if place % 2 else ANT, tab=str(place))

    threads = [threading.Thread(target=write, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.refresh()
    assert len(journal.standing.acts) == 40
    assert [act.number for act in journal.standing.acts] == list(range(1, 41))


def test_half_a_line_is_cut_off_by_the_next_act(journal):
    say(journal, IMAGES[0], BEE)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole.splitlines(keepends=True)[1][:37])
    again = Journal(journal.path)
    assert len(again.standing.acts) == 1
    say(again, IMAGES[1], ANT)
    assert journal.path.read_bytes().startswith(whole)
    assert len(Journal(journal.path).standing.acts) == 2


def test_a_full_disk_leaves_nothing_half_written(journal, monkeypatch):
    say(journal, IMAGES[0], BEE)
    before, write = journal.path.read_bytes(), os.pwrite

    def full(file, data, at):
        write(file, bytes(data)[:9], at)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UnavailableError, match=r"No space left on device.*nothing was recorded"):
        say(journal, IMAGES[1], ANT)
    assert journal.path.read_bytes() == before
    assert journal.standing.answer(IMAGES[1]) is None
    monkeypatch.undo()
    assert say(journal, IMAGES[1], ANT).number == 2


def test_a_journal_of_other_data_is_refused_by_name(journal):
    grown = [*IMAGES, *(f"{n:032x}" for n in range(100, 500))]
    Journal.open(journal.path, data="flowers", contents=grown)
    with pytest.raises(DataError, match=r"journal of other data.*'flowers'.*0 of 40.*'birds'"):
        Journal.open(journal.path, data="birds", contents=[f"{n:032x}" for n in range(900, 999)])


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"act": 7, "kind": "undo", "who": "a", "tab": "b", "when": "c", "of": 1}\n',
        b'{"act": 1, "kind": "steal", "who": "a", "tab": "b", "when": "c"}\n',
        b'{"act": 1, "kind": "label", "who": "a", "tab": "b", "when": "c", "images": [3]}\n',
    ],
)
def test_a_broken_line_is_named(journal, line):
    with journal.path.open("ab") as file:
        file.write(line)
    with pytest.raises(DataError, match=r"line 2 of .*restore|line 2 of .*journal"):
        Journal(journal.path)


def test_what_is_no_journal_or_no_label_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"image": "a.jpg"}\n')
    with pytest.raises(DataError, match="no journal"):
        Journal(tmp_path / "a.jsonl")
    for label in ("", "  ", "x" * 201, "a\ud800"):
        with pytest.raises(InputError):
            Answer.of("label", label)


def test_a_line_holds_who_when_what_and_before(journal):
    act = say(journal, IMAGES[0], BEE)
    line = json.loads(journal.path.read_text().splitlines()[1])
    assert {k: line[k] for k in ("act", "kind", "who", "answer", "before", "images")} == {
        "act": 1,
        "kind": "label",
        "who": "ada",
        "answer": "bee",
        "before": [None],
        "images": [IMAGES[0]],
    }
    assert Act.from_line(act.to_line(), "here") == act


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from cliptune.annotations import Answer, Journal

path, chance = Path(sys.argv[1]), random.Random(0)
for kill in range(20):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        journal = Journal(path)
        for n in range(100000):
            act = journal.label([f"{n % 40:032x}"], Answer.of("label", str(n)), who="a", tab="b")
            os.write(writing, f"{act.number} ".encode())
    os.close(writing)
    told = os.read(reading, 8)
    time.sleep(0.05 * chance.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 65536):
        told += more
    confirmed = int(told.split()[-1])
    there = len(Journal(path).standing.acts)
    assert there >= confirmed, (there, confirmed)
    print(there)
"""


def test_twenty_kills_at_random_moments_lose_no_act_that_was_confirmed(journal):
    command = [sys.executable, "-c", KILLED, str(journal.path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = [int(n) for n in done.stdout.split()]
    assert len(counts) == 20
    assert counts == sorted(set(counts))

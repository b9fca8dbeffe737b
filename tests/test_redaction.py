"""Passwords of addresses, wherever an address is shown."""

import logging

import pytest

from cliptune.cli import run_command_line
from cliptune.cli.console import note
from cliptune.sweeps.connect import without_password
from cliptune.system.redaction import hide_password, hide_passwords

ADDRESSES = {
    "postgresql://me:s3cret@h/d": "postgresql://me:***@h/d",
    "mysql+pymysql://me:s3cret@h:3306/d": "mysql+pymysql://me:***@h:3306/d",
    "redis://:s3cret@h": "redis://:***@h",
    "mysql://me:a:s3cret@h/d": "mysql://me:***@h/d",
    "mysql://me:s3cret@s3cret@h/d": "mysql://me:***@h/d",
    "mysql://me:s3/cret@h/d": "mysql://me:***@h/d",
    "mysql://me:my s3cret@h/d": "mysql://me:***@h/d",
    "me:s3cret@h/d": "me:***@h/d",
    "postgresql://me@h/d?password=s3cret&sslmode=require":
        "postgresql://me@h/d?password=***&sslmode=require",
    "postgresql://h/d?user=me&sslpassword=s3cret": "postgresql://h/d?user=me&sslpassword=***",
    "host=h password='my s3cret' user=me": "host=h password=*** user=me",
}  # fmt: skip
PLAIN = ["sqlite:///a/b.db", "sqlite:///C:/a.db", "postgresql://me@h:5432/d", "foo", "", "a:b"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_is_hidden_and_the_rest_stays(address):
    assert hide_password(address) == ADDRESSES[address]
    assert without_password(address) == ADDRESSES[address]


@pytest.mark.parametrize("address", PLAIN)
def test_an_address_without_one_stays_as_it_is(address):
    assert hide_password(address) == address == hide_passwords(address)


def test_within_a_message():
    text = "cannot reach mysql://me:s3@cret@h/d (no route), nor redis://:s3cret@h; me@h"
    shown = "cannot reach mysql://me:***@h/d (no route), nor redis://:***@h; me@h"
    assert hide_passwords(text) == shown


@pytest.mark.parametrize("address", list(ADDRESSES)[:6])
def test_a_sweep_refuses_without_showing_it(address, capsys):
    assert run_command_line(["sweep", "/no/such/folder", "--storage", address]) == 2
    captured = capsys.readouterr()
    assert "s3" not in captured.err + captured.out


def test_notes_logs_and_faults_of_ours_do_not_show_it(capsys, monkeypatch):
    address = "redis://me:s3cret@h"

    def fail():
        logging.getLogger("cliptune").warning("lost %s", address)
        note(f"trying {address}")
        raise RuntimeError(f"cannot open {address}")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr("cliptune.cli.build_app", lambda: lambda *_, **__: fail())
    assert run_command_line(["anything"]) == 1
    message = capsys.readouterr().err
    assert message.count("redis://me:***@h") >= 3
    assert "s3cret" not in message

"""What the OpenAPI document of a server allows and what it does not, asked by schemathesis."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("schemathesis", reason="needs schemathesis")


def test_schemathesis_finds_no_failure(start_server, fitted, tmp_path):
    server = start_server(f"insects={fitted.run}")
    program = shutil.which("schemathesis", path=Path(sys.executable).parent)
    document = f"http://127.0.0.1:{server.port}/openapi.json"
    # few examples an operation, so that there is time for those that follow each other
    asked = ["--max-examples", "3", "--max-time", "15", "--seed", "0", "--no-color"]
    done = subprocess.run(
        [
            program,
            "run",
            document,
            *asked,
            "--warnings",
            "off",
            "--generation-database",
            "none",
            "--exclude-checks",
            "positive_data_acceptance",
        ],  # an example knows no run's name
        capture_output=True,
        text=True,
        cwd=tmp_path,  # it keeps what it found
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert server.get("/ready").status == 200

#!/usr/bin/env bash
# LitServe 0.2.19: after its process was ended by SIGTERM, the server still answers.
#
# LitServer.run starts processes for HTTP and for the model, and waits. A SIGTERM to the process that was
# started, as process.terminate(), `kill PID` and most supervisors send it, ends that one alone, at once and with
# -15: the others keep the port, the model and its memory, and go on answering with the old model. A newer
# server cannot take the port; a benchmark that starts and ends servers has all former ones running beside
# the next. Ctrl-C in a terminal reaches all of them. Start it in a session or a control group of its own and
# end that whole.
#
# Seen, one worker on a processor: ended with -15 within a second; 10 seconds later 4 processes were left, and a
# request to the port was answered.
# Ends with 0 while processes are left and the port answers 10 seconds after the end, and otherwise with 1.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  litserve==0.2.19 fastapi==0.165.0 uvicorn==0.54.0 starlette==1.10.0
cat > "$folder/add.py" <<'PYTHON'
import sys

import litserve


class Add(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["number"]

    def predict(self, number):
        return number + 1

    def encode_response(self, output):
        return {"number": output}


if __name__ == "__main__":
    server = litserve.LitServer(Add(), accelerator="cpu")
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False)
PYTHON
cat > "$folder/end.py" <<'PYTHON'
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path


def ask(port):
    body, kind = json.dumps({"number": 1}).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, kind)
    return json.loads(urllib.request.urlopen(request, timeout=5).read())


def wait_for(port):
    for _ in range(300):
        try:
            return ask(port)
        except OSError:
            time.sleep(0.1)
    sys.exit("it did not start")


def left_of(session):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        found += [folder.name] if int(state[3]) == session and state[0] != "Z" else []
    return found


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, str(Path(__file__).with_name("add.py")), str(port)]
quiet = subprocess.DEVNULL
server = subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet)
try:
    wait_for(port)
    server.terminate()
    code = server.wait(60)
    time.sleep(10)
    left = left_of(server.pid)
    try:
        answer = ask(port)
    except OSError as error:
        answer = error
    print(f"litserve {version('litserve')}: ended with {code}; 10 s later {len(left)} processes are left")
    print(f"the port answers {answer!r}")
finally:
    os.killpg(server.pid, signal.SIGKILL)
sys.exit(0 if left and answer == {"number": 2} else 1)
PYTHON
"$folder/venv/bin/python" "$folder/end.py"

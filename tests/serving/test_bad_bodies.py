"""Wrong requests get their status and a sentence, and the other items of a batch their answers."""

import re
import socket
import threading
import time

import pytest
from bad_bodies import BOUNDARY, FORM, every, images, part

LIMITS = {"max_items": 8, "max_bytes": 400_000, "max_pixels": 10_000}
BODIES = every(**LIMITS)


@pytest.fixture(scope="module")
def server(open_local, fitted):
    with open_local({"insects": fitted.run}, **LIMITS) as local:
        yield local


@pytest.fixture(scope="module")
def small_bee(bee):
    """A photograph within the limits of this server."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.open(io.BytesIO(bee)).resize((96, 96)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_two_hundred_wrong_requests_get_their_status_and_a_sentence(server, small_bee):
    assert len({bad.name + bad.kind for bad in BODIES}) == len(BODIES) >= 200
    wrong = []
    for bad in BODIES:
        said = server.ask("POST", f"/v1/predict{bad.query}", bad.body, {"Content-Type": bad.kind})
        if said.status != bad.status or not said.json.get("detail"):
            wrong.append((bad.name, bad.kind, bad.status, said.status, said.body[:200]))
    assert wrong == []
    assert server.predict(("bee", small_bee)).status == 200
    counted = server.get("/metrics").body.decode()
    assert re.search(r"^cliptune_images_under_way 0\.0$", counted, re.MULTILINE)


def test_the_other_items_of_a_batch_are_answered(server, small_bee):
    (wanted,) = server.predict(("bee", small_bee)).json["predictions"]
    broken = list(images(LIMITS["max_pixels"]))
    for start in range(0, len(broken), 6):
        chunk = broken[start : start + 6]
        files = [(name.split(":")[0], data) for name, data, _ in chunk]
        said = server.predict(("first", small_bee), *files, ("last", small_bee))
        assert said.status == 200, said.body
        first, *others, last = said.json["predictions"]
        for one in (first, last):
            assert one["labels"][0]["label"] == wanted["labels"][0]["label"]
            found = one["labels"][0]["probability"]
            assert found == pytest.approx(wanted["labels"][0]["probability"], abs=1e-4)
        for (name, _, status), one in zip(chunk, others, strict=True):
            code = "too_many_pixels" if status == 413 else "not_an_image"
            assert one["error"]["code"] == code, name
            assert one["error"]["message"]


@pytest.fixture(scope="module")
def patient(start_server, fitted):
    """A server that waits a second for a request."""
    return start_server(fitted.run, "--timeout", 1)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(length, more=""):
    lines = (
        "POST /v1/predict HTTP/1.1",
        "Host: here",
        f"Content-Type: {FORM}",
        f"Content-Length: {length}",
    )
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode()


def read_to_end(client):
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def trickle(client, data, found):
    """Send a byte every twentieth of a second until the other side ends, and keep what it says."""
    client.settimeout(0.05)
    start, received = time.monotonic(), b""
    for place in range(400):
        try:
            client.sendall(data[place : place + 1])
            chunk = client.recv(65536)
            received += chunk
            if not chunk:
                break
        except TimeoutError:
            continue
        except OSError:
            break
    found.append((time.monotonic() - start, received))


def test_a_trickled_body_gets_408_and_holds_up_nobody(patient, bee):
    assert patient.predict(("x", bee)).status == 200
    body, found = part(bee, "x.jpg"), []
    clients = [connect(patient) for _ in range(8)]
    for client in clients:
        client.sendall(head(len(body)))
    threads = [threading.Thread(target=trickle, args=(one, body, found)) for one in clients]
    for thread in threads:
        thread.start()
    assert patient.predict(("x", bee)).status == 200
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert [received.split(b"\r\n")[0] for _, received in found] == [
        b"HTTP/1.1 408 Request Timeout"
    ] * 8
    assert all(b"took more than 1 seconds" in received for _, received in found)
    assert max(seconds for seconds, _ in found) < 15


def test_trickled_headers_are_cut_off(patient, bee):
    found = []
    with connect(patient) as client:
        trickle(client, head(10) * 4, found)
    ((seconds, received),) = found
    assert seconds < 15
    assert b" 200 " not in received
    assert patient.predict(("x", bee)).status == 200


def test_a_half_closed_connection_gets_its_answer(patient, bee):
    body = part(bee, "x.jpg")
    with connect(patient) as client:
        client.sendall(head(len(body)) + body)
        client.shutdown(socket.SHUT_WR)
        received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b'"predictions"' in received


def test_a_connection_that_ends_within_its_body_is_let_go(patient, bee):
    body = part(bee, "x.jpg")
    assert BOUNDARY.encode() in body
    for sent in (head(len(body)), head(len(body)) + body[: len(body) // 2]):
        with connect(patient) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert b" 200 " not in read_to_end(client)
    assert patient.predict(("x", bee)).status == 200

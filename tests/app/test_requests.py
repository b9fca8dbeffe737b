"""Who may ask, what is refused, and what two people at once leave behind."""

import json
import shutil
import socket
import urllib.error
import urllib.request

import pytest
from PIL import Image

import cliptune as ct
from cliptune.app.page_access import Access
from cliptune.cli import run_command_line

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def asked():
    """Ask a page for something and return the status and what it answered."""

    def ask(page, path, body=None, *, token=True, **headers):
        home = f"http://127.0.0.1:{page.access.port}"
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        if token:
            given["Authorization"] = f"token {page.access.token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            given["Content-Type"] = "application/json"
        request = urllib.request.Request(home + path, data, given)
        try:
            with urllib.request.urlopen(request) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
            error.close()
        return status, json.loads(text) if text.startswith(("{", "[")) else text

    return ask


@pytest.fixture
def page(serve_page, insects):
    with serve_page(insects[0]) as served:
        yield served


def images_of(asked, page, **query):
    view = asked(page, "/api/views", query)[1]
    return asked(page, f"/api/views/{view['view']}?limit=500")[1]["tiles"]


def test_only_this_machine_with_the_token_and_no_other_site(page, asked):
    act = {"images": ["0" * 32], "label": "ant"}
    home = f"http://127.0.0.1:{page.access.port}"
    assert asked(page, "/ready", token=False) == (200, "ready\n")
    assert asked(page, "/api/labels", act, token=False)[0] == 401
    assert asked(page, "/api/labels", act, token=False, Authorization="token wrong")[0] == 401
    assert asked(page, "/api/labels", act, Origin="http://other.example")[0] == 403
    assert asked(page, "/api/labels", act, Origin="null")[0] == 403
    assert asked(page, "/api/labels", act, Sec_Fetch_Site="cross-site")[0] == 403
    assert asked(page, "/api/labels", act, Host="other.example")[0] == 403
    assert asked(page, "/ready", Host="other.example", token=False)[0] == 403
    assert asked(page, "/", token=False)[0] == 401
    assert asked(page, "/openapi.json", token=False)[0] == 401
    status, told = asked(page, "/api/labels", act, Origin=home)
    assert (status, told["error"].partition(";")[0]) == (400, f"'{'0' * 32}' is no image here")
    assert page.desk.bench.project.journal.standing.openings() == []


def test_a_cookie_lets_in_and_is_of_its_port_alone():
    access = Access("secret", 81)
    host = {"host": "localhost:81"}
    assert access.refusal("GET", "/api/state", "", {**host, "cookie": "cliptune-81=secret"}) is None
    assert (
        access.refusal("GET", "/api/state", "", {**host, "cookie": "cliptune-82=secret"})[0] == 401
    )
    assert access.refusal("GET", "/api/state", "token=secret", host) is None


def test_answers_carry_a_strict_policy_and_every_endpoint_a_schema(page, asked):
    request = urllib.request.Request(f"http://127.0.0.1:{page.access.port}/static/main.js")
    with urllib.request.urlopen(request) as response:
        policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    paths = asked(page, "/openapi.json")[1]["paths"]
    assert {"/api/labels", "/api/views", "/api/refit", "/api/test", "/api/compare"} <= set(paths)


def test_an_act_is_on_the_disk_when_it_is_answered(page, asked):
    image = images_of(asked, page)[0]["content"]
    status, done = asked(page, "/api/labels", {"images": [image], "label": MARKUP, "who": "ada"})
    assert status == 200
    assert done["tiles"][0]["label"] == MARKUP
    lines = page.journal.read_text().splitlines()
    last = json.loads(lines[-1])
    assert (last["act"], last["answer"], last["who"]) == (done["act"], MARKUP, "ada")
    table = ct.open_images(page.journal)
    assert MARKUP in table.class_names


def test_two_tabs_lose_nothing_and_see_where_they_disagree(page, asked):
    image = images_of(asked, page)[0]["content"]
    for tab, label in (("one", "ant"), ("two", "bee")):
        act = {"images": [image], "label": label, "tab": tab, "who": tab, "before": [None]}
        assert asked(page, "/api/labels", act)[0] == 200
    detail = asked(page, f"/api/images/{image}")[1]
    assert [one["answer"] for one in detail["history"]] == ["ant", "bee"]
    assert "two, who had not seen it" in detail["conflict"]
    assert asked(page, "/api/state")[1]["counts"]["conflicts"] == 1
    assert [tile["content"] for tile in images_of(asked, page, only="conflict")] == [image]
    undone = asked(page, "/api/undo", {"tab": "two"})[1]
    assert undone["tiles"][0]["label"] == "ant"
    assert undone["state"]["counts"]["conflicts"] == 0


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/api/refit", {"method": "magic"}, "failed"),
        ("/api/compare", {"first": "fit-001", "second": "fit-001"}, "named twice"),
        ("/api/test", {"run": "../../etc"}, "there is no run"),
        ("/api/runs/show", {"run": "fit-009"}, "there is no run"),
        ("/api/views", {"label": "wasp"}, "there is no class"),
        ("/api/views", {"like": "../x"}, "is no image here"),
        ("/api/export", {"form": "word"}, "unknown format"),
        ("/api/classes", {"names": [" "]}, "letters"),
    ],
)
def test_wrong_requests_end_in_one_line(page, asked, path, body, reason):
    status, told = asked(page, path, body)
    if reason == "failed":
        while told["state"] == "running":
            told = asked(page, "/api/job")[1]
        assert (told["state"], "two at least" in told["text"]) == ("failed", True)
    else:
        assert status == 400
        assert reason in told["error"]


def test_unknown_files_and_pictures_are_not_there(page, asked):
    assert asked(page, "/static/../server.py")[0] == 404
    assert asked(page, "/static/schemas.py")[0] == 404
    assert asked(page, f"/api/thumbs/{'0' * 32}")[0] == 410


def test_a_folder_that_changes_underneath_is_said_and_taken_in(
    serve_page, insects, tmp_path, asked
):
    folder = tmp_path / "changing"
    shutil.copytree(insects[0], folder)
    first, second, *_ = sorted(folder.iterdir())
    with serve_page(folder) as page:
        image = page.desk.bench.project.contents[0]
        asked(page, "/api/labels", {"images": [image], "label": "ant"})
        shutil.copy(second, first)
        (folder / "new.jpg").write_bytes(second.read_bytes() + b"\0")
        (folder / sorted(p.name for p in folder.iterdir())[5]).unlink()
        told = page.desk.changes.look()
        assert "1 images came, 1 images went, 1 images changed" in told
        assert asked(page, f"/api/thumbs/{image}?pixels=40")[0] == 410
        assert asked(page, "/api/reload", {})[1]["counts"]["images"] == 80
        assert all(tile["label"] is None for tile in images_of(asked, page))
        shutil.copy(insects[0] / first.name, first)
        asked(page, "/api/reload", {})
        labelled = [tile["id"] for tile in images_of(asked, page) if tile["label"] == "ant"]
        assert labelled == [first.name]  # the act stayed with the content


def test_dropped_pictures_are_answered_and_kept(page, asked, insects, tmp_path):
    asked(page, "/api/classes", {"names": ["ant", "bee"]})
    from cliptune.app.dropped import predict_dropped

    picture = Image.new("RGB", (64, 64), (200, 30, 30))
    picture.save(tmp_path / "red.png")
    given = [("red.png", (tmp_path / "red.png").read_bytes()), ("bad.png", b"no picture")]
    good, bad = predict_dropped(page.desk, given, keep=True)
    by_name = {one["name"]: one for one in (good, bad)}
    assert [top["label"] in ("ant", "bee") for top in by_name["red.png"]["top"]] == [True, True]
    assert "bad.png" in by_name["bad.png"]["error"]
    state = asked(page, "/api/state")[1]
    assert state["counts"]["images"] == 81
    assert len(list(insects[0].iterdir())) == 80
    (tile,) = images_of(asked, page, name="kept/")
    assert tile["label"] is None


def test_words_and_likeness_and_what_the_lasso_holds(page, asked, insects):
    tiles = images_of(asked, page, text="a bee on a flower")
    bees = [insects[1][tile["id"]] == "bee" for tile in tiles[:20]]
    assert sum(bees) >= 15
    like = images_of(asked, page, like=tiles[0]["content"])
    assert like[0]["content"] == tiles[0]["content"]
    plane = asked(page, "/api/plane")[1]
    x, y, e = plane["x"][3], plane["y"][3], 1e-4
    corners = [[x + dx, y + dy] for dx, dy in ((-e, -e), (e, -e), (e, e), (-e, e))]
    inside = images_of(asked, page, lasso=corners)
    assert plane["images"][3] in [tile["content"] for tile in inside]
    assert len(inside) < 5


def test_bad_input_of_the_command_ends_in_one_line(insects, tmp_path, capsys, torch_cache):
    def refused(*arguments):
        code = run_command_line(["app", *map(str, arguments), "--no-browser"])
        return code, capsys.readouterr().err.strip().splitlines()[-1]

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, line = refused(insects[0], "--port", other.getsockname()[1])
        assert (code, "cannot be had" in line, "--port" in line) == (2, True, True)
    code, line = refused(tmp_path / "nothing", "--port", 0)
    assert (code, "nothing" in line) == (2, True)
    code, line = refused(insects[0], "--port", 0, "--run", tmp_path / "no-run")
    assert (code, "no-run" in line) == (2, True)
    begun = {"cliptune_journal": 1, "data": "birds", "made": "", "sketch": ["00" * 16]}
    (tmp_path / "journal.jsonl").write_text(json.dumps(begun) + "\n")
    computing = ["--cache-dir", torch_cache.cache_dir, "--engine", "torch", "--precision", "fp32"]
    code, line = refused(
        insects[0], "--port", 0, "--journal", tmp_path / "journal.jsonl", *computing
    )
    assert (code, "journal of other data" in line, "'birds'" in line) == (2, True, True)

"""What commands show while they work."""

from cliptune.system import terminal


def test_a_log_hears_now_and_then_how_far_it_is(monkeypatch, capsys):
    """A bar is only for terminals; without one, minutes of silence look like a hang."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with terminal.progress_bar("embedding", "texts") as show:
        for done in range(5):
            show(done, 4)
            now[0] += 20
    assert capsys.readouterr().err.splitlines() == [
        "embedding: 2 of 4 texts",
        "embedding: 4 of 4 texts",
    ]


def test_where_shards_are_counted_images_stand_beside_them(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    with terminal.progress_bar("embedding", "shards") as show:
        now[0] += 40
        show(3, 40, "1,200 images, 150 images/s")
    said = capsys.readouterr().err
    assert said == "embedding: 3 of 40 shards, 1,200 images, 150 images/s\n"

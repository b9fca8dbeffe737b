"""One JSON object of a file, or one line that says why not."""

import pytest

from cliptune.errors import CheckpointError, RunError
from cliptune.system.json_files import read_object


def test_an_object_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, null, "ü"]}', encoding="utf-8")
    assert read_object(tmp_path / "a.json") == {"a": [1, None, "ü"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[1]", "holds no JSON object but list"),
        (b"{", "cannot read"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot read"),
        (None, "No such file"),
    ],
)
def test_anything_else_is_one_line(tmp_path, content, reason):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    for kind in (RunError, CheckpointError):
        with pytest.raises(kind, match=reason) as caught:
            read_object(path, kind)
        assert "\n" not in str(caught.value)

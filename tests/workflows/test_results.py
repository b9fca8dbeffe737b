"""Results are read as they were written; those of a later version are refused by name."""

import json
from pathlib import Path

import jsonschema
import pytest

import cliptune as ct
from cliptune.results.schema import json_schema
from cliptune.workflows.results_files import result_kinds

SCHEMAS = Path(__file__).parent.parent.parent / "docs" / "schemas"


def test_a_result_comes_back_from_json_and_from_its_run(fitted):
    again = type(fitted).from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    found = ct.load_result(fitted.run)
    assert isinstance(found, ct.FitResult)
    without_total = {k: v for k, v in fitted.to_dict().items() if k != "seconds_total"}
    assert found.to_dict() == without_total
    assert found.test.accuracy.interval == fitted.methods["linear"].test.accuracy.interval


def test_a_file_of_a_result_is_read(fitted, tmp_path):
    file = tmp_path / "fit.json"
    file.write_text(fitted.to_json())
    assert ct.load_result(file).to_json() == fitted.to_json()


def test_a_later_version_is_refused_by_name(fitted, tmp_path):
    values = json.loads(fitted.to_json()) | {"result_version": 2}
    file = tmp_path / "fit.json"
    file.write_text(json.dumps(values))
    with pytest.raises(ct.RunError, match=r"fit\.json has FitResult of version 2.*up to 1"):
        ct.load_result(file)
    with pytest.raises(ct.RunError, match="version 2"):
        ct.FitResult.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"n_train": "many"}, "n_train is 'many'"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"task": "other"}, "task 'other'"),
        ({"test": {}}, "test lacks"),
        ({"notes": 3}, "notes is 3"),
        ({"result_version": True}, "version True"),
    ],
)
def test_a_broken_file_is_one_line(change, expected, fitted, tmp_path):
    file = tmp_path / "fit.json"
    file.write_text(json.dumps(json.loads(fitted.to_json()) | change))
    with pytest.raises(ct.RunError, match=expected) as caught:
        ct.load_result(file)
    assert "\n" not in str(caught.value)


def test_what_is_no_result_is_said(tmp_path):
    with pytest.raises(ct.RunError, match="no run and no file"):
        ct.load_result(tmp_path / "nowhere")
    (tmp_path / "text.json").write_text("[]")
    with pytest.raises(ct.RunError):
        ct.load_result(tmp_path / "text.json")
    with pytest.raises(ct.RunError, match="no JSON"):
        ct.FitResult.from_json("{")
    with pytest.raises(ct.RunError, match="no JSON object"):
        ct.FitResult.from_json("[]")


def test_a_notebook_sees_tables_and_no_markup_of_others(fitted):
    html = fitted._repr_html_()
    assert "<table>" in html
    hostile = fitted.to_dict() | {"data": "<script>alert(1)</script>"}
    assert "<script>" not in ct.FitResult.from_dict(hostile)._repr_html_()


def test_every_verb_gives_what_its_command_prints(small_data, compute, tmp_path, capsys):
    from cliptune.cli import run_command_line

    shared = ["--json", "--engine", "torch", "--precision", "fp32"]
    shared += ["--cache-dir", str(compute.cache_dir)]
    asked = [
        ["evaluate", str(small_data), "--out", str(tmp_path / "evaluate")],
        ["embed", str(small_data), "--out", str(tmp_path / "embed")],
        ["predict", str(small_data), "--labels", "ant,bee"],
        ["fit", str(small_data), "--method", "prototype", "--out", str(tmp_path / "fit")],
        ["fit", str(small_data), "--method", "prototype", "--shots", "2,4", "--out",
         str(tmp_path / "shots")],
        ["check", str(small_data), "--method", "linear", "--out", str(tmp_path / "check")],
        ["sweep", str(small_data), "--method", "linear", "--grid", "penalty=1e-3,1e-2",
         "--out", str(tmp_path / "sweep")],
    ]  # fmt: skip
    for words in asked:
        assert run_command_line([*words, *shared]) == 0
        printed = json.loads(capsys.readouterr().out)
        (tmp_path / "printed.json").write_text(json.dumps(printed))
        result = ct.load_result(tmp_path / "printed.json")
        assert result.to_dict() == printed
        schema = json.loads((SCHEMAS / f"{type(result).__name__}.json").read_text())
        jsonschema.validate(printed, schema)
        jsonschema.validate(json.loads(result.to_json()), schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in printed.items() if k != "task"}, schema)


def test_schemas_are_those_of_the_results():
    found = {file.stem: json.loads(file.read_text()) for file in SCHEMAS.glob("*.json")}
    assert found == {kind.__name__: json_schema(kind) for kind in result_kinds()}

"""The example notebooks run from the first cell to the last."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import cliptune

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 3


@pytest.mark.filterwarnings("ignore:.*encryption.*:RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, request, monkeypatch, make_cache):
    monkeypatch.setenv("CLIPTUNE_CACHE", str(make_cache()))
    if path.stem == "tour":
        monkeypatch.setenv("CLIPTUNE_DATA", str(request.getfixturevalue("data_root")))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_public_names_only(path):
    notebook = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            assert not name.startswith("_"), name
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("cliptune"), node.module
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "ct" or node.attr in cliptune.__all__


def test_the_tour_calls_every_verb():
    notebook = nbformat.read(FOLDER / "tour.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    verbs = ("open_images", "embed", "predict", "evaluate", "fit", "finetune", "check", "sweep")
    for verb in (*verbs, "map", "study", "load_classifier", "load_result"):
        assert f"ct.{verb}(" in code, verb

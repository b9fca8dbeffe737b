"""The public names: which they are, and what importing them costs."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cliptune as ct

VERBS = (
    *("open_images", "load_encoder", "list_models", "embed", "predict", "evaluate", "fit"),
    *("finetune", "check", "sweep", "map", "study", "export", "serve"),
    *("load_run", "load_classifier", "load_result"),
    *("label_next", "relabel"),
)
OTHERS = {
    *("ComputeOptions", "DataOptions", "TemplateOptions", "FinetuneOptions", "LoraOptions"),
    *("OptimizerOptions", "TrainableOptions", "list_datasets", "list_template_sets"),
    *("load_template_set", "TemplateSet", "ImageTable", "DualEncoder", "ModelInfo", "Preprocess"),
    *("Features", "RunDir", "Classifier", "Predictions", "Notice", "StageProgress"),
    *("Metrics", "Score", "Comparison"),
    *("Result", "PredictResult", "Prediction", "EmbedResult", "EvaluateResult"),
    *("FittedEvaluateResult", "RetrievalResult", "FitResult", "MethodResult", "FinetuneResult"),
    *("CheckReport", "SweepResult", "MapResult", "StudyResult", "heads", "__version__"),
    *("CliptuneError", "InputError", "UnknownNameError", "DataError", "BadImageError"),
    *("CheckpointError", "EngineError", "RunError", "DeviceError", "MissingExtraError"),
    "UnavailableError",
}


def test_the_public_names_are_these():
    assert set(ct.__all__) == {*VERBS, *OTHERS}
    assert len(ct.__all__) == len(set(ct.__all__))
    assert 50 <= len(ct.__all__) <= 70


def test_every_public_name_is_there_under_its_own_name():
    for name in ct.__all__:
        found = getattr(ct, name)
        if isinstance(found, type):
            assert found.__name__ == name
        assert name in dir(ct)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        ct.fitt  # noqa: B018


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse(Path(ct.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname for node in guarded.body for alias in node.names}
    assert {*seen, "__version__"} == set(ct.__all__)


@pytest.mark.parametrize(
    "name", ["cliptune.studies", "cliptune.sweeps", "cliptune.finetuning", "cliptune.exports"]
)
def test_a_verb_stays_a_verb_when_its_package_is_imported(name):
    importlib.import_module(name)
    assert all(callable(getattr(ct, verb)) for verb in VERBS)


@pytest.mark.parametrize("name", [v for v in VERBS if not v.startswith("list_")])
def test_every_verb_explains_itself_and_takes_a_progress(name):
    verb = getattr(ct, name)
    assert "Args:" in verb.__doc__
    assert "Raises:" in verb.__doc__
    if name not in ("load_encoder", "load_run", "load_result"):
        assert "progress" in inspect.signature(verb).parameters


def test_importing_loads_neither_torch_nor_numpy_and_takes_no_time():
    code = (
        "import os, sys; before = os.times(); import cliptune as ct; after = os.times(); "
        "heavy = {'torch', 'numpy', 'PIL', 'cyclopts', 'sklearn'} & set(sys.modules); "
        "spent = after.user + after.system - before.user - before.system; "
        "sys.exit(f'{heavy} {spent}' if heavy or spent > 0.1 else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

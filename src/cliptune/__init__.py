"""From a folder of images to the right classifier on a CLIP-like model, with evidence.

::

    import cliptune as ct

    table = ct.open_images("my_images/")
    result = ct.fit(table)                      # heads compared, one recommended
    classifier = ct.load_classifier(result.run)
    classifier.predict(["bee.jpg", pil_image, array]).labels

Every verb of the command line is here: it takes plain values, tells how far it is to
``progress=`` (a callback, or True for bars), prints nothing, and returns a typed result with
``to_json`` and ``from_json``. What goes wrong on purpose is a ``CliptuneError``.

Public names load on first use: importing this package imports neither torch nor NumPy and
changes nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would be most of the time that this one takes
if TYPE_CHECKING:
    from cliptune import heads as heads
    from cliptune.catalog import list_datasets as list_datasets
    from cliptune.encoders import DualEncoder as DualEncoder
    from cliptune.encoders import ModelInfo as ModelInfo
    from cliptune.encoders import list_models as list_models
    from cliptune.encoders import load_encoder as load_encoder
    from cliptune.encoders.preprocess import Preprocess as Preprocess
    from cliptune.errors import BadImageError as BadImageError
    from cliptune.errors import CheckpointError as CheckpointError
    from cliptune.errors import CliptuneError as CliptuneError
    from cliptune.errors import DataError as DataError
    from cliptune.errors import DeviceError as DeviceError
    from cliptune.errors import EngineError as EngineError
    from cliptune.errors import InputError as InputError
    from cliptune.errors import MissingExtraError as MissingExtraError
    from cliptune.errors import RunError as RunError
    from cliptune.errors import UnavailableError as UnavailableError
    from cliptune.errors import UnknownNameError as UnknownNameError
    from cliptune.evaluation.metrics import Metrics as Metrics
    from cliptune.evaluation.metrics import Score as Score
    from cliptune.evaluation.significance import Comparison as Comparison
    from cliptune.features import Features as Features
    from cliptune.finetuning.options import FinetuneOptions as FinetuneOptions
    from cliptune.finetuning.options import LoraOptions as LoraOptions
    from cliptune.finetuning.options import OptimizerOptions as OptimizerOptions
    from cliptune.finetuning.options import TrainableOptions as TrainableOptions
    from cliptune.images import ImageTable as ImageTable
    from cliptune.prompts import TemplateSet as TemplateSet
    from cliptune.prompts import list_template_sets as list_template_sets
    from cliptune.prompts import load_template_set as load_template_set
    from cliptune.results.base import Result as Result
    from cliptune.results.checked import CheckReport as CheckReport
    from cliptune.results.finetuned import FinetuneResult as FinetuneResult
    from cliptune.results.fitted import FitResult as FitResult
    from cliptune.results.fitted import MethodResult as MethodResult
    from cliptune.results.mapped import MapResult as MapResult
    from cliptune.results.predictions import EmbedResult as EmbedResult
    from cliptune.results.predictions import Prediction as Prediction
    from cliptune.results.predictions import PredictResult as PredictResult
    from cliptune.results.retrieval import RetrievalResult as RetrievalResult
    from cliptune.results.scores import EvaluateResult as EvaluateResult
    from cliptune.results.scores import FittedEvaluateResult as FittedEvaluateResult
    from cliptune.results.studied import StudyResult as StudyResult
    from cliptune.results.swept import SweepResult as SweepResult
    from cliptune.runs import RunDir as RunDir
    from cliptune.workflows.check import check as check
    from cliptune.workflows.classifier import Classifier as Classifier
    from cliptune.workflows.classifier import Predictions as Predictions
    from cliptune.workflows.classifier import load_classifier as load_classifier
    from cliptune.workflows.dataset import open_images as open_images
    from cliptune.workflows.embed import embed as embed
    from cliptune.workflows.evaluate import evaluate as evaluate
    from cliptune.workflows.export import export as export
    from cliptune.workflows.finetune import finetune as finetune
    from cliptune.workflows.fit import fit as fit
    from cliptune.workflows.label_next import label_next as label_next
    from cliptune.workflows.map import map as map
    from cliptune.workflows.options import ComputeOptions as ComputeOptions
    from cliptune.workflows.options import DataOptions as DataOptions
    from cliptune.workflows.options import TemplateOptions as TemplateOptions
    from cliptune.workflows.predict import predict as predict
    from cliptune.workflows.progress import Notice as Notice
    from cliptune.workflows.progress import StageProgress as StageProgress
    from cliptune.workflows.relabel import relabel as relabel
    from cliptune.workflows.results_files import load_result as load_result
    from cliptune.workflows.results_files import load_run as load_run
    from cliptune.workflows.serve import serve as serve
    from cliptune.workflows.study import study as study
    from cliptune.workflows.sweep import sweep as sweep

_HOMES = {
    "BadImageError": "errors",
    "CheckReport": "results.checked",
    "CheckpointError": "errors",
    "Classifier": "workflows.classifier",
    "CliptuneError": "errors",
    "Comparison": "evaluation.significance",
    "ComputeOptions": "workflows.options",
    "DataError": "errors",
    "DataOptions": "workflows.options",
    "DeviceError": "errors",
    "DualEncoder": "encoders",
    "EmbedResult": "results.predictions",
    "EngineError": "errors",
    "EvaluateResult": "results.scores",
    "Features": "features",
    "FinetuneOptions": "finetuning.options",
    "FinetuneResult": "results.finetuned",
    "FitResult": "results.fitted",
    "FittedEvaluateResult": "results.scores",
    "ImageTable": "images",
    "InputError": "errors",
    "LoraOptions": "finetuning.options",
    "MapResult": "results.mapped",
    "MethodResult": "results.fitted",
    "Metrics": "evaluation.metrics",
    "MissingExtraError": "errors",
    "ModelInfo": "encoders",
    "Notice": "workflows.progress",
    "OptimizerOptions": "finetuning.options",
    "PredictResult": "results.predictions",
    "Prediction": "results.predictions",
    "Predictions": "workflows.classifier",
    "Preprocess": "encoders.preprocess",
    "Result": "results.base",
    "RetrievalResult": "results.retrieval",
    "RunDir": "runs",
    "RunError": "errors",
    "Score": "evaluation.metrics",
    "StageProgress": "workflows.progress",
    "StudyResult": "results.studied",
    "SweepResult": "results.swept",
    "TemplateOptions": "workflows.options",
    "TemplateSet": "prompts",
    "TrainableOptions": "finetuning.options",
    "UnavailableError": "errors",
    "UnknownNameError": "errors",
    "check": "workflows.check",
    "embed": "workflows.embed",
    "evaluate": "workflows.evaluate",
    "finetune": "workflows.finetune",
    "export": "workflows.export",
    "fit": "workflows.fit",
    "label_next": "workflows.label_next",
    "list_datasets": "catalog",
    "list_models": "encoders",
    "list_template_sets": "prompts",
    "load_classifier": "workflows.classifier",
    "load_encoder": "encoders",
    "load_result": "workflows.results_files",
    "load_run": "workflows.results_files",
    "load_template_set": "prompts",
    "map": "workflows.map",
    "open_images": "workflows.dataset",
    "predict": "workflows.predict",
    "relabel": "workflows.relabel",
    "serve": "workflows.serve",
    "study": "workflows.study",
    "sweep": "workflows.sweep",
}
_MODULES = ("heads",)

__all__ = sorted([*_HOMES, *_MODULES, "__version__"])
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    import importlib  # which a start of Python does without

    if name in _MODULES:
        return importlib.import_module(f"cliptune.{name}")
    if name in _HOMES:
        # Looked up each time, so that nothing put in its place for a while stays.
        return getattr(importlib.import_module(f"cliptune.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'cliptune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

"""The model card of a fitted classifier, in Markdown.

It renders what a run has already recorded and computes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cliptune.system.escaping import for_markdown, for_terminal, markdown_code
from cliptune.system.formatting import count, decimal, interval, percent

__all__ = ["render_model_card"]

Json = Mapping[str, Any]  # Any: plain JSON values


def render_model_card(result: Json) -> str:
    """Describe a classifier: what it is, what it reaches, where it fails, how to use it.

    Args:
        result: What ``fit`` reports: data, model, method, scores, per-class scores, notes.
    """
    parts = (_what_it_is, _scores, _weakest_classes, _making, _use_and_trust)
    return "\n".join(line for part in parts for line in (*part(result), ""))


def _what_it_is(result: Json) -> list[str]:
    return [
        f"# {for_markdown(result['method'])} on {for_markdown(result['model'])}",
        "",
        f"Classifies images into {len(result['class_names'])} classes: "
        f"{_listed(result['class_names'])}.",
    ]


def _scores(result: Json) -> list[str]:
    return [
        "## Scores on the locked test",
        "",
        "| | n | accuracy | 95 % interval | balanced accuracy | log-loss | ECE |",
        "|---|---|---|---|---|---|---|",
        _score_row(result["method"], result["test"]),
        _score_row("zero-shot", result["zero_shot"]),
        "",
        f"The test was opened once, after everything had been chosen on {_chosen_on(result)}.",
        *[f"- {for_markdown(note)}" for note in result["notes"]],
    ]


def _weakest_classes(result: Json) -> list[str]:
    classes = sorted(result["test"]["per_class"], key=lambda c: float(c["recall"]))
    return [
        "## Weakest classes",
        "",
        "| class | n | precision | recall | F1 |",
        "|---|---|---|---|---|",
        *[
            f"| {for_markdown(c['name'])} | {c['n']} | {percent(c['precision'])} "
            f"| {percent(c['recall'])} | {percent(c['f1'])} |"
            for c in classes[:10]
        ],
    ]


def _making(result: Json) -> list[str]:
    holds_encoder = bool(result.get("encoder_in_run"))
    return [
        "## How it was made",
        "",
        f"- data: {markdown_code(result['data'])}, digest `{result['data_digest'][:16]}`",
        f"- encoder: {markdown_code(result['model'])} in {result['precision']}, "
        f"{_training(result)}",
        f"- templates: {_listed(result['templates']['texts'], markdown_code)}",
        f"- trained parameters: {count(result['trained_parameters'])}",
        f"- temperature {result['temperature']:.4g}, fitted on held-out images",
        f"- {_threshold(result['threshold'])}",
        *_class_thresholds(result.get("class_thresholds")),
        *_unlabelled(result.get("unlabelled")),
        f"- seed {result['seed']}",
        *(["- the encoder: its weights are in this run"] if holds_encoder else []),
    ]


def _class_thresholds(moved: Json | None) -> list[str]:
    if moved is None or not moved["kept"]:
        return []
    low, high = min(moved["offsets"].values()), max(moved["offsets"].values())
    return [
        "- each class has a threshold of its own: its bias holds an offset of its log-probability, "
        f"{low:+.2f} to {high:+.2f}"
    ]


def _unlabelled(used: Json | None) -> list[str]:
    if used is None or not used["kept"]:
        return []
    return [
        f"- images without labels: {count(used['images'])} of {markdown_code(used['data'])} moved "
        "its weights"
    ]


def _calibrated_for(result: Json) -> str:
    moved = result.get("class_thresholds")
    if moved is None or not moved["kept"]:
        return "Probabilities are calibrated for images like those of the data; on other "
    return (
        "Probabilities are those of classes that are more or less common than in the data, as the "
        "offsets of their thresholds make them; on other "
    )


def _use_and_trust(result: Json) -> list[str]:
    return [
        "## Use",
        "",
        "```",
        for_terminal(f"cliptune predict IMAGE --run {shlex.quote(result['run'])}"),
        "```",
        "",
        f"{_calibrated_for(result)}"
        "images they can be too sure. An image of none of the classes still gets one of them.",
        "",
        "## Trust",
        "",
        "Reading this run executes no code. The digests in `manifest.json` show files that "
        "were cut or altered by accident. They do not show intent: whoever can write this "
        "folder can write other digests, and other scores. Use it if you know where it comes "
        "from, and evaluate it on images of your own.",
    ]


def _score_row(name: str, scores: Json) -> str:
    return (
        f"| {for_markdown(name)} | {scores['n']} | {percent(scores['accuracy'])} "
        f"| {interval(*scores['interval'])} | {percent(scores['balanced_accuracy'])} "
        f"| {decimal(scores['log_loss'])} | {decimal(scores['ece'])} |"
    )


def _listed(names: Sequence[str], write: Callable[[str], str] = for_markdown) -> str:
    shown = ", ".join(map(write, names[:20]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 20 else shown


def _training(result: Json) -> str:
    if "groups" not in result:
        return "frozen"
    mixed = result["interpolation"]
    share = "" if mixed is None else f"; {mixed['alpha']:.1f} of the change kept"
    return (
        f"trained by {for_markdown(result['method'])} with the {result['loss']} loss, best of "
        f"{len(result['epochs']) - 1} epochs on validation: {result['best_epoch']}{share}; "
        "its weights are in this run"
    )


def _threshold(threshold: Json | None) -> str:
    if threshold is None:
        return "it always answers"
    return (
        f"it abstains below probability {decimal(threshold['probability'])}: then "
        f"{percent(threshold['precision'])} of its answers were right on held-out images, and it "
        f"answered {percent(threshold['coverage'])} of the images"
    )


def _chosen_on(result: Json) -> str:
    found = result.get("cross_validation")
    if found is None:
        n = result["val"]["n"] if result["val"] else 0
        return f"{count(n)} held-out images"
    if found["folds"] == 1:
        return f"one cut of {count(found['n'])} held-out images"
    return (
        f"{count(found['n'])} held-out images by cross-validation ({found['folds']} folds, "
        f"{found['repeats']} times)"
    )

"""The command line: one module a command, and the only package that prints.

It knows how to read options and show results, and leaves every computation to the library.
Commands load on first use, so that ``cliptune --help`` imports neither torch nor NumPy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import pairwise

from cyclopts import App, CycloptsError, Parameter

from cliptune import __version__
from cliptune.cli.help_pages import take_help_all
from cliptune.errors import CliptuneError, EngineError, ShardsFailedError
from cliptune.system.interrupts import repeat_lost_interrupts

__all__ = ["build_app", "main", "run_command_line"]

_COMMANDS = {
    "data": "Say how a data set is read: layout, classes, splits, labels, what is left out.",
    "predict": "Classify images: the most probable labels of each.",
    "evaluate": "Score zero-shot classification, a fitted classifier, or retrieval, on a data set.",
    "fit": "Learn a classifier on cached features, compare all methods, or train the model.",
    "finetune": "Train the model itself: full, lora or head-then-full.",
    "app": "Open a local page: look, label, re-fit, and see whether it got better.",
    "label-next": "List the images whose labels teach most, and labels to look at again.",
    "relabel": "Take the answers of another labelling tool into the journal of labels.",
    "check": "Look at data and training set-up before a long run.",
    "sweep": "Find learning rates and what to freeze, with the noise around the best.",
    "map": "Draw images and texts in one plane; measure the gap, before and after.",
    "study": "Investigate a data set from the data to what to ship, as one report.",
    "report": "Render the report of finished runs again, computing nothing.",
    "export": "Write a run as ONNX, OpenVINO or a hub folder, with proof that it answers alike.",
    "serve": "Serve runs and exports over HTTP, many requests in one batch.",
    "embed": "Embed a data set and write ids, labels and vectors as Parquet.",
    "index": "Build an index over embedded images.",
    "search": "Find embedded images near a text or an image.",
    "doctor": "Measure the engines on this machine and say which one to take.",
    "cache": "List, verify or prune what is kept: vectors, graphs, sweeps, studies.",
    "models": "List the encoders that can be named.",
    "templates": "List the named prompt template sets.",
    "datasets": "List the data sets that can be named.",
}
_LONGEST = 2000
_HELP = {"--help", "-h", "--help-all", "--version"}
_MODULES = {"models": "names", "templates": "names", "datasets": "names"}


def build_app() -> App:
    """Make the application with every command registered by its import path."""
    app = App(
        name="cliptune",
        help="From a folder of images to the right classifier on a CLIP-like model, with evidence.",
        version=__version__,
        suppress_keyboard_interrupt=False,
        help_format="plaintext",  # rendering Markdown would double the start-up time
        default_parameter=Parameter(negative=""),  # what is off by default has no other form
    )
    for name, about in _COMMANDS.items():
        word = name.replace("-", "_")
        module = f"cliptune.cli.{_MODULES.get(name, word)}"
        app.command(f"{module}:{'app' if name == 'cache' else word}", name=name, help=about)
    return app


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    repeat_lost_interrupts()
    sys.exit(run_command_line(sys.argv[1:]))


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        0 done; 2 wrong input or options, after one line on standard error; 1 a fault of
        ours, with a traceback, or of an engine, in one line; 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # paths may hold bytes that are no text
    if empty := _find_empty(arguments):
        return _complain(empty, 2)
    if _HELP.isdisjoint(arguments):  # which nothing warns of, and which is to come at once
        from cliptune.cli.log_lines import log_to_stderr
        from cliptune.system.processors import hold_to_quota

        log_to_stderr()
        hold_to_quota()  # before anything is imported that starts threads
    words = ["/dev/stdin" if word == "-" else word for word in arguments]  # else an option
    try:
        build_app()(
            take_help_all(words),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except (EngineError, ShardsFailedError) as error:
        return _complain(" ".join(str(error).split()), 1)
    except (CliptuneError, CycloptsError) as error:
        return _complain(" ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has left; point it elsewhere so that closing does not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001  the outermost boundary: a fault of ours ends with code 1
        import traceback

        sys.stderr.write(_as_shown(traceback.format_exc()))
        return _complain("this is a fault of cliptune; please report the lines above", 1)
    return 0


def _find_empty(arguments: Sequence[str]) -> str:
    """Say where an argument is empty: it would mean the current folder, or be ignored."""
    for before, word in pairwise(("", *arguments)):
        option, equals, value = word.partition("=")
        if not word.strip():
            after = f"after {before}" if before.startswith("-") and "=" not in before else "alone"
            return f"an empty value came {after}; give one, or leave the option out"
        if option.startswith("--") and equals and not value.strip():
            return f"an empty value came for {option}; give one, or leave the option out"
    return ""


def _complain(message: str, code: int) -> int:
    if len(message) > _LONGEST:  # a name in it may be of any length
        message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
    sys.stderr.write(f"cliptune: {_as_shown(message)}\n")
    return code


def _as_shown(text: str) -> str:
    from cliptune.system.escaping import for_terminal
    from cliptune.system.redaction import hide_passwords

    return hide_passwords(for_terminal(text, layout=True))

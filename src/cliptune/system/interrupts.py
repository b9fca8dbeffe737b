"""Ctrl-C that Python loses."""

from __future__ import annotations

import signal
import sys
import threading

__all__ = ["repeat_lost_interrupts"]

_SOON = 0.05


def repeat_lost_interrupts() -> None:
    """Send Ctrl-C again where it was raised in a place that no error can leave.

    Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. In a finaliser, a
    weak reference's callback or one of the garbage collector it cannot go on: Python reports it to
    ``sys.unraisablehook``, and the command would run on as though nobody had pressed a key.
    """
    report = sys.unraisablehook

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Later, since what is raised in this hook is lost as well.
            again = threading.Timer(_SOON, _interrupt_main_thread)
            again.daemon = True
            again.start()
        else:
            report(lost)

    sys.unraisablehook = repeat


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):
        # To that thread itself, so that a call in which it waits ends too.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)

# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C and SIGTERM: an exception at the next place where nothing is half taken; none while things are given back."""

import contextlib
import os
import signal


class Interrupted(KeyboardInterrupt):
    pass


_state = {"held": [], "pending": False}


def _on_signal(*_):
    if not _state["held"]:
        raise Interrupted
    if not _state["pending"]:
        _state["pending"] = True
        # Not by print(): it may have been interrupted itself.
        with contextlib.suppress(OSError):
            os.write(2, f"\nviaduct bench: interrupted; it waits until {_state['held'][-1]}\n".encode())


def install():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)


@contextlib.contextmanager
def deferred(until="the result is there"):
    """A signal waits for the next held()."""
    _state["held"].append(until)
    try:
        yield
    finally:
        _state["held"].pop()


@contextlib.contextmanager
def held(until="what was begun is noted"):
    """Taking something and noting that it must go back are one. A signal counts even where the taking fails."""
    try:
        with deferred(until):
            yield
    finally:
        if _state["pending"] and not _state["held"]:
            _state["pending"] = False
            raise Interrupted

# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C and SIGTERM: an exception at the next place where nothing is half taken; none while things are given back."""

import contextlib
import signal


class Interrupted(KeyboardInterrupt):
    pass


_state = {"held": 0, "pending": False}


def _on_signal(*_):
    if _state["held"]:
        _state["pending"] = True
        return
    raise Interrupted


def install():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)


@contextlib.contextmanager
def held():
    """Taking something and noting that it must go back are one."""
    _state["held"] += 1
    try:
        yield
    finally:
        _state["held"] -= 1
    if _state["pending"] and not _state["held"]:
        _state["pending"] = False
        raise Interrupted

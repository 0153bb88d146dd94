# SPDX-License-Identifier: BSD-3-Clause
"""Processes that do not outlive this one, however it ends: a backend that polls would do so for ever."""

import ctypes
import os

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def with_us(number, first=None):
    """For preexec_fn: the kernel sends it that signal when we are gone. first: called before, since a change of user undoes it."""
    ours = os.getpid()

    def child():
        if first:
            first()
        if _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != ours:
            os._exit(1)
    return child

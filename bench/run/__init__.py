# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios of `viaduct bench`: what is measured, how, and how the host gets everything back."""


class BenchError(Exception):
    """Its text says what to do next."""


class TrialError(BenchError):
    """A process or a guest that measures has ended or does not answer: what was measured before stays."""

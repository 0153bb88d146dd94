# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios of `viaduct bench`: what is measured, how, and how the host gets everything back."""


from report.schema import clean


class BenchError(Exception):
    """Its text says what to do next. It may repeat what a guest said: of that nothing is left that a terminal would obey."""

    def __init__(self, text):
        super().__init__("\n".join(clean(line) for line in str(text).splitlines()))


class TrialError(BenchError):
    """A process or a guest that measures has ended or does not answer: what was measured before stays."""


class LinkError(TrialError):
    """The generator's port has no link: what is lost is nobody's fault that is measured."""

# SPDX-License-Identifier: BSD-3-Clause
"""The report of `viaduct bench`: a result file checked, shown and compared."""

from .schema import ReportError, check, parse, read
from .text import text

__all__ = ["ReportError", "check", "parse", "read", "text"]

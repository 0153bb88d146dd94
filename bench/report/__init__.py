# SPDX-License-Identifier: BSD-3-Clause
"""The report of `viaduct bench`: a result file checked, shown and compared."""

from .differ import compare, compared
from .page import html
from .picture import png
from .schema import ReportError, check, parse, read
from .terminal import text

__all__ = ["ReportError", "check", "compare", "compared", "html", "parse", "png", "read", "text"]

# SPDX-License-Identifier: BSD-3-Clause
"""Drives viaduct inside the virtual host as an operator would: its daemon, its command, a guest's
console, and a peer at the other end of the cable. The quick start and the lab tests share it."""


class OperateError(Exception):
    """A step that did not do what it should; the text is for the person who watches."""

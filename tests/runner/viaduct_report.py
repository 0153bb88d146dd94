# SPDX-License-Identifier: BSD-3-Clause
"""A pytest plugin that writes each case's outcome as a line of JSON the moment it is known.

A report written at the end is lost when the virtual host dies half-way; this one is not.
Loaded by the test runner with -p viaduct_report --viaduct-results FILE.
"""

import json
import os

OUT = None
SETUP = {}  # case -> seconds of its fixtures, until its own are known


def pytest_addoption(parser):
    parser.addoption("--viaduct-results", help="file to append outcomes to, one JSON object a line")


def pytest_configure(config):
    global OUT
    name = config.getoption("--viaduct-results")
    OUT = open(name, "a", encoding="utf-8") if name else None


def _write(**row):
    if OUT is None:
        return
    OUT.write(json.dumps(row) + "\n")
    OUT.flush()
    os.fsync(OUT.fileno())


def _skip_reason(report):
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return getattr(report, "wasxfail", "") or str(report.longrepr)


def _text(report):
    parts = [report.longreprtext] + [f"[{name}]\n{text}" for name, text in report.sections]
    return "\n".join(parts)


def pytest_collection_finish(session):
    for item in session.items:
        host, timeout = item.get_closest_marker("host"), item.get_closest_marker("timeout")
        _write(
            kind="collected",
            name=item.nodeid,
            outside=item.get_closest_marker("outside") is not None,
            hosts=list(host.args) if host else None,
            timeout=timeout.args[0] if timeout and timeout.args else None,
        )


def pytest_collectreport(report):
    if report.failed:
        _write(kind="result", name=report.nodeid, outcome="failed", detail=_text(report))
    elif report.skipped:
        _write(kind="result", name=report.nodeid, outcome="skipped", detail=_skip_reason(report))


def pytest_runtest_logreport(report):
    # A case passes in its call; it can fail in any phase, and a fault in teardown after a
    # passed call is a result of its own.
    # Its time has that of its fixtures in it: they are made anew or first here.
    name = report.nodeid
    if report.when == "setup":
        SETUP[name] = report.duration
    seconds = report.duration + (SETUP.pop(name, 0) if report.when == "call" else 0)
    if report.skipped:
        _write(kind="result", name=name, outcome="skipped", seconds=seconds,
               detail=_skip_reason(report))
    elif report.failed:
        if report.when == "teardown":
            name += " (teardown)"
        _write(kind="result", name=name, outcome="failed", seconds=seconds, detail=_text(report))
    elif report.when == "call":
        _write(kind="result", name=name, outcome="passed", seconds=seconds)

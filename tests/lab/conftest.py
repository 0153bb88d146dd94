# SPDX-License-Identifier: BSD-3-Clause
"""The hooks and fixtures of lab cases."""

import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from labcases import (  # noqa: E402,F401
    build_dir, pytest_addoption, pytest_collection_modifyitems, scratch,
)
from labkit import daemon, far, folder, pf, ports  # noqa: E402,F401

VMM_LOGS = pathlib.Path("/run/viaduct/vm")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What VMs said during a failed case: those of a fixture that outlives the case have told it nowhere yet."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for log in sorted(VMM_LOGS.glob("*/vmm.log")):
            with contextlib.suppress(OSError):  # it ends meanwhile
                if log.stat().st_mtime < call.start:
                    continue
                report.sections.append((f"{log} at the failure", log.read_text("utf-8", "replace")[-4000:]))

# SPDX-License-Identifier: BSD-3-Clause
"""Cases that take too long for every day. They keep the conventions of tests/lab, whose hooks, hosts,
fixtures and modules they use."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))
from labcases import (  # noqa: E402,F401
    build_dir, pytest_addoption, pytest_collection_modifyitems, scratch,
)
from labkit import daemon, far, folder, pf, ports  # noqa: E402,F401

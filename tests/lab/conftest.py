# SPDX-License-Identifier: BSD-3-Clause
"""The hooks and fixtures of lab cases."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from labcases import (  # noqa: E402,F401
    build_dir, pytest_addoption, pytest_collection_modifyitems, scratch,
)
from labkit import daemon, far, folder, pf, ports  # noqa: E402,F401

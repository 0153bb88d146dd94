# SPDX-License-Identifier: BSD-3-Clause
"""The hostile guest for five minutes."""

import os

os.environ.setdefault("VIADUCT_HOSTILE_SECONDS", "300")

from test_vm_hostile import (  # noqa: E402,F401
    image, test_hostile_guest_harms_only_itself, test_hostile_guest_without_a_daemon,
)

# SPDX-License-Identifier: BSD-3-Clause
"""The firmware of another Debian than this one, unpacked in the cache: what is booted must not depend on one build of OVMF."""

import os
import shutil
import tempfile

from vlab import pool

# Debian 13's.
PACKAGE = "main/e/edk2/ovmf_2025.02-8+deb13u1_all.deb"
SHA256 = "78e0d54df11fc77406cb7a0bc9a39e5bca6d1cbe06556b91d9a73491c52decdf"
FOLDER = "ovmf-2025.02"


def folder(cache_dir):
    """Where OVMF_CODE_4M.fd and OVMF_VARS_4M.fd are, or will be."""
    return os.path.join(cache_dir, FOLDER)


def ensure(cache_dir, say):
    """Fetches the package from the machine's own mirrors, once."""
    target = folder(cache_dir)
    if os.path.exists(os.path.join(target, "OVMF_CODE_4M.fd")):
        return
    say(f"fetching {os.path.basename(PACKAGE)}")
    with tempfile.TemporaryDirectory(dir=cache_dir) as work:
        pool.unpack(PACKAGE, SHA256, work)
        new = os.path.join(work, "new")
        os.mkdir(new)
        for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
            shutil.copy(os.path.join(work, "usr/share/OVMF", name), new)
        os.chmod(new, 0o755)
        os.rename(new, target)

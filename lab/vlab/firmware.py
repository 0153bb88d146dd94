# SPDX-License-Identifier: BSD-3-Clause
"""The firmware of another Debian than this one, unpacked in the cache: what is booted must not depend on one build of OVMF."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from vlab import LabError

# Debian 13's. A pool keeps a version as long as its release has it; then this is the place to name the next.
PACKAGE = "ovmf_2025.02-8+deb13u1_all.deb"
SHA256 = "78e0d54df11fc77406cb7a0bc9a39e5bca6d1cbe06556b91d9a73491c52decdf"
POOL = "pool/main/e/edk2"
FOLDER = "ovmf-2025.02"
TIMEOUT_S = 60


def folder(cache_dir):
    """Where OVMF_CODE_4M.fd and OVMF_VARS_4M.fd are, or will be."""
    return os.path.join(cache_dir, FOLDER)


def ensure(cache_dir, say):
    """Fetches the package from the machine's own mirrors, once."""
    target = folder(cache_dir)
    if os.path.exists(os.path.join(target, "OVMF_CODE_4M.fd")):
        return
    say(f"fetching {PACKAGE}")
    with tempfile.TemporaryDirectory(dir=cache_dir) as work:
        deb = os.path.join(work, PACKAGE)
        with open(deb, "wb") as f:
            f.write(_download())
        subprocess.run(["dpkg-deb", "-x", deb, work], check=True)
        new = os.path.join(work, "new")
        os.mkdir(new)
        for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
            shutil.copy(os.path.join(work, "usr/share/OVMF", name), new)
        os.chmod(new, 0o755)
        os.rename(new, target)


def _mirrors():
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                            "Origin: Debian", "Component: main"], stdout=subprocess.PIPE, text=True, check=True)
    return [uri for uri in dict.fromkeys(shown.stdout.split()) if uri.startswith("http")]


def _download():
    said = []
    for mirror in _mirrors():
        url = f"{mirror.rstrip('/')}/{POOL}/{PACKAGE}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
                data = reply.read()
        except (urllib.error.URLError, OSError) as e:
            said.append(f"{url}: {e}")
            continue
        if hashlib.sha256(data).hexdigest() == SHA256:
            return data
        said.append(f"{url}: not the package that is expected")
    raise LabError("; ".join(said) or "apt knows no Debian mirror")

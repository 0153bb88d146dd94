# SPDX-License-Identifier: BSD-3-Clause
"""A package of another Debian than this one, from the machine's own mirrors."""

import hashlib
import os
import subprocess
import urllib.error
import urllib.request

from vlab import LabError

TIMEOUT_S = 60


def unpack(path, sha256, work):
    """Fetches the package at PATH of the pool and unpacks it in the folder `work`. A pool keeps a version as long as its
    release has it; then the caller is the place to name the next."""
    deb = os.path.join(work, os.path.basename(path))
    with open(deb, "wb") as f:
        f.write(_download(path, sha256))
    subprocess.run(["dpkg-deb", "-x", deb, work], check=True)
    os.unlink(deb)


def _mirrors():
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                            "Origin: Debian", "Component: main"], stdout=subprocess.PIPE, text=True, check=True)
    return [uri for uri in dict.fromkeys(shown.stdout.split()) if uri.startswith("http")]


def _download(path, sha256):
    said = []
    for mirror in _mirrors():
        url = f"{mirror.rstrip('/')}/pool/{path}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:
                data = reply.read()
        except (urllib.error.URLError, OSError) as e:
            said.append(f"{url}: {e}")
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        said.append(f"{url}: not the package that is expected")
    raise LabError("; ".join(said) or "apt knows no Debian mirror")

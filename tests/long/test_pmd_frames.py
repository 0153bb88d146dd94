# SPDX-License-Identifier: BSD-3-Clause
"""10^9 frames between two guests, each compared whole (tests/component/test_pmd_frames.py, which sends fewer every day)."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = pathlib.Path(os.environ.get("VIADUCT_BUILD_ROOT") or TOP / "build")
FRAMES = os.environ.get("VIADUCT_FRAMES", "1e9")
SECONDS = 6 * 3600


@pytest.mark.outside
@pytest.mark.timeout(SECONDS)
def test_a_thousand_million_frames():
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-c", TOP / "tests/pytest.ini", "-o",
         "addopts=", TOP / "tests/component/test_pmd_frames.py"],
        env={**os.environ, "VIADUCT_FRAMES": FRAMES, "VIADUCT_BUILD": str(ROOT / "release")}, cwd=TOP,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0
    assert sum(int(n) for n in re.findall(r": (\d+) frames in ", done.stdout)) >= float(FRAMES)

# SPDX-License-Identifier: BSD-3-Clause
"""tests/component/test_api_fuzz.py for five minutes; each run has another seed and prints it."""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.outside
@pytest.mark.timeout(900)
def test_api_fuzz():
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-o", "addopts=", "--timeout=800",
         TOP / "tests/component/test_api_fuzz.py"], env={"VIADUCT_API_FUZZ_SECONDS": "300", **os.environ}, cwd=TOP,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0

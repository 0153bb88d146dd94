# SPDX-License-Identifier: BSD-3-Clause
"""viaduct-pmd killed 200 times under checked traffic on both kinds of ring: in tests/component as often as time allows."""

import os
import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
KILLS = 200


@pytest.mark.outside
@pytest.mark.timeout(1800)
def test_killed_200_times():
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-o", "addopts=", "--timeout=1700",
         TOP / "tests/component/test_pmd.py", "-k", "killed_under_traffic"],
        env={**os.environ, "VIADUCT_KILLS": str(KILLS), "VIADUCT_KILL_SECONDS": "1500"}, cwd=TOP,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0
    assert int(re.search(r"killed (\d+) times", done.stdout)[1]) == KILLS

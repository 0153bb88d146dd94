# SPDX-License-Identifier: BSD-3-Clause
"""Result files changed at random for ten minutes (tests/component/test_bench_compare.py, which does so for ten seconds every day)."""

import os
import pathlib
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("VIADUCT_REPORT_SECONDS", "600"))


@pytest.mark.outside
@pytest.mark.timeout(2 * SECONDS + 300)
def test_mutated_results_for_long():
    seed = os.environ.get("VIADUCT_REPORT_SEED") or str(int.from_bytes(os.urandom(4), "big"))
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", TOP / "tests/pytest.ini", "-o", "addopts=",
         "-o", f"timeout={2 * SECONDS + 240}", TOP / "tests/component/test_bench_compare.py", "-k", "mutated"],
        env={**os.environ, "VIADUCT_REPORT_SECONDS": str(SECONDS), "VIADUCT_REPORT_SEED": seed}, cwd=TOP,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"VIADUCT_REPORT_SEED={seed}"

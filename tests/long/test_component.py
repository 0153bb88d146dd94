# SPDX-License-Identifier: BSD-3-Clause
"""Cases of tests/component for longer, or more often, than every day has time for. What a row sets, the environment may set otherwise."""

import dataclasses
import os
import pathlib
import random
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = pathlib.Path(os.environ.get("VIADUCT_BUILD_ROOT") or TOP / "build")
HOUR = 3600


@dataclasses.dataclass
class Row:
    file: str
    pattern: str  # of the cases; "": all of the file
    seconds: int  # the most that it may take
    env: dict
    build: str = "asan"
    counted: tuple = ()  # (what is said of a part, with a number in it; the variable that says how many there must be in all)


ROWS = {
    "api_fuzz": Row("test_api_fuzz.py", "", 900, {"VIADUCT_API_FUZZ_SECONDS": 300, "VIADUCT_API_FUZZ_SEED": random.randrange(1 << 32)}),
    "mutated_results": Row("test_bench_compare.py", "mutated", HOUR,
                           {"VIADUCT_REPORT_SECONDS": 600, "VIADUCT_REPORT_SEED": random.randrange(1 << 32)}),
    "a_thousand_million_frames": Row("test_pmd_frames.py", "", 6 * HOUR, {"VIADUCT_FRAMES": "1e9"}, "release",
                                     (r": (\d+) frames in ", "VIADUCT_FRAMES")),
    "pmd_killed_200_times": Row("test_pmd.py", "killed_under_traffic", 1800, {"VIADUCT_KILLS": 200, "VIADUCT_KILL_SECONDS": 1500}, "asan",
                                (r"killed (\d+) times", "VIADUCT_KILLS")),
    "ten_thousand_pairs": Row("test_vf_race.py", "two_clients", 900, {"VIADUCT_RACE_PAIRS": 10000}, "asan",
                              (r"(\d+) pairs", "VIADUCT_RACE_PAIRS")),
}


@pytest.mark.outside
@pytest.mark.timeout(6 * HOUR + 60)
@pytest.mark.parametrize("name", ROWS)
def test_more_of(name):
    row = ROWS[name]
    env = {**{key: str(value) for key, value in row.env.items()}, **os.environ, "VIADUCT_BUILD": str(ROOT / row.build)}
    done = subprocess.run(
        ["/usr/bin/python3", "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-c", TOP / "tests/pytest.ini",
         f"--timeout={row.seconds}", TOP / "tests/component" / row.file, "-k", row.pattern],
        env=env, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, {key: env[key] for key in row.env}
    if row.counted:
        said, key = row.counted
        assert sum(int(n) for n in re.findall(said, done.stdout)) >= float(env[key])

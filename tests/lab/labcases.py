# SPDX-License-Identifier: BSD-3-Clause
"""What the conftests of tests/lab and tests/long share: the cases that belong to the machine that pytest
runs on, and where that machine's files are."""

import os
import pathlib

import pytest

from hosts import DEFAULT, HOSTS

TOP = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption(
        "--viaduct-host",
        help="run the cases of this virtual host; 'outside': those that boot hosts themselves;"
        " 'all': everything (to collect). Without it: by where pytest runs",
    )


def hosts_of(item):
    mark = item.get_closest_marker("host")
    names = list(mark.args) if mark else [DEFAULT]
    for name in names:
        if name not in HOSTS:
            raise pytest.UsageError(f"{item.nodeid}: no host {name!r} in tests/lab/hosts.py")
    return names


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--viaduct-host")
    if wanted == "all":
        return
    if not wanted:
        wanted = DEFAULT if os.environ.get("VIADUCT_LAB") else "outside"
    keep, drop = [], []
    for item in items:
        outside = item.get_closest_marker("outside") is not None
        fits = outside if wanted == "outside" else not outside and wanted in hosts_of(item)
        (keep if fits else drop).append(item)
    config.hook.pytest_deselected(items=drop)
    items[:] = keep


@pytest.fixture(scope="session")
def scratch():
    """The folder that survives the virtual host's run."""
    name = os.environ.get("VIADUCT_LAB_SCRATCH")
    if not name:
        pytest.fail("VIADUCT_LAB_SCRATCH is not set: this case runs inside lab/run")
    return pathlib.Path(name)


@pytest.fixture(scope="session")
def build_dir():
    """The folder with the built programs."""
    return pathlib.Path(os.environ.get("VIADUCT_BUILD") or TOP / "build/release")

# SPDX-License-Identifier: BSD-3-Clause
"""What mends the emulator: made for the versions that it was tried with, once; where it does not fit, that is known."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lab"))
from vlab import emulator, machine  # noqa: E402


def test_it_is_made_once_for_an_emulator_that_it_fits(tmp_path):
    version = machine.qemu_version()
    if version[:2] not in emulator.TRIED:
        pytest.skip(f"not tried with {version}")
    said = []
    library = emulator.ensure(tmp_path, machine.QEMU, version, said.append)
    assert library and not said
    made = pathlib.Path(library).stat().st_mtime_ns
    assert emulator.ensure(tmp_path, machine.QEMU, version, said.append) == library
    assert pathlib.Path(library).stat().st_mtime_ns == made
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".so"]


def test_what_a_device_writes_to_a_descriptor_is_written_once(tmp_path):
    """A driver that polls would have its own descriptor undone by the second time, and its ring stand still."""
    version = machine.qemu_version()
    if version[:2] not in emulator.TRIED:
        pytest.skip(f"not tried with {version}")
    program = tmp_path / "store_count"
    source = pathlib.Path(__file__).resolve().parents[1] / "fake/store_count.c"
    subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-o", program, source], check=True)
    library = emulator.ensure(tmp_path, machine.QEMU, version, print)
    out = subprocess.run([program, "2", "4", "8", "16", "3", "64", "1500"], env={**os.environ, "LD_PRELOAD": library}, check=True,
                         capture_output=True, text=True).stdout
    lines = out.splitlines()
    assert lines[:4] == ["2 once right", "4 once right", "8 once right", "16 once right"]
    assert [line.split()[2] for line in lines[4:]] == ["right"] * 3


@pytest.mark.parametrize("version", [(7, 2, 1), (10, 1, 0), (11, 0, 0)])
def test_a_version_that_it_was_not_tried_with_is_left_alone(version, tmp_path):
    said = []
    assert emulator.ensure(tmp_path, machine.QEMU, version, said.append) is None
    assert ".".join(map(str, version)) in said[0] and not list(tmp_path.iterdir())


def test_that_it_does_not_fit_is_remembered(tmp_path, monkeypatch):
    said = []
    other = shutil.which("true")
    assert emulator.ensure(tmp_path, other, emulator.TRIED[0], said.append) is None
    # Nothing is compiled or run the second time.
    monkeypatch.setattr(emulator.subprocess, "run", None)
    assert emulator.ensure(tmp_path, other, emulator.TRIED[0], said.append) is None
    assert len(said) == 2 and all(f"{other} is not what it is made for" in text for text in said)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".no"]

# SPDX-License-Identifier: BSD-3-Clause
"""The virtual host itself: what lab/README.md promises to those who write cases."""

import os
import pathlib
import signal
import subprocess
import time

import pytest
from labkit import cli, cli_json, eventually, vmfile
from operate.console import Console

TOP = pathlib.Path(__file__).resolve().parents[2]
PCI = pathlib.Path("/sys/bus/pci/devices")
NET = pathlib.Path("/sys/class/net")


def ctl(*words):
    return subprocess.run([TOP / "lab/ctl", *words], capture_output=True, text=True, check=False)


def kernel_log():
    return subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout


def carrier(name):
    return (NET / name / "carrier").read_text().strip()


def test_remapping_is_on():
    log = kernel_log()
    assert "DMAR-IR: Enabled IRQ remapping" in log
    assert "Nested Paging enabled" in log or "kvm_intel" in pathlib.Path("/proc/modules").read_text()


@pytest.mark.host("no-intremap")
def test_no_intremap_remaps_dma_only():
    log = kernel_log()
    assert "DMAR: IOMMU enabled" in log
    assert "Enabled IRQ remapping" not in log
    assert any(pathlib.Path("/sys/kernel/iommu_groups").iterdir())


@pytest.mark.host("unsafe-interrupts")
def test_boot_argument_reaches_module():
    value = pathlib.Path("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts")
    assert value.read_text().strip() == "Y"


def test_cards():
    ids = {name: ((PCI / name / "vendor").read_text() + (PCI / name / "device").read_text()).split()
           for name in ("0000:01:00.0", "0000:02:00.0", "0000:04:00.0")}
    assert ids["0000:01:00.0"] == ids["0000:02:00.0"] == ["0x8086", "0x10c9"]
    assert ids["0000:04:00.0"] == ["0x8086", "0x10d3"]
    assert int((PCI / "0000:03:00.0" / "sriov_totalvfs").read_text()) == 4


@pytest.mark.host("numa")
def test_pfs_are_on_two_nodes():
    assert [(NET / p / "device/numa_node").read_text().strip() for p in ("pf0", "pf1")] == ["0", "1"]


def test_cable_is_pulled_from_inside(far):
    assert far.dev == "pf1"
    far.wait_carrier()
    try:
        assert ctl("link", "pf1", "down").returncode == 0
        far.wait_carrier(up=False)
        assert carrier("pf0") == "1"
        assert ctl("link", "cable", "down").returncode == 0
        eventually(lambda: carrier("pf0") == "0")
    finally:
        ctl("link", "cable", "up")
    far.wait_carrier()
    eventually(lambda: carrier("pf0") == "1")


def test_control_has_its_verbs_only():
    for words in (["quit"], ["link", "pf1"], ["link", "pf9", "up"], ["unplug", "ports"], ["unplug", "nvme0"],
                  ["aer", "pf0", "cosmic"], ["system_reset"], ["x" * 5000]):
        done = ctl(*words)
        assert done.returncode in (1, 2) and "lab/ctl:" in done.stderr, (words, done)


def test_error_reaches_the_drivers():
    assert ctl("aer", "nic0").returncode == 0
    eventually(lambda: "pcieport 0000:00:05.0: AER: device recovery successful" in kernel_log())
    eventually(lambda: carrier("nic0") == "1")


def test_module_is_found_by_name():
    subprocess.run(["modprobe", "dummy"], check=True)
    subprocess.run(["rmmod", "dummy"], check=True)


@pytest.mark.host("default", "icount")
def test_no_interrupt_is_taken_twice(daemon, folder, build_dir):
    """What lab/emulator mends: without it a guest's handler finds itself running."""
    cli("vm", "run", str(vmfile.write(folder, "ticks", memory="64M", kernel=build_dir / "tests/guest/ticks/ticks")))
    try:
        console = Console(cli_json("vm", "console", "ticks")["socket"])
        assert console.wait_for(r"TICKS (\w+)\n", 120).group(1) == "whole"
        console.close()
    finally:
        cli("vm", "kill", "ticks")


def emulators_of(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True,
                         check=False)
    return [int(word) for word in out.stdout.split()]


def lab_run(*words, **options):
    return subprocess.run([TOP / "lab/run", *words], capture_output=True, text=True, check=False,
                          **options)


@pytest.mark.outside
def test_outside_output_status_and_scratch(tmp_path):
    subprocess.run([TOP / "lab/setup-cache"], check=True, capture_output=True)
    scratch = tmp_path / "scratch"
    script = 'echo out; echo err >&2; pwd; echo kept >"$VIADUCT_LAB_SCRATCH/f"; echo >lost; exit 7'
    done = lab_run("--scratch", scratch, "--", "sh", "-c", script, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"out\n{tmp_path}\n", "err\n")
    assert (scratch / "f").read_text() == "kept\n"
    assert not (tmp_path / "lost").exists()


@pytest.mark.outside
def test_outside_timeout_is_124():
    done = lab_run("--timeout", "1", "--", "sleep", "100")
    assert done.returncode == 124 and "still running" in done.stderr, done


@pytest.mark.outside
def test_outside_panic_is_125_with_console():
    done = lab_run("--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 20")
    assert done.returncode == 125 and "Kernel panic" in done.stderr, done


@pytest.mark.outside
def test_outside_no_boot_is_125():
    done = lab_run("--boot-timeout", "1", "--", "true")
    assert done.returncode == 125 and done.stderr.count("was not up") == 2, done
    assert "booting it once more" in done.stderr, done


@pytest.mark.outside
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_outside_signal_leaves_no_emulator(number):
    with subprocess.Popen([TOP / "lab/run", "--", "sleep", "100"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as proc:
        eventually(lambda: emulators_of(proc.pid))
        time.sleep(1)
        emulators = emulators_of(proc.pid)
        proc.send_signal(number)
        status = proc.wait(60)
    assert status == (-number if number == signal.SIGKILL else 128 + number)
    for pid in emulators:
        eventually(lambda pid=pid: not os.path.exists(f"/proc/{pid}/exe"))


@pytest.mark.outside
def test_outside_emulator_abort_is_125():
    with subprocess.Popen([TOP / "lab/run", "--boots", "1", "--", "sleep", "100"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as proc:
        eventually(lambda: emulators_of(proc.pid))
        time.sleep(1)
        os.kill(emulators_of(proc.pid)[0], signal.SIGABRT)
        err = proc.communicate(timeout=60)[1]
    assert proc.returncode == 125 and "SIGABRT" in err, err


@pytest.mark.outside
def test_outside_host_that_stands_still_is_125():
    """An emulator that neither ends nor goes on is the host's death, not the command's."""
    with subprocess.Popen([TOP / "lab/run", "--life-timeout", "15", "--", "sh", "-c", "echo up; sleep 100"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as proc:
        assert proc.stdout.readline() == "up\n"
        os.kill(emulators_of(proc.pid)[0], signal.SIGSTOP)
        err = proc.communicate(timeout=60)[1]
    assert proc.returncode == 125 and "no sign of life" in err, err

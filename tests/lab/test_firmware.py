# SPDX-License-Identifier: BSD-3-Clause
"""Stock OVMF, of this Debian and of the next, up to a guest's init: with a VF and by the daemon, and with a reset.

In deterministic time: OVMF writes CR8, at which the emulator dies in wall-clock time."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pytest
from labkit import Guest, cli, cli_json, mac_of
from operate.host import guest_kernel
from vmmdrive import Vmm

TOP = pathlib.Path(__file__).resolve().parents[2]
IMAGE = 0x84000
SCRIPT = """\
echo "uptime $(cut -d' ' -f1 /proc/uptime) cpus $(grep -c ^processor /proc/cpuinfo)"
[ -d /sys/firmware/efi ] && echo "started by EFI"
dmesg | grep -q 'efi:.*RNG=0x' && echo "seeded by EFI"
dmesg | grep -iE 'BIOS bug|ACPI.*error|no compatible bridge window|BAR.*failed|not reserved' | sed 's/^/LOG /'
echo "script runs"
while read -r line; do eval "$line"; done
"""


def next_ovmf():
    """The folder of the next Debian's firmware, which scripts/setup fetches."""
    found = subprocess.run([TOP / "lab/setup-cache", "--print", "ovmf"], check=True, text=True, capture_output=True)
    folder = pathlib.Path(found.stdout.strip())
    if not (folder / "OVMF_CODE_4M.fd").exists():
        pytest.skip("the next Debian's ovmf is not in the cache: scripts/setup fetches it")
    return folder


@pytest.mark.host("icount")
@pytest.mark.timeout(420)
def test_a_vm_with_a_vf_starts_in_ovmf(pf, folder):
    """`boot: {firmware: ovmf}` with the package of this Debian; the firmware places the VF."""
    begin = time.monotonic()
    with Guest(folder, "uefi", [f'name: wan, pf: "{pf}", mac: "{mac_of(7)}"'], kernel=guest_kernel(), memory="384M",
               firmware="ovmf") as guest:
        ready = time.monotonic() - begin
        uptime = float(guest.run("cut -d' ' -f1 /proc/uptime"))
        print(f"OVMF of this Debian: kernel entered about {ready - uptime:.2f} s after `vm run`, init at {ready:.2f} s")
        shown = guest.show()["firmware"]
        assert guest.run("ls -d /sys/firmware/efi").strip() == "/sys/firmware/efi"
        assert guest.run("cat /sys/class/dmi/id/product_uuid").strip().lower() == shown["uuid"]
        assert guest.run("cat /sys/class/dmi/id/sys_vendor /sys/class/dmi/id/product_serial").split() == ["viaduct", "uefi"]
        assert guest.run("cat /sys/class/net/eth0/address").strip() == mac_of(7)
        assert "igbvf" in guest.run("readlink /sys/class/net/eth0/device/driver")
        assert not guest.run("dmesg | grep -iE 'can.t assign|failed to assign|no compatible bridge' || true").strip()
        # The firmware drives the entropy device, and the kernel's EFI stub has taken a seed of it (EFI_RNG_PROTOCOL).
        assert "RNG=0x" in guest.run("dmesg | grep efi:")
        # The firmware has stored its variables, and they are not what the package has.
        assert shown["state"] == "stored" and shown["error"] is None
        image = pathlib.Path(shown["vars"]).read_bytes()[:IMAGE]
        assert image != pathlib.Path(shown["code"].replace("CODE", "VARS")).read_bytes()
        assert image[0x28:0x2C] == b"_FVH"
        timer = {r["name"]: r["reads"] for r in cli_json("vm", "stats", "uefi")["regions"]}["power management"]
        print(f"power management registers read {timer} times")
        cli("vm", "stop", "uefi")
        assert cli_json("vm", "show", "uefi")["exit"]["reason"] == "poweroff"
    cli("vm", "delete", "uefi")
    assert not pathlib.Path(shown["vars"]).exists()


@pytest.mark.host("icount")
@pytest.mark.timeout(420)
def test_the_next_debians_ovmf_resets_and_powers_off(build_dir):
    """Through the firmware twice; its variables outlive the reset. One vCPU: two take this host ten times as long."""
    source = next_ovmf()
    tmp_path = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))  # what is read over 9p costs seconds of an idle clock
    script, initrd, variables = tmp_path / "script", tmp_path / "guest.cpio", tmp_path / "vars.fd"
    script.write_text(SCRIPT)
    subprocess.run([TOP / "lab/guest-image", "--script", script, "-o", initrd], check=True)
    variables.write_bytes((source / "OVMF_VARS_4M.fd").read_bytes() + bytes(IMAGE + 4096))
    tmp_path.chmod(0o755)
    code = shutil.copy(source / "OVMF_CODE_4M.fd", tmp_path)
    kernel = shutil.copy(guest_kernel(), tmp_path)  # before there is a VMM, which waits 30 s for its launch message
    with Vmm(str(build_dir / "vmm/viaduct-vmm")) as vmm:
        console = vmm.console()
        spec = vmm.spec(mem_mib=256, cmdline="console=ttyS0 quiet mitigations=off reboot=pci",
                        uuid="01234567-89ab-cdef-0123-456789abcdef", rng=True)
        begin = time.monotonic()
        vmm.launch(spec, kernel, initrd, firmware=(code, variables))
        for boot in range(2):
            at = len(console.seen)
            assert console.wait("script runs", 120, at), console.seen[-2000:]
            seen, ready = console.seen[at:], time.monotonic() - begin
            uptime, cpus = re.search(r"uptime ([0-9.]+) cpus ([0-9]+)", seen).groups()
            print(f"OVMF of the next Debian, boot {boot}: kernel entered after {ready - float(uptime):.2f} s, "
                  f"init at {ready:.2f} s")
            assert cpus == "1" and "started by EFI" in seen and "seeded by EFI" in seen and "LOG" not in seen
            begin = time.monotonic()
            console.write("reboot -f\n" if boot == 0 else "poweroff -f\n")
        assert vmm.wait(60) == 0
        record = vmm.record()
        assert record["reason"] == "poweroff" and record["life"]["resets"] == {"port-cf9": 1}
        after = variables.read_bytes()
    assert after[:IMAGE] != (source / "OVMF_VARS_4M.fd").read_bytes() and after[0x28:0x2C] == b"_FVH"
    assert after[IMAGE:IMAGE + 16] == bytes(16), "the journal is void: all of it is in the image"
    shutil.rmtree(tmp_path)

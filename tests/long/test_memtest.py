# SPDX-License-Identifier: BSD-3-Clause
"""memtest86+ of Debian 13, by stock OVMF and GRUB from a disk: it finds the VM's memory, tests it and finds no error."""

import pathlib
import re
import shutil
import tempfile

import pytest
from diskkit import Blocks
from flashkit import FIRMWARE_VARS, IMAGE
from machinekit import debian_disk
from operate.console import Console
from vmmdrive import Vmm

ESCAPES = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")
BOOT_S = 300


@pytest.mark.host("icount")
@pytest.mark.timeout(900)
def test_memtest_tests_memory(build_dir):
    folder = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    folder.chmod(0o755)
    disk = debian_disk(folder / "root.raw", "memtest")
    code = shutil.copy(FIRMWARE_VARS.with_name("OVMF_CODE_4M.fd"), folder)
    (folder / "vars.fd").write_bytes(FIRMWARE_VARS.read_bytes() + bytes(IMAGE + 4096))
    with Vmm(str(build_dir / "vmm/viaduct-vmm")) as vmm, \
            Blocks(str(build_dir / "pmd-backends/viaduct-pmd"), str(folder)) as blocks:
        blocks.add("t1/root", str(disk), vmm.disk("root"), queues=1)
        console = Console(vmm.path("console"))
        spec = vmm.spec(mem_mib=256, uuid="01234567-89ab-cdef-0123-456789abcdef", boot={},
                        disks=[{"disk": "root", "queues": 1, "backend_uid": 0, "boot": 1}])
        vmm.launch(spec, None, None, 120, (code, folder / "vars.fd"))
        console.wait_for("BdsDxe: starting", BOOT_S)
        console.wait_for("Memtest86", BOOT_S)
        console.wait_for("Testing", BOOT_S)
        seen = console.wait_for(r"(?s)251MB of 251MB.*Errors: 0 ", BOOT_S).group(0)
        assert not re.search(r"Errors: +[1-9]", ESCAPES.sub(" ", seen))
    shutil.rmtree(folder)

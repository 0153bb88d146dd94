# SPDX-License-Identifier: BSD-3-Clause
"""Images on a stock kernel: imported on a file system without files that have no name, given to a guest, with a seed for cloud-init."""

import os
import pathlib
import subprocess

import pytest
from labkit import Guest, cli, cli_json, refused


@pytest.fixture
def image(tmp_path):
    """A qcow2 of 8 MiB, and what is in it."""
    raw, made = tmp_path / "a.raw", tmp_path / "a.qcow2"
    raw.write_bytes(b"the guest reads this\n" + os.urandom(1 << 20))
    with open(raw, "r+b") as f:
        f.truncate(8 << 20)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
    return raw, made


def test_an_image_is_imported_where_files_must_have_names(image, tmp_path):
    raw, made = image
    folder = pathlib.Path(os.environ["VIADUCT_LAB_SCRATCH"]) / "import"
    folder.mkdir()
    assert "9p" in subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=True).stdout
    cli("image", "import", str(made), "--to", str(folder / "b.raw"), "--verify")
    assert (folder / "b.raw").read_bytes() == raw.read_bytes()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", tmp_path / "evil", "1M"], check=True)
    assert "backing file" in refused("image", "import", str(tmp_path / "evil"), "--to", str(folder / "c.raw"))
    assert "is there already" in refused("image", "import", str(made), "--to", str(folder / "b.raw"))
    assert os.listdir(folder) == ["b.raw"]


@pytest.mark.timeout(420)
def test_a_guest_has_an_imported_disk_and_its_seed(daemon, folder, image):
    _, made = image
    disk, user = folder / "guest.raw", folder / "user.yaml"
    cli("image", "import", str(made), "--to", str(disk))
    user.write_text("#cloud-config\npassword: lab-secret\n")
    extra = [f"disks: [{{path: {disk}, name: root}}]", f"cloud_init: {{user_data: {user}, hostname: lab.example.org}}"]
    with Guest(folder, "seeded", extra=extra) as guest:
        assert "the guest reads this" in guest.run("head -n1 /dev/vda")
        assert "cidata" in guest.run("dd if=/dev/vdb bs=1 skip=43 count=11 2>/dev/null")
        assert "lab-secret" in guest.run("grep -a -m1 password: /dev/vdb")
        assert "lab.example.org" in guest.run("grep -a -m1 local-hostname /dev/vdb")
        assert guest.run("cat /sys/block/vdb/ro").strip() == "1"
        assert cli_json("image", "info", str(disk))["image"]["disks"] == ["seeded/root"]
        assert "lab-secret" not in str(guest.show())

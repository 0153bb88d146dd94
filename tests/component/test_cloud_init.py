# SPDX-License-Identifier: BSD-3-Clause
"""cloud_init of a VM file: the seed as other programs read it, from the process that holds it for the guest."""

import os
import pathlib
import signal
import subprocess

import daemonkit
import pytest
import yaml
from test_vm_disks import host  # noqa: F401

SECRET = "correct-horse-battery-staple"
USER_DATA = f"#cloud-config\npassword: {SECRET}\n"
NETWORK = "version: 2\nethernets: {eth0: {dhcp4: true}}\n"


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def seed_of(host, folder, name="vm1"):  # noqa: F811
    """A copy of what the VMM of a VM holds as its seed."""
    pid = host.vm(name)["pid"]
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(fd).startswith("/memfd:cidata"):
            copy = folder / "seed.copy"
            copy.write_bytes(fd.read_bytes())
            return copy
    return None


def files_of(seed):
    """name -> content, by mtools."""
    listed = subprocess.run(["mdir", "-b", "-i", seed, "::"], capture_output=True, text=True, check=True).stdout.split()
    return {name.removeprefix("::/"): subprocess.run(["mtype", "-i", seed, name], capture_output=True, text=True, check=True).stdout
            for name in listed}


def start(host, folder, more="", name="vm1"):  # noqa: F811
    user, network = written(folder, "user.yaml", USER_DATA), written(folder, "net.yaml", NETWORK)
    disks = f"  - {{path: {host.image()}, name: root}}\n"
    return host.ok(name, disks, extra=f"cloud_init: {{user_data: {user}, network_config: {network}{more}}}\n")


def test_the_seed_is_what_cloud_init_looks_for(host, tmp_path):  # noqa: F811
    vm = start(host, tmp_path, ", hostname: web.example.org")
    assert [disk["name"] for disk in vm["disks"]] == ["root", "cidata"]
    seed = seed_of(host, tmp_path)
    found = subprocess.run(["blkid", "-p", "-o", "export", seed], capture_output=True, text=True, check=True).stdout.split()
    assert "TYPE=vfat" in found and "LABEL=cidata" in found
    checked = subprocess.run(["fsck.fat", "-n", "-v", seed], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    files = files_of(seed)
    meta = yaml.safe_load(files.pop("meta-data"))
    assert files == {"user-data": USER_DATA, "network-config": NETWORK}
    uuid = (host.daemon.state_dir / "firmware/vm1/uuid").read_text().strip()
    assert meta == {"instance-id": uuid, "local-hostname": "web.example.org"}
    assert daemonkit.eventually(lambda: host.served()["vm1/cidata"]["state"] != "locked")
    served = host.served()["vm1/cidata"]
    assert served["readonly"] and served["size"] == seed.stat().st_size


def test_what_it_holds_is_nowhere_else(host, tmp_path):  # noqa: F811
    start(host, tmp_path)
    assert SECRET in files_of(seed_of(host, tmp_path))["user-data"]
    said = host.daemon.text() + host.daemon.cli("vm", "show", "vm1", "--json").stdout + host.daemon.cli("events", "--json").stdout
    assert "cidata" in said and SECRET not in said
    host.daemon.stop()
    for folder in (host.daemon.run_dir, host.daemon.state_dir):
        for path in folder.rglob("*"):
            if path.is_file():
                assert SECRET.encode() not in path.read_bytes(), path
    host.daemon.start()


def test_it_is_made_afresh_and_the_instance_stays(host, tmp_path):  # noqa: F811
    start(host, tmp_path)
    before = files_of(seed_of(host, tmp_path))
    pid = host.vm()["pid"]
    host.kill_all()
    assert daemonkit.eventually(lambda: host.vm()["pid"] is None and not os.path.exists(f"/proc/{pid}"))
    user = written(tmp_path, "user.yaml", "#!/bin/sh\n")
    meta = written(tmp_path, "meta.yaml", "tags: [a]\n")
    host.ok(extra=f"cloud_init: {{user_data: {user}, meta_data: {meta}}}\n", disks=f"  - {{path: {host.image()}}}\n")
    after = files_of(seed_of(host, tmp_path))
    assert after["user-data"] == "#!/bin/sh\n" and "network-config" not in after
    assert yaml.safe_load(after["meta-data"]) == {"tags": ["a"], **yaml.safe_load(before["meta-data"])}
    assert yaml.safe_load(after["meta-data"])["local-hostname"] == "vm1"


def test_a_check_says_that_it_would_be_made(host, tmp_path):  # noqa: F811
    user = written(tmp_path, "user.yaml", USER_DATA)
    file = host.yaml(disks=f"  - {{path: {host.image()}, name: root}}\n", extra=f"cloud_init: {{user_data: {user}, hostname: web}}\n")
    status, reply = host.daemon.request("POST", "/v1/vms/check", {"yaml": file})
    assert status == 200, reply
    assert any("cidata" in step and "cloud-init" in step for step in reply["plan"]), reply["plan"]
    assert reply["spec"]["cloud_init"] == {"user_data": str(user), "meta_data": None, "network_config": None, "hostname": "web"}
    assert SECRET not in str(reply)


def test_it_outlives_the_backend_and_the_daemon(host, tmp_path):  # noqa: F811
    start(host, tmp_path)
    former = host.pmd_pid()
    os.kill(former, signal.SIGKILL)
    assert daemonkit.eventually(lambda: host.pmd_pid() not in (None, former) and "vm1/cidata" in host.served())
    host.daemon.stop(signal.SIGKILL)
    os.kill(host.pmd_pid(), signal.SIGKILL)
    host.daemon.start()
    assert daemonkit.eventually(lambda: "vm1/cidata" in host.served()), host.daemon.text()
    assert host.served()["vm1/cidata"]["readonly"]


@pytest.mark.parametrize("what, code", [("large", "cloud-init-file"), ("list", "cloud-init-meta"), ("link", "symlink"), ("absent", ""),
                                        ("host", "cloud-init-meta"), ("folder", "")])
def test_a_file_that_cannot_be_in_a_seed_is_named_before_the_start(host, tmp_path, what, code):  # noqa: F811
    words = {
        "large": "user_data: FILE", "list": "meta_data: FILE", "link": "user_data: FILE", "absent": "network_config: FILE",
        "host": "hostname: a, meta_data: FILE", "folder": "user_data: FILE",
    }[what]
    path = tmp_path / what
    if what == "large":
        path.write_bytes(bytes((1 << 20) + 1))
    elif what == "link":
        path.symlink_to("/etc/passwd")
    elif what == "folder":
        path.mkdir()
    elif what != "absent":
        path.write_text({"list": "[a, b]\n", "host": "local-hostname: b\n"}[what])
    file = host.yaml(disks=f"  - {{path: {host.image()}}}\n", extra=f"cloud_init: {{{words.replace('FILE', str(path))}}}\n")
    status, reply = host.daemon.request("POST", "/v1/vms/check", {"yaml": file})
    assert status == 400 or status >= 400, reply
    assert reply["error"]["code"] == code and (what in reply["error"]["text"] or what in ("host", "list")), reply
    assert host.daemon.request("GET", "/v1/vms")[1]["vms"] == []

# SPDX-License-Identifier: BSD-3-Clause
"""VMs that start in firmware, as the daemon prepares them: the package's files, and what each VM keeps of its own."""

import json
import os
import re

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_vm import ask, run

IMAGE = 0x84000
WHOLE = 2 * IMAGE + 4096


def yaml(folder, name="vm1", boot="firmware: ovmf"):
    return f"name: {name}\nmemory: {{size: 128M}}\nboot: {{{boot}}}\n".replace("FOLDER", str(folder))


def efi_kernel(folder):
    head = bytearray(4096)
    head[0:2], head[0x202:0x206], head[0x236] = b"MZ", b"HdrS", 0x0F
    (folder / "efi").write_bytes(head)


@pytest.fixture
def stopped_host(stopped_daemon, short_tmp):
    """A viaductd on a host made of files, not started yet; the VMs that it has at the end are killed."""
    daemonkit.setup(stopped_daemon, short_tmp)
    yield stopped_daemon
    for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
        if vm["pid"]:
            stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


@pytest.fixture
def ovmf(stopped_host, short_tmp):
    """The daemon runs, and its firmware lies in a folder of the test's: the folder."""
    folder = short_tmp / "ovmf"
    folder.mkdir()
    (folder / "OVMF_CODE_4M.fd").write_bytes(bytes(0x37C000))
    (folder / "OVMF_VARS_4M.fd").write_bytes(b"fresh" * 108134 + b"..")
    stopped_host.config.write_text(f"firmware: {folder}/OVMF_CODE_4M.fd\n")
    stopped_host.start()
    return folder


def start(host, text, status=200):
    got, body = host.request("POST", "/v1/vms", {"yaml": text})
    assert got == status, body
    return body


def alarms(host):
    return {(a["kind"], a["object"]) for a in host.request("GET", "/v1/alarms")[1]["alarms"]}


def stop(host, name="vm1"):
    assert host.request("POST", f"/v1/vms/{name}/stop", {"timeout_s": 5})[0] == 200


def test_a_vm_keeps_its_variables_and_its_uuid(stopped_host, ovmf, short_tmp):
    host = stopped_host
    vm = start(host, yaml(short_tmp))
    vars_file = host.state_dir / "firmware/vm1/vars.fd"
    assert vm["firmware"]["vars"] == str(vars_file) and vm["firmware"]["code"] == f"{ovmf}/OVMF_CODE_4M.fd"
    assert vm["firmware"]["state"] == "stored" and vm["firmware"]["error"] is None
    uuid = vm["firmware"]["uuid"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    status = ask(host, "vm1", "status")
    assert {"firmware", "vars"} <= set(status["fds"]) and "kernel" not in status["fds"] and status["uuid"] == uuid
    assert vars_file.stat().st_size == WHOLE and vars_file.stat().st_mode & 0o777 == 0o600
    assert vars_file.stat().st_blocks * 512 >= WHOLE
    assert vars_file.read_bytes()[:IMAGE] == (ovmf / "OVMF_VARS_4M.fd").read_bytes()
    assert f"variables in {vars_file} (stored)" in host.cli("vm", "show", "vm1").stdout
    stop(host)
    with vars_file.open("r+b") as f:
        f.write(b"KEPT")
    # A package that has changed meanwhile changes no VM's variables.
    (ovmf / "OVMF_VARS_4M.fd").write_bytes(bytes(IMAGE))
    assert start(host, yaml(short_tmp))["firmware"]["uuid"] == uuid
    assert vars_file.read_bytes()[:4] == b"KEPT"
    other = start(host, yaml(short_tmp, "vm2"))
    assert other["firmware"]["uuid"] != uuid and other["firmware"]["vars"] != str(vars_file)


def test_delete_takes_them_away(stopped_host, ovmf, short_tmp):
    host = stopped_host
    start(host, yaml(short_tmp))
    folder = host.state_dir / "firmware/vm1"
    status, body = host.request("POST", "/v1/vms/vm1/delete", {})
    assert status == 409 and body["error"]["code"] == "vm-state" and folder.exists()
    stop(host)
    assert "VM vm1 is deleted" in host.cli("vm", "delete", "vm1").stdout
    assert not folder.exists() and not (host.run_dir / "vm/vm1").exists()
    assert host.request("GET", "/v1/vms/vm1")[0] == 404
    assert host.request("POST", "/v1/vms/vm1/delete", {})[0] == 404
    # Also those of a VM that nobody knows any more.
    folder.mkdir()
    (folder / "uuid").write_text("x")
    assert host.request("POST", "/v1/vms/vm1/delete", {})[0] == 200 and not folder.exists()


def test_a_kernel_beside_the_firmware(stopped_host, ovmf, short_tmp):
    host = stopped_host
    efi_kernel(short_tmp)
    both = "firmware: ovmf, kernel: FOLDER/efi, cmdline: full"
    vm = start(host, yaml(short_tmp, boot=both))
    assert {"firmware", "vars", "kernel"} <= set(ask(host, "vm1", "status")["fds"])
    assert vm["firmware"]["state"] == "failed" and vm["firmware"]["error"] == "No space left on device"
    assert "(failed: No space left on device)" in host.cli("vm", "show", "vm1").stdout
    assert eventually(lambda: ("firmware-vars", "vm1") in alarms(host)), alarms(host)
    stop(host)
    assert eventually(lambda: ("firmware-vars", "vm1") not in alarms(host))
    start(host, yaml(short_tmp, boot=both))
    body = start(host, yaml(short_tmp, "vm2", "firmware: ovmf, kernel: FOLDER/kernel"), 400)
    assert body["error"]["code"] == "kernel-no-efi"


def test_broken_variables_are_refused_with_what_to_type(stopped_host, ovmf, short_tmp):
    host = stopped_host
    start(host, yaml(short_tmp))
    stop(host)
    vars_file = host.state_dir / "firmware/vm1/vars.fd"
    os.truncate(vars_file, 1000)
    body = start(host, yaml(short_tmp), 409)
    assert body["error"]["code"] == "firmware-vars-broken" and f"rm {vars_file}" in body["error"]["hint"]
    # What an operator copies there: the image alone.
    vars_file.write_bytes(b"mine" * (IMAGE // 4))
    start(host, yaml(short_tmp))
    assert vars_file.stat().st_size == WHOLE and vars_file.read_bytes()[:4] == b"mine"
    stop(host)
    vars_file.unlink()
    vars_file.symlink_to("/etc/passwd")
    assert host.request("POST", "/v1/vms", {"yaml": yaml(short_tmp)})[0] != 200


@pytest.mark.parametrize("name,code,word", [
    ("OVMF_CODE_4M.secboot.fd", "firmware-unfit", "Secure Boot"),
    ("OVMF_CODE_4M.ms.fd", "firmware-unfit", "Secure Boot"),
    ("OVMF_CODE.fd", "firmware-unfit", "1966080 bytes"),
    ("OVMF_CODE_9M.fd", "no-firmware", "No such file"),
])
def test_firmware_that_is_none_is_refused_by_check(stopped_host, short_tmp, name, code, word):
    host = stopped_host
    folder = short_tmp / "ovmf"
    folder.mkdir()
    (folder / "OVMF_CODE_4M.secboot.fd").write_bytes(bytes(0x37C000))
    (folder / "OVMF_CODE_4M.ms.fd").symlink_to("OVMF_CODE_4M.secboot.fd")
    (folder / "OVMF_CODE.fd").write_bytes(bytes(1966080))
    host.config.write_text(f"firmware: {folder}/{name}\n")
    host.start()
    (short_tmp / "vm.yaml").write_text(yaml(short_tmp))
    done = host.cli("vm", "check", short_tmp / "vm.yaml", "--json")
    assert done.returncode != 0
    error = json.loads(done.stdout or done.stderr)["error"]
    assert error["code"] == code and word in error["text"]


def test_nothing_is_left_of_a_start_that_fails(stopped_host, ovmf, short_tmp):
    """The file is whole or not there, and the next start goes on with it."""
    host = stopped_host
    efi_kernel(short_tmp)
    # What a daemon killed while it made them leaves: half a file under the name that is not theirs yet.
    folder = host.state_dir / "firmware/vm1"
    folder.mkdir(parents=True)
    (folder / "vars.fd.new").write_bytes(b"half" * 1000)
    start(host, yaml(short_tmp, boot="firmware: ovmf, kernel: FOLDER/efi, cmdline: fail"), 500)
    assert (folder / "vars.fd").read_bytes()[:IMAGE] == (ovmf / "OVMF_VARS_4M.fd").read_bytes()
    assert sorted(os.listdir(host.state_dir / "firmware/vm1")) == ["uuid", "vars.fd"]
    run(host, short_tmp, "vm2")
    start(host, yaml(short_tmp))

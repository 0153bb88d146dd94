# SPDX-License-Identifier: BSD-3-Clause
"""The small virtio devices of VM files, as the daemon prepares them: what the VMM is told and given, what is shown, and what
a host without the kernel's vsock device says."""

import os
import socket
import stat
import subprocess

import daemonkit
import pytest
from test_daemon_vm import ask, show


def run(host, folder, extra="", status=200, name="vm1"):
    got, body = host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(folder, name, extra=extra)})
    assert got == status, body
    return body


def type_into(host, text):
    """viaduct vm console with that as its input."""
    return subprocess.run([host.program("viaduct"), "vm", "console", "vm1", "--port", "hvc0", "--timeout", "2"],
                          env=host.env, input=text, text=True, capture_output=True, check=False,
                          timeout=daemonkit.PATIENCE_S)


def devices(vm):
    return {d["device"]: d for d in vm["virtio"]}


def test_random_numbers_unless_the_file_says_no(host, short_tmp):
    vm = run(host, short_tmp)
    assert list(devices(vm)) == ["rng"]
    rng = devices(vm)["rng"]
    assert rng == {"device": "rng", "driver_active": True, "to_guest": 5, "from_guest": 7, "error": None, "cid": None,
                   "socket": None}
    assert "rng (in use)" in host.cli("vm", "show", "vm1").stdout
    assert not (host.run_dir / "vm/vm1/hvc0.sock").exists()
    run(host, short_tmp, "rng: false\n", name="vm2")
    assert show(host, "vm2")["virtio"] == []
    assert ask(host, "vm2", "status")["virtio"] == []


def test_a_virtio_console_has_a_socket_of_its_own(host, short_tmp):
    vm = run(host, short_tmp, "virtio_console: true\n")
    path = host.run_dir / "vm/vm1/hvc0.sock"
    assert devices(vm)["hvc0"]["socket"] == str(path)
    assert "hvc0" in ask(host, "vm1", "status")["fds"]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((host.run_dir / "vm/vm1/console.sock").stat().st_mode)
    assert host.request("GET", "/v1/vms/vm1/console?port=hvc0")[1] == {"socket": str(path)}
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"hello")
        assert s.recv(16) == b"HELLO"
    shown = host.cli("vm", "console", "vm1", "--port", "hvc0", "--json")
    assert str(path) in shown.stdout
    # Relayed as the serial one is.
    got = type_into(host, "over here")
    assert "OVER HERE" in got.stdout and got.returncode == 0
    bad = host.cli("vm", "console", "vm1", "--port", "hvc1")
    assert bad.returncode == 2 and "'hvc1' is not hvc0" in bad.stderr
    assert host.request("GET", "/v1/vms/vm1/console?port=hvc1")[0] == 400
    assert host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})[0] == 200
    assert not path.exists()


def test_a_vm_without_one_says_how_to_get_it(host, short_tmp):
    run(host, short_tmp)
    status, body = host.request("GET", "/v1/vms/vm1/console?port=hvc0")
    assert status == 404 and body["error"]["code"] == "no-virtio-console"
    assert "virtio_console: true" in body["error"]["hint"]
    assert "no-virtio-console" in host.cli("explain", "no-virtio-console").stdout


def test_the_console_is_there_without_the_daemon(host, short_tmp):
    run(host, short_tmp, "virtio_console: true\n")
    host.stop()
    got = type_into(host, "alone")
    assert "ALONE" in got.stdout
    host.start()
    assert devices(show(host))["hvc0"]["socket"].endswith("hvc0.sock")


@pytest.mark.parametrize("word", ["true", "4711"])
def test_a_host_without_vsock_says_what_to_type(host, short_tmp, word):
    for body in (run(host, short_tmp, f"vsock: {word}\n", 409),
                 host.request("POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, extra=f"vsock: {word}\n")})[1]):
        assert body["error"]["code"] == "no-vsock" and "modprobe vhost_vsock" in body["error"]["hint"]
    checks = {c["id"]: c for c in host.request("GET", "/v1/host/check")[1]["checks"]}
    assert checks["vsock"]["status"] == "warn" and "modprobe vhost_vsock" in checks["vsock"]["remedy"]
    assert host.request("GET", "/v1/vms/vm1")[0] == 404
    # Nothing is asked of it by who wants none.
    run(host, short_tmp, "vsock: false\n")


@pytest.mark.skipif(not os.path.exists("/dev/vhost-vsock"), reason="the kernel has no vhost_vsock")
def test_cids_are_given_and_kept(host, short_tmp):
    (short_tmp / "dev/vhost-vsock").symlink_to("/dev/vhost-vsock")
    first = devices(run(host, short_tmp, "vsock: true\n"))["vsock"]["cid"]
    body = run(host, short_tmp, f"vsock: {first}\n", 409, "vm2")
    assert body["error"]["code"] == "vsock-cid-in-use" and "VM vm1 has the CID" in body["error"]["text"]
    assert devices(run(host, short_tmp, "vsock: true\n", name="vm3"))["vsock"]["cid"] != first
    assert host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 5})[0] == 200
    assert devices(run(host, short_tmp, "vsock: true\n"))["vsock"]["cid"] == first


def test_check_says_what_the_file_asks_for(host, short_tmp):
    status, body = host.request("POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, extra="virtio_console: true\n")})
    assert status == 200
    spec = body.get("spec", body)
    assert spec["rng"] is True and spec["virtio_console"] is True and "vsock" not in spec

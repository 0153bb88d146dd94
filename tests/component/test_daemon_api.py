# SPDX-License-Identifier: BSD-3-Clause
"""The API's manners: what it refuses and how, files with the caller's rights, --oneshot."""

import json
import os
import pathlib
import socket
import subprocess

import daemonkit
import pytest

HERE = pathlib.Path(__file__).resolve().parent


def error(host, method, path, body=None, status=400):
    got, reply = host.request(method, path, body)
    assert got == status, reply
    assert set(reply["error"]) == {"code", "errno", "text", "hint"} and reply["error"]["text"]
    return reply["error"]


def failing_files():
    return sorted(HERE.glob("fail-*.yaml"))


@pytest.mark.parametrize("path", failing_files(), ids=lambda p: p.stem)
def test_bad_vm_files(host, short_tmp, path):
    text = path.read_text()
    expected = text.splitlines()[1].removeprefix("# expect: ")
    (short_tmp / "text").write_text("no kernel\n" * 100)
    (short_tmp / "link").symlink_to(short_tmp / "kernel")
    with open(short_tmp / "big", "wb") as f:
        f.truncate(63 << 20)
        f.seek(65 << 20)
        f.write(b"x")
    os.mkfifo(short_tmp / "fifo")
    before = sorted(str(p) for p in host.run_dir.rglob("*"))
    for target in ("/v1/vms/check", "/v1/vms"):
        status, reply = host.request("POST", target, {"yaml": text, "base_dir": str(short_tmp)})
        assert 400 <= status < 600 and status != 500 or "IOMMU" in reply["error"]["text"], reply
        assert expected in reply["error"]["text"] + " " + reply["error"]["hint"], reply
    assert sorted(str(p) for p in host.run_dir.rglob("*")) == before
    assert host.request("GET", "/v1/vms")[1]["vms"] == []


def test_check_says_what_would_happen(host, short_tmp):
    # Whether this machine has hugepages to spare is no matter here.
    yaml = daemonkit.vm_yaml(short_tmp).replace("{size: 64M}", "{size: 64M, hugepages: off}")
    status, reply = host.request("POST", "/v1/vms/check", {"yaml": yaml})
    assert status == 200, reply
    assert reply["spec"]["name"] == "vm1" and reply["plan"] and reply["warnings"] == []
    memory, = (row for row in reply["budget"] if row["resource"] == "memory")
    assert memory["need"] == reply["spec"]["memory"]["size"] < memory["have"] and memory["unit"] == "bytes", memory


def test_bad_requests(host):
    assert "no path" in error(host, "GET", "/v1/nosuch", status=404)["text"]
    assert "does not take" in error(host, "DELETE", "/v1/pfs", status=405)["text"]
    assert "JSON" in error(host, "POST", "/v1/vfs/alloc", "{")["text"]
    assert "object" in error(host, "POST", "/v1/vfs/alloc", "[]")["text"]
    assert "'x'" in error(host, "POST", "/v1/vfs/alloc", {"name": "a", "x": 1})["text"]
    assert "name" in error(host, "POST", "/v1/vfs/alloc", {})["text"]
    assert "name" in error(host, "POST", "/v1/vfs/alloc", {"name": "../x"})["text"]
    assert "name" in error(host, "POST", "/v1/vfs/alloc", {"name": 7})["text"]
    assert "vfs" in error(host, "POST", "/v1/pfs/x/apply", {"vfs": -1})["text"]
    assert "nosuch" in error(host, "GET", "/v1/pfs/nosuch", status=404)["text"]
    assert "nosuch" in error(host, "GET", "/v1/vms/nosuch", status=404)["text"]
    assert "larger" in error(host, "POST", "/v1/vms", "x" * ((64 << 10) + 1), 413)["text"]
    assert "timeout_s" in error(host, "POST", "/v1/vms/x/stop", {"timeout_s": "soon"})["text"]
    # The text is cut within a character.
    yaml = "name: a" + "\u00e4" * 60 + "\nmemory: {size: 64M}\nboot: {kernel: /x}\n"
    assert "is no name" in error(host, "POST", "/v1/vms/check", {"yaml": yaml})["text"]


def test_a_pf_and_its_count(host, short_tmp):
    pf = daemonkit.pf_make(short_tmp / "host/sys")
    pfs = host.request("GET", "/v1/pfs")[1]["pfs"]
    assert [p["address"] for p in pfs] == [daemonkit.MACHINE]
    assert pfs[0]["sriov"]["total_vfs"] == 4 and pfs[0]["link"] is None and pfs[0]["name"] is None
    assert "4" in error(host, "POST", f"/v1/pfs/{daemonkit.MACHINE}/apply", {"vfs": 5})["text"]
    assert host.request("POST", f"/v1/pfs/{daemonkit.MACHINE}/apply", {"vfs": 0})[0] == 200
    assert "no free VF" in error(host, "POST", "/v1/vfs/alloc",
                                 {"name": "a", "pf": daemonkit.MACHINE}, 409)["text"]
    (pf / "sriov_numvfs").write_text("1\n")


def test_files_are_opened_with_the_rights_of_the_caller(host, short_tmp):
    if os.geteuid() != 0:
        pytest.skip("takes root to be two users")
    secret = daemonkit.kernel_make(short_tmp / "secret")
    secret.chmod(0o600)
    short_tmp.chmod(0o755)
    host.run_dir.chmod(0o755)
    host.socket.chmod(0o666)
    body = json.dumps({"yaml": daemonkit.vm_yaml(short_tmp).replace("/kernel", "/secret")})

    def as_nobody(path):
        done = subprocess.run(["curl", "-s", "--unix-socket", str(host.socket), "-d", body,
                               f"http://x{path}"], user=65534, group=65534, extra_groups=[],
                              capture_output=True, check=True)
        return json.loads(done.stdout)["error"]

    assert "Permission denied" in as_nobody("/v1/vms/check")["text"]
    refused = as_nobody("/v1/vms")
    assert refused["code"] == "not-allowed" and "viaduct" in refused["hint"]
    assert host.request("POST", "/v1/vms/check", body)[0] == 200


def test_file_roots(stopped_daemon, short_tmp):
    daemonkit.setup(stopped_daemon, short_tmp)
    stopped_daemon.config.write_text(f"file_roots: [{short_tmp}/images]\n")
    stopped_daemon.start()
    body = {"yaml": daemonkit.vm_yaml(short_tmp)}
    assert "not in a folder" in error(stopped_daemon, "POST", "/v1/vms/check", body, 403)["text"]
    (short_tmp / "images").mkdir()
    daemonkit.kernel_make(short_tmp / "images/kernel")
    body["yaml"] = body["yaml"].replace("/kernel", "/images/kernel")
    assert stopped_daemon.request("POST", "/v1/vms/check", body)[0] == 200
    body["yaml"] = body["yaml"].replace("/images/", "/images/../")
    assert "not in a folder" in error(stopped_daemon, "POST", "/v1/vms/check", body, 403)["text"]


@pytest.mark.parametrize("text, said", [
    ("colour: red\n", "'colour'"), ("mac_prefix: \"00:11:22\"\n", "mac_prefix"),
    ("uids: {first: 0, count: 10}\n", "uids"), ("networks: [{name: a, uplinks: [b], bond: x}]\n", "bond"),
    ("apply_pfs_at_start: perhaps\n", "perhaps")])
def test_bad_configuration_ends_the_daemon(program, short_tmp, text, said):
    config = short_tmp / "viaductd.yaml"
    config.write_text(text)
    done = subprocess.run([program("viaductd"), "--run-dir", str(short_tmp), "--state-dir",
                           str(short_tmp), "--config", str(config)], capture_output=True, text=True,
                          timeout=daemonkit.PATIENCE_S, check=False)
    assert done.returncode == 1 and said in done.stderr and str(config) in done.stderr


@pytest.mark.parametrize("run_dir", ["run", "other"])
def test_a_second_daemon_is_refused(host, program, short_tmp, run_dir):
    done = subprocess.run([program("viaductd"), "--run-dir", str(short_tmp / run_dir),
                           "--state-dir", str(host.state_dir)], capture_output=True, text=True,
                          timeout=daemonkit.PATIENCE_S, check=False)
    assert done.returncode == 1 and "another viaductd" in done.stderr
    assert host.request("GET", "/v1/version")[0] == 200


def test_oneshot(program, short_tmp):
    ours, theirs = socket.socketpair()
    daemon = subprocess.Popen([program("viaductd"), "--oneshot", "--fd", str(theirs.fileno()),
                               "--state-dir", "/nonexistent", "--run-dir", "/nonexistent"],
                              pass_fds=[theirs.fileno()])
    theirs.close()
    ours.settimeout(daemonkit.PATIENCE_S)
    for path, status in (("/v1/version", 200), ("/v1/pfs", 200), ("/v1/vms", 403)):
        ours.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert ours.recv(1 << 20).startswith(f"HTTP/1.1 {status} ".encode())
    ours.close()
    assert daemon.wait(daemonkit.PATIENCE_S) == 0


CONFIG = """networks: [{name: provider, uplinks: ["0000:01:00.0", enp9s0]}]
pfs: [{name: "0000:01:00.0", vfs: 3}]
"""


def test_a_configuration_is_checked_against_the_machine(host, short_tmp):
    daemonkit.pf_make(short_tmp / "host/sys", total=2)
    status, reply = host.request("POST", "/v1/config/check", {"yaml": CONFIG, "file": "new.yaml"})
    assert status == 200, reply
    assert reply["config"]["pfs"] == [{"name": "0000:01:00.0", "vfs": 3, "drift": "alarm"}]
    said = "\n".join(reply["warnings"])
    assert "0000:01:00.0 can have 2 VFs, not 3" in said and "enp9s0" in said
    assert "networks: provider: uplink 0000:01:00.0" not in said  # its VFs are wanted
    for text, why in (("pfs: [{name: a}]", "vfs"), ("nosuch: 1", "nosuch"), ("mac_prefix: 01:00:00", "mac_prefix")):
        wrong = error(host, "POST", "/v1/config/check", {"yaml": text, "file": "new.yaml"})["text"]
        assert why in wrong and wrong.startswith("new.yaml: ")
    assert "yaml" in error(host, "POST", "/v1/config/check", {"yaml": 1, "file": "a"})["text"]


def test_differences_from_file_and_machine(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    pf = daemonkit.pf_make(sysfs)
    stopped_daemon.config.write_text(CONFIG)
    daemon = stopped_daemon.start()
    differences = daemon.request("GET", "/v1/config")[1]["differences"]
    assert [(d["of"], d["key"], d["wanted"], d["is"]) for d in differences] == [
        ("machine", "pfs.0000:01:00.0", 3, 0)]
    assert differences[0]["hint"] == "viaduct pf apply 0000:01:00.0 --vfs 3"
    network = daemon.request("GET", "/v1/networks/provider")[1]
    assert [u["problem"] for u in network["uplinks"]][0] == "it has no VFs" and "enp9s0" in network["uplinks"][1]["problem"]
    assert network["vfs_free"] == 0
    # The list has all of it but the addresses that a switch has learned.
    listed = {key: value for key, value in network.items() if not key.startswith("macs")}
    assert daemon.request("GET", "/v1/networks")[1] == {"networks": [listed]}
    assert error(daemon, "GET", "/v1/networks/nosuch", status=404)["code"] == "no-such-network"

    (pf / "sriov_numvfs").write_text("3\n")
    stopped_daemon.config.write_text(CONFIG + "group: operators\n")
    (changed,) = daemon.request("GET", "/v1/config")[1]["differences"]
    assert (changed["of"], changed["key"], changed["wanted"], changed["is"]) == ("file", "group", "operators", "viaduct")
    stopped_daemon.config.write_text("group: [")
    assert error(daemon, "GET", "/v1/config", status=409)["code"] == "bad-config"

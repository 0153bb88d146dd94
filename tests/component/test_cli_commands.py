# SPDX-License-Identifier: BSD-3-Clause
"""The `viaduct` command against canned replies: tables, JSON, what is sent, help. What is wrong: test_cli_errors.py."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from cli_daemon import FUNCTION, PF, VF, VM, VM_FUNCTION, error, ok

TOP = pathlib.Path(__file__).resolve().parents[2]


def rows(text):
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


# --- tables and blocks ------------------------------------------------------------------------

def test_pf_list_table(fake):
    fake.reply("GET", "/v1/pfs", {"pfs": [PF]})
    head, line = rows(ok(fake.run("pf", "list")))
    assert dict(zip(head, line)) == {
        "PF": "0000:01:00.0", "NAME": "enp1s0", "DRIVER": "igb", "NUMA": "-", "GROUP": "17",
        "LINK": "up 1000 Mb/s", "VFS": "2/7", "FREE": "1"}


def test_table_in_a_pipe_is_never_cut(fake):
    name = "x" * 300
    fake.reply("GET", "/v1/vfs", {"vfs": [{**VF, "owner": name}]})
    assert name in ok(fake.run("vf", "list", env={"COLUMNS": "40"}))


def test_pf_show(fake):
    fake.reply("GET", "/v1/pfs/enp1s0", {**PF, "vfs": [VF]})
    out = ok(fake.run("pf", "show", "enp1s0"))
    for text in ("page sizes:        4 KiB, 64 KiB", "MAC:               52:54:00:00:00:01",
                 "capable source validation", "enabled none", "ATS:               no", "16 KiB",
                 "enp1s0#0"):
        assert text in out


def test_needs_root_is_never_blank(fake):
    sriov = {**PF["sriov"], "vf_stride": "needs root"}
    fake.reply("GET", "/v1/pfs/p0", {**PF, "sriov": sriov, "capabilities": "needs root"})
    out = ok(fake.run("pf", "show", "p0"))
    for line in ("VF stride", "ARI", "ACS", "FLR"):
        assert re.search(rf"^{line}: +needs root$", out, re.M)


def test_missing_members_show_as_dash(fake):
    fake.reply("GET", "/v1/pfs", {"pfs": [{}, 7, None, {"address": [], "link": 3, "sriov": "?"}]})
    lines = rows(ok(fake.run("pf", "list")))
    assert lines[1] == ["-"] * 8 and len(lines) == 5


def test_vf_list_and_item_is_escaped(fake):
    fake.reply("GET", "/v1/vfs", {"vfs": [VF]})
    head, line = rows(ok(fake.run("vf", "list")))
    got = dict(zip(head, line))
    assert got["ID"] == "enp1s0#0" and got["OWNER"] == "fw1/wan" and got["VLAN"] == "100"
    fake.reply("GET", "/v1/vfs/enp1s0%230", VF)
    assert "spoof check:     yes" in ok(fake.run("vf", "show", "enp1s0#0"))
    asked = len(fake.requests)
    said = fake.run("vf", "show", "../vms")
    assert said.returncode == 2 and "'../vms' is no name" in said.stderr
    assert len(fake.requests) == asked


def test_vm_show(fake):
    fake.reply("GET", "/v1/vms/fw1", VM)
    out = ok(fake.run("vm", "show", "fw1"))
    for text in ("512 MiB", "1 d 2 h", "3.22 s", "ram 12.3 ms, entry 0.4 ms", "4242"):
        assert text in out
    fake.reply("GET", "/v1/vms/fw1", {**VM, "state": "stopped", "exit": {
        "reason": "poweroff", "text": "the guest powered off", "wall_time": 1780000100}})
    assert re.search(r"because: +the guest powered off", ok(fake.run("vm", "show", "fw1")))


def test_empty_lists_say_what_next(fake):
    fake.reply("GET", "/v1/vfs", {"vfs": []})
    fake.reply("GET", "/v1/vms", {"vms": []})
    assert "viaduct pf apply PF --vfs N" in ok(fake.run("vf", "list"))
    assert "viaduct vm run FILE" in ok(fake.run("vm", "list"))


def test_host_check_exit_status(fake):
    checks = [{"id": "kvm", "title": "KVM", "status": "pass", "detail": "usable", "remedy": ""},
              {"id": "hp", "title": "hugepages", "status": "warn", "detail": "none",
               "remedy": "reserve some"}]
    reply = {"checks": checks, "pass": 1, "warn": 1, "fail": 0, "cpu_family": "AMD",
             "not_exercised": ["posted interrupts"]}
    fake.reply("GET", "/v1/host/check", reply)
    out = ok(fake.run("host", "check"))
    assert "fix: reserve some" in out and "1 passed, 1 warned, 0 failed" in out
    assert "(AMD): posted interrupts" in out
    checks.append({"id": "ir", "title": "interrupt remapping", "status": "fail", "detail": "off",
                   "remedy": "intel_iommu=on"})
    done = fake.run("host", "check")
    assert done.returncode == 1 and "FAIL" in done.stdout and "fix: intel_iommu=on" in done.stdout
    assert fake.run("host", "check", "--json").returncode == 1
    for odd in ({"checks": []}, {"checks": [{"status": "PASS"}]}, {"checks": 3}, {}):
        fake.reply("GET", "/v1/host/check", odd)
        assert fake.run("host", "check").returncode == 1


# --- JSON ---------------------------------------------------------------------------------------

def test_json_is_the_reply_unchanged(fake):
    reply = {"vms": [VM], "later": {"member": [1, 2.5, None, "\u001b[31m\u202e"]}}
    fake.reply("GET", "/v1/vms", reply)
    for args in (("vm", "list", "--json"), ("--json", "vm", "list"), ("vm", "list", "--json")):
        out = ok(fake.run(*args))
        assert json.loads(out) == reply
        assert "\x1b" not in out and "\u202e" not in out


def test_json_errors_on_stderr(fake):
    reply = error("vf-in-use", "VF 0000:01:10.0: in use by VM fw1", "viaduct vm show fw1", 16)
    reply["error"]["since"] = 3
    fake.reply("POST", "/v1/vfs/x/release", reply, 409)
    done = fake.run("vf", "release", "x", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr) == reply
    done = fake.run("vf", "rlease", "--json")
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"] == {
        "code": "usage", "errno": 22, "text": "vf: there is no 'rlease'",
        "hint": "viaduct vf release"}
    for words in (("--json", "vm"), ("vm", "--json")):
        done = fake.run(*words)
        told = json.loads(done.stderr)["error"]
        assert done.returncode == 2 and told["text"] == "vm: do what?" and told["hint"].endswith(" | console | stats")


# --- what is sent -------------------------------------------------------------------------------

@pytest.mark.parametrize("words, path, body", [
    (("pf", "apply", "enp1s0", "--vfs", "2"), "/v1/pfs/enp1s0/apply", {"vfs": 2}),
    (("pf", "apply", "enp1s0", "--vfs", "2", "--disrupt", "fw1,lease:dmz", "--timeout=5"), "/v1/pfs/enp1s0/apply",
     {"vfs": 2, "disrupt": ["fw1", "lease:dmz"], "timeout_s": 5}),
    (("pf", "apply", "enp1s0", "--vfs", "2", "--confirm-within", "5m"), "/v1/pfs/enp1s0/apply",
     {"vfs": 2, "confirm_s": 300}),
    (("pf", "confirm", "enp1s0"), "/v1/pfs/enp1s0/confirm", {}),
    (("pf", "apply", "enp1s0", "--adopt"), "/v1/pfs/enp1s0/adopt", {}),
    (("vf", "alloc", "--name", "l1"), "/v1/vfs/alloc", {"name": "l1"}),
    (("vf", "alloc", "--name=l1", "--pf=p0", "--numa=1"), "/v1/vfs/alloc",
     {"name": "l1", "pf": "p0", "numa": 1}),
    (("vf", "alloc", "--pf", "p0", "--explain"), "/v1/vfs/alloc", {"pf": "p0", "explain": True}),
    (("vf", "alloc", "--network", "wan", "--name", "l1"), "/v1/vfs/alloc",
     {"name": "l1", "network": "wan"}),
    (("vf", "set", "l1", "mac=02:00:00:00:00:AB", "vlan=7", "trust=on", "spoofchk=off"),
     "/v1/vfs/l1/set",
     {"mac": "02:00:00:00:00:ab", "vlan": 7, "trust": True, "spoofchk": False}),
    (("vf", "set", "l1", "vlan=off", "qos=3", "proto=802.1ad", "link=auto", "rate=5G",
      "min_rate=100M"), "/v1/vfs/l1/set",
     {"vlan": 0, "qos": 3, "proto": "802.1ad", "link_state": "auto", "max_tx_rate": 5000,
      "min_tx_rate": 100}),
    (("vf", "release", "l1"), "/v1/vfs/l1/release", {}),
    (("vf", "scrub", "l1"), "/v1/vfs/l1/scrub", {}),
    (("vm", "stop", "fw1"), "/v1/vms/fw1/stop", {}),
    (("vm", "stop", "fw1", "--timeout", "5"), "/v1/vms/fw1/stop", {"timeout_s": 5}),
    (("vm", "stop", "fw1", "--no-kill"), "/v1/vms/fw1/stop", {"kill": False}),
    (("vm", "kill", "fw1"), "/v1/vms/fw1/kill", {}),
    (("vm", "pause", "fw1"), "/v1/vms/fw1/pause", {}),
    (("vm", "resume", "fw1"), "/v1/vms/fw1/resume", {}),
])
def test_requests(fake, words, path, body):
    fake.reply("POST", path, {**VF, **VM})
    ok(fake.run(*words))
    assert fake.requests == [("POST", path, body)]


NETWORK = {"name": "provider", "vfs_free": 3, "placement": "spread", "uplinks": [
    {"name": "enp1s0", "pf": "0000:01:00.0", "carrier": True, "num_vfs": 4, "vfs_free": 3, "problem": None},
    {"name": "enp9s0", "pf": None, "carrier": None, "num_vfs": 0, "vfs_free": 0, "problem": "no such PF"}]}


def test_networks(fake):
    fake.reply("GET", "/v1/networks", {"networks": [NETWORK]})
    out = ok(fake.run("network", "list"))
    assert "provider  enp1s0, enp9s0 (!)  3" in out and "spread" in out
    fake.reply("GET", "/v1/networks/provider", NETWORK)
    assert "no such PF" in ok(fake.run("network", "show", "provider"))


POLLED = {**NETWORK, "polled": True, "bond": "active-backup", "active": "wire0", "problem": None, "hint": None,
          "ports": [{"port": "fw1/mgt", "engine": "polled", "vf": None, "state": "running"}],
          "macs": [{"mac": "02:00:00:00:00:01", "vlan": 7, "at": "fw1/mgt", "age_s": 93, "fixed": True}], "macs_cut": True}
BACKEND = {"name": "net0", "state": "up", "pid": 77, "dpdk": "22.11.11", "restarts": 1, "problem": None,
           "lcores": [{"lcore": 0, "cpu": 3, "busy": 0.254}]}
UPLINK = {"name": "wire0", "kind": "pci", "device": "nic0", "address": "0000:04:00.0", "mtu": 1500, "network": "provider", "state": "failed",
          "link": None, "speed_mbps": 1000, "driver": "net_e1000_em", "mac": None, "note": None, "queues": None,
          "problem": "nic0 is up", "hint": "ip link set nic0 down"}


def test_uplinks_and_who_is_on_a_network(fake):
    fake.reply("GET", "/v1/networks/provider", POLLED)
    out = ok(fake.run("network", "show", "provider"))
    cells = [line.split() for line in out.splitlines()]
    assert ["fw1/mgt", "polled", "-", "running"] in cells and ["active", "uplink:", "wire0"] in cells
    assert ["02:00:00:00:00:01", "7", "fw1/mgt", "1", "min", "33", "s", "yes"] in cells and "more MACs" in out
    fake.reply("GET", "/v1/uplinks", {"uplinks": [UPLINK], "backend": BACKEND})
    out = ok(fake.run("uplink", "list"))
    assert "nic0 is up" in out and "net_e1000_em" in out and "25%" in out and "22.11.11" in out
    fake.reply("GET", "/v1/uplinks/wire0", {**UPLINK, "backend": BACKEND, "rx": {"packets": 5, "bytes": 3000, "drops": 4}, "tx": None})
    out = ok(fake.run("uplink", "show", "wire0"))
    assert "ip link set nic0 down" in out and "0000:04:00.0" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("received, dropped")] == ["4"]
    fake.reply("GET", "/v1/uplinks", {"uplinks": [], "backend": None})
    ok(fake.run("uplink", "list"))


def test_config_check_and_diff(fake, tmp_path):
    file = tmp_path / "viaductd.yaml"
    file.write_text("group: ops\n")
    fake.reply("POST", "/v1/config/check", {
        "config": {"networks": [], "pfs": [{"name": "a", "vfs": 1}]}, "warnings": ["pfs: a: no such PF"]})
    out = ok(fake.run("config", "check", str(file)))
    assert "0 networks, 1 PFs" in out and "warning: pfs: a: no such PF" in out
    assert fake.requests[-1][2] == {"yaml": "group: ops\n", "file": str(file)}
    done = fake.run("config", "check", str(tmp_path / "nosuch"))
    assert done.returncode == 2 and "nosuch: No such file" in done.stderr

    fake.reply("GET", "/v1/config", {"path": "/etc/x.yaml", "running": {}, "differences": []})
    assert "no differences" in ok(fake.run("config", "diff"))
    fake.reply("GET", "/v1/config", {"path": "/etc/x.yaml", "running": {}, "differences": [
        {"of": "machine", "key": "pfs.a", "wanted": 4, "is": 2, "hint": "viaduct pf apply a --vfs 4"},
        {"of": "file", "key": "networks", "wanted": [1, 2], "is": [], "hint": "restart"}]})
    done = fake.run("config", "diff")
    assert done.returncode == 1 and "viaduct pf apply a --vfs 4" in done.stdout and "2 entries" in done.stdout


def test_functions_and_what_a_vm_could_have(fake):
    fake.reply("GET", "/v1/functions", {"functions": [
        FUNCTION, {**FUNCTION, "address": "0000:04:00.0", "in_use": "nic0 is up"},
        {**FUNCTION, "address": "0000:05:00.0", "assignable": False, "reason": "it has legacy interrupts only"}]})
    lines = ok(fake.run("function", "list")).splitlines()
    assert lines[0].split()[:2] == ["FUNCTION", "NAME"] and lines[1].rstrip().endswith("yes")
    assert "with take: true (nic0 is up)" in lines[2] and "no: it has legacy interrupts only" in lines[3]
    fake.reply("GET", "/v1/functions/nvme0", {**FUNCTION, "state": "assigned", "owner": "fw1/disk"})
    assert "fw1/disk" in ok(fake.run("function", "show", "nvme0"))
    fake.reply("POST", "/v1/functions/nvme0/release", FUNCTION)
    assert "the host has it, driver nvme" in ok(fake.run("function", "release", "nvme0"))
    assert fake.requests[-1] == ("POST", "/v1/functions/nvme0/release", {})


def test_isolation_of_a_function(fake):
    check = {"id": "acs", "title": "ACS on the path", "status": "fail", "detail": "0000:00:1c.0 lacks ReqRedir",
             "source": "configuration space of 0000:00:1c.0", "code": "acs-missing"}
    reply = {"function": "0000:01:00.0", "verdict": "isolated", "code": None, "warnings": ["posted-interrupts"],
             "checks": [{**check, "status": "pass", "code": None}]}
    fake.reply("GET", "/v1/iommu/functions/wan", reply)
    assert "0000:01:00.0: isolated\n  with less than there could be: posted-interrupts" in ok(fake.run("iommu", "group", "wan"))
    for verdict in ("not-isolated", "not-known", "nonsense", None):
        fake.reply("GET", "/v1/iommu/functions/wan", {**reply, "verdict": verdict, "code": "acs-missing", "checks": [check]})
        done = fake.run("iommu", "group", "wan")
        assert done.returncode == 1 and "FAIL     ACS on the path  0000:00:1c.0 lacks ReqRedir" in done.stdout
        assert "viaduct explain acs-missing" in done.stdout
    fake.reply("GET", "/v1/iommu/units", {"units": []})
    assert "viaduct host check" in ok(fake.run("iommu", "list"))


def test_vm_with_a_whole_function(fake):
    vm = {**VM, "functions": [VM_FUNCTION]}
    fake.reply("GET", "/v1/vms/fw1", vm)
    shown = ok(fake.run("vm", "show", "fw1"))
    assert "nvme0" in shown and "disk: registers of BAR 0 from 0x2000 to 0x2fff share pages" in shown
    assert "12 accesses trapped" in shown and "BAR 2" not in shown
    fake.reply("GET", "/v1/vms", {"vms": [VM]})
    assert "FUNCTIONS" not in ok(fake.run("vm", "list"))
    fake.reply("GET", "/v1/vms", {"vms": [vm]})
    assert "disk=0000:03:00.0" in ok(fake.run("vm", "list"))
    fake.reply("POST", "/v1/vms/fw1/pause", {**vm, "state": "paused"})
    assert "its devices still do DMA" in ok(fake.run("vm", "pause", "fw1"))


def test_vm_with_unsafe_interrupts_says_so_everywhere(fake):
    vm = {**VM, "unsafe_interrupts": {"reason": "old box, own guests", "uid": 0, "at": 1764300000}}
    vm["ports"] = [{**VM["ports"][0], "posture": {"verdict": "not-isolated", "code": "no-interrupt-remapping", "unit": "dmar0",
                                                  "warnings": ["eim"]}}]
    fake.reply("GET", "/v1/vms", {"vms": [vm]})
    assert "running, UNSAFE INTERRUPTS" in ok(fake.run("vm", "list"))
    for verb, method, path in (("show", "GET", ""), ("pause", "POST", "/pause"), ("stop", "POST", "/stop")):
        fake.reply(method, f"/v1/vms/fw1{path}", vm)
        out = ok(fake.run("vm", verb, "fw1"))
        assert "UNSAFE INTERRUPTS, allowed by uid 0 at" in out and "old box, own guests" in out
        assert verb != "show" or "not-isolated by dmar0: viaduct explain no-interrupt-remapping (less than" in out


def test_paused_vm_says_that_dma_goes_on(fake):
    fake.reply("POST", "/v1/vms/fw1/pause", {**VM, "state": "paused"})
    assert "its VFs still do DMA" in ok(fake.run("vm", "pause", "fw1"))


def test_release_into_quarantine_fails(fake):
    fake.reply("POST", "/v1/vfs/x/release", {**VF, "state": "quarantined"})
    done = fake.run("vf", "release", "x")
    assert done.returncode == 1 and "quarantined" in done.stdout


def test_vm_run_sends_text_and_folder(fake, tmp_path):
    file = tmp_path / "sub" / "fw1.yaml"
    file.parent.mkdir()
    file.write_text("name: fw1\n# ü\n")
    (tmp_path / "link").symlink_to(file.parent)
    fake.reply("POST", "/v1/vms", VM)
    out = ok(fake.run("vm", "run", "link/fw1.yaml", cwd=tmp_path))
    assert "its first vCPU ran after 3.22 s" in out and "viaduct vm console fw1" in out
    assert VM["console"] in out and "0000:01:10.0" in out
    assert fake.requests[0][2] == {"yaml": "name: fw1\n# ü\n", "file": "link/fw1.yaml",
                                   "base_dir": str(file.parent.resolve())}


def test_vm_check_and_dry_run(fake, tmp_path):
    file = tmp_path / "fw1.yaml"
    file.write_text("name: fw1\n")
    fake.reply("POST", "/v1/vms/check", {"spec": {"name": "fw1"}, "warnings": ["odd\x1b[0m"],
                                         "plan": ["lease enp1s0#0 for wan"], "budget": [
                                             {"resource": "memory", "need": 1 << 30, "have": 3 << 30, "unit": "bytes"},
                                             {"resource": "interrupt vectors", "need": 3, "have": None, "unit": "vectors"}]})
    for words in (("vm", "check", file), ("vm", "run", file, "--dry-run")):
        out = ok(fake.run(*words))
        assert "VM fw1: the file is right" in out and "  lease enp1s0#0 for wan" in out
        assert "warning: odd?[0m" in out
        assert re.search(r"memory +1024 MiB +3072 MiB\n", out) and re.search(r"interrupt vectors +3 vectors +-\n", out), out
    assert [r[1] for r in fake.requests] == ["/v1/vms/check"] * 2
    ok(fake.run("vm", "check", "-", stdin="name: fw1\n", cwd=tmp_path))
    assert fake.requests[-1][2]["base_dir"] == str(tmp_path.resolve())


@pytest.mark.parametrize("content, words", [
    (None, "No such file"), (b"", "is empty"), (b"a\0b", "no text file"),
    (b"name: \xff\n", "not UTF-8"), (b"#" * (48 * 1024 + 1), "longer than 48 KiB"),
    ("folder", "Is a directory"),
], ids=["missing", "empty", "binary", "not-utf8", "long", "folder"])
def test_bad_vm_files(fake, tmp_path, content, words):
    file = tmp_path / "vm.yaml"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    done = fake.run("vm", "run", file)
    assert done.returncode == 2 and words in done.stderr
    assert fake.requests == []


# --- version ------------------------------------------------------------------------------------

def test_version_without_a_daemon(no_daemon):
    out = ok(no_daemon.run("version"))
    assert out.startswith("viaduct 0.") and "viaductd is not running" in out


def test_version_with_a_daemon(fake):
    reply = {"version": "0.9", "api": 2, "pid": 5, "uptime_s": 61}
    fake.reply("GET", "/v1/version", reply)
    out = ok(fake.run("version"))
    assert "viaductd 0.9 (pid 5, up 1 min 1 s)" in out and "version 2 of the API" in out
    assert json.loads(ok(fake.run("version", "--json"))) == reply


# --- help and documentation -----------------------------------------------------------------------

def test_every_command_is_in_help_and_manual(no_daemon):
    out = ok(no_daemon.run("help"))
    manual = (TOP / "docs/viaduct.1.scd").read_text()
    commands = re.findall(r"^  viaduct (\w+)(?: (\w+)(?= |$))?", out, re.M)
    assert len(commands) == 70
    for noun, verb in commands:
        words = [w for w in (noun, verb) if w]
        assert re.search(rf'^\*viaduct {" ".join(words)}\*( |$)', manual, re.M), words
        assert f"usage: viaduct {' '.join(words)}" in ok(no_daemon.run("help", *words))
        assert f"usage: viaduct {' '.join(words)}" in ok(no_daemon.run(*words, "--help"))
    assert out == ok(no_daemon.run("--help"))
    assert "usage: viaduct pf apply" in ok(no_daemon.run("pf", "--help"))


def keys(name):
    """The keys that a YAML schema of the daemon's knows."""
    return set(re.findall(r'(?:CYAML_FIELD_\w+|PORT_TEXT)\("([\w]+)"', (TOP / "vf-manager" / name).read_text()))


@pytest.mark.parametrize("page, source", [("viaduct.1", None), ("viaduct-vm.5", "vmfile.c"), ("viaductd.yaml.5", "config.c"),
                                          ("viaductd.8", None)])
def test_manual_pages_are_well_formed_and_name_every_key(build_dir, page, source):
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-P-cbou", build_dir / "docs" / page],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    words = set(re.findall(r"\w+", done.stdout))
    assert source is None or keys(source) and keys(source) <= words


def test_output_that_cannot_be_written_fails(fake):
    fake.reply("GET", "/v1/pfs", {"pfs": [PF]})
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([fake.viaduct, "pf", "list"], stdout=full, stderr=subprocess.PIPE,
                              env=fake.env(), check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr

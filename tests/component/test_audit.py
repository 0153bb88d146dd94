# SPDX-License-Identifier: BSD-3-Clause
"""iommu audit: what viaduct-audit is told, what becomes of its word, and of a helper that misbehaves."""

import json
import pathlib
import struct
import subprocess
import time

import daemonkit
import iommukit
import pytest
from daemonkit import eventually

VF = daemonkit.vf_address(daemonkit.MACHINE, 0)
REGISTERS = 0xFED90000
PORT = {"name": "wan", "engine": "vf", "vf": VF, "vf_id": "x#0", "iommu_group": 7}


def dmar():
    """One unit, in charge of everything."""
    drhd = struct.pack("<HHBBHQ", 0, 16, 1, 0, 0, REGISTERS)
    table = bytearray(struct.pack("<4sIBB6s8s4s4s4sBB10x", b"DMAR", 48 + len(drhd), 1, 0, b"VIADCT", b"HANDMADE",
                                  bytes(4), bytes(4), bytes(4), 47, 1) + drhd)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


def result(verdict="proven", **more):
    return {"address": VF, "verdict": verdict, "code": None, "text": None, "mode": "legacy", "stage": "second",
            "levels": 4, "domain": 2, "iova": None, "entry": None, "bytes": 64 << 20, "tables": 3,
            "pages": {"4K": 0, "2M": 32, "1G": 0}, "interrupts": 2,
            "entries": {"remapped": 2, "posted": 0, "spare": 0}, **more}


def reply(verdict="proven", **more):
    return {"v": 1, "ok": True, "verdict": verdict, "duration_ms": 12, "functions": [result(verdict, **more)]}


class World:
    def __init__(self, daemon, folder):
        self.daemon, self.folder = daemon, folder
        self.helper, self.asked = folder / "viaduct-audit", folder / "asked"

    def helper_is(self, code):
        self.helper.write_text(f"#!/usr/bin/python3\nimport os, sys\nasked = sys.stdin.read()\n"
                               f"open({str(self.asked)!r}, 'w').write(asked)\n{code}\n")
        self.helper.chmod(0o755)

    def helper_says(self, answer):
        self.helper_is(f"sys.stdout.write({json.dumps(answer)!r})")

    def audit(self, status=200, **body):
        got, answer = self.daemon.request("POST", "/v1/iommu/audit", body)
        assert got == status, answer
        return answer

    def alarms(self):
        return {a["kind"]: a for a in self.daemon.request("GET", "/v1/alarms")[1]["alarms"]}


@pytest.fixture
def world(stopped_daemon, short_tmp):
    """A VM whose port has a VF, on a host whose firmware names a unit. The helper is a script."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    daemonkit.vf_make(sysfs, daemonkit.MACHINE, 0)
    (sysfs / "bus/pci/devices" / daemonkit.MACHINE / "sriov_numvfs").write_text("1\n")
    (sysfs / "firmware/acpi/tables").mkdir(parents=True)
    (sysfs / "firmware/acpi/tables/DMAR").write_bytes(dmar())
    w = World(stopped_daemon, short_tmp)
    stopped_daemon.args += ["--audit-path", str(w.helper)]
    stopped_daemon.start()
    assert stopped_daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})[0] == 200
    stopped_daemon.stop()
    daemonkit.ledger_change(stopped_daemon, "UPDATE vms SET facts = json_set(facts, '$.ports', json(?))",
                            json.dumps([PORT]))
    stopped_daemon.start()
    yield w
    stopped_daemon.request("POST", "/v1/vms/vm1/kill", {})


def test_what_the_helper_is_told_and_what_is_said(world):
    world.helper_says(reply())
    answer = world.audit(vm="vm1")
    vm = world.daemon.request("GET", "/v1/vms/vm1")[1]
    assert json.loads(world.asked.read_text()) == {
        "v": 1, "pid": vm["pid"], "ram": [{"gpa": 0, "size": 64 << 20}],
        "functions": [{"address": VF, "registers": REGISTERS, "aliases": False}]}
    assert answer["verdict"] == "proven" and "cache" in answer["caveat"]
    one, = answer["audits"]
    assert (one["vm"], one["verdict"], one["ram"], one["duration_ms"]) == ("vm1", "proven", 64 << 20, 12)
    assert one["functions"][0]["port"] == "wan" and one["text"] is None
    assert vm["audit"]["verdict"] == "proven" and vm["audit"]["at"] > 1700000000
    assert world.audit()["audits"][0]["vm"] == "vm1"
    events = world.daemon.request("GET", "/v1/events")[1]["events"]
    assert any(e["kind"] == "vm" and e["text"] == "audit: proven" for e in events), events


def test_a_bridge_that_is_no_pci_express_port_is_told(world):
    """What it forwards may carry another requester id than the function's."""
    world.daemon.stop()
    bridge = iommukit.bridge_make(world.folder / "host/sys", buses=(1, 1))
    (bridge / "config").write_bytes(bytes(256))
    world.daemon.start()
    world.helper_says(reply())
    world.audit(vm="vm1")
    assert json.loads(world.asked.read_text())["functions"][0]["aliases"] is True


def test_a_violation_is_an_alarm_until_an_audit_proves_the_vm(world):
    world.helper_says(reply("violated", code="foreign-page", text="IOVA 0x5000: reaches it", iova="0x5000"))
    answer = world.audit(vm="vm1")
    assert answer["verdict"] == "violated" and answer["audits"][0]["code"] == "foreign-page"
    alarm = eventually(lambda: world.alarms().get("isolation-violated"))
    assert alarm["severity"] == "critical" and alarm["object"] == "vm1" and "0x5000" in alarm["text"]
    done = world.daemon.cli("iommu", "audit", "--vm", "vm1")
    assert done.returncode == 1 and "VIOLATED" in done.stdout and "foreign-page" in done.stdout, done
    # Who can hide does not end it.
    world.helper_says({"v": 1, "ok": False, "error": {"code": "guest-ram-unknown", "errno": 2, "text": "not found"}})
    assert world.audit(vm="vm1")["verdict"] == "not-provable"
    world.daemon.stop()
    world.daemon.start()
    assert eventually(lambda: "isolation-violated" in world.alarms())
    world.helper_says(reply())
    done = world.daemon.cli("iommu", "audit")
    assert done.returncode == 0 and "VM vm1: tables proven at" in done.stdout and "Not seen:" in done.stdout, done
    assert eventually(lambda: "isolation-violated" not in world.alarms())


def test_what_cannot_be_looked_at_is_not_provable(world):
    world.helper_says({"v": 1, "ok": False, "error": {"code": "registers-closed", "errno": 1, "text": "closed",
                                                      "hint": "boot with iomem=relaxed"}})
    one, = world.audit(vm="vm1")["audits"]
    assert (one["verdict"], one["code"], one["functions"]) == ("not-provable", "registers-closed", [])
    assert "iomem=relaxed" in one["hint"]
    done = world.daemon.cli("iommu", "audit")
    assert done.returncode == 1 and "not provable here" in done.stdout and "iomem=relaxed" in done.stdout, done
    assert "isolation-violated" not in world.alarms()


def test_a_host_without_vtd(world):
    (world.folder / "host/sys/firmware/acpi/tables/DMAR").unlink()
    one, = world.audit(vm="vm1")["audits"]
    assert one["verdict"] == "not-provable" and one["code"] == "no-vtd", one


@pytest.mark.parametrize("code, words", [
    ("os.kill(os.getpid(), 11)", "signal 11"),
    ("", "without a reply"),
    ("print('{')", "without a reply"),
    ("print('[]')", "form"),
    ("print('{\"ok\":true}')", "form"),
    ("print('{\"ok\":true,\"verdict\":\"proven\",\"functions\":[]}')", "form"),
    ("print('{\"ok\":true,\"verdict\":\"proven\",\"functions\":[{\"address\":1,\"verdict\":2}]}')", "form"),
    ("print('x' * 400000)", "too much"),
])
def test_a_helper_that_misbehaves(world, code, words):
    world.helper_is(code)
    one, = world.audit()["audits"]
    assert (one["verdict"], one["code"]) == ("not-provable", "audit-failed") and words in one["text"], one
    assert world.daemon.request("GET", "/v1/vms/vm1")[1]["audit"]["verdict"] == "not-provable"


def test_a_helper_that_does_not_end_is_ended(world):
    world.helper_is(f"sys.stdout.write({json.dumps(reply())!r})\nsys.stdout.flush()\nos.close(1)\n"
                    f"open({str(world.folder / 'pid')!r}, 'w').write(str(os.getpid()))\nimport time\ntime.sleep(100)")
    began = time.monotonic()
    assert world.audit()["audits"][0]["verdict"] == "proven" and time.monotonic() - began < 60
    pid = (world.folder / "pid").read_text()
    assert eventually(lambda: not pathlib.Path("/proc", pid).exists())


def test_one_audit_at_a_time(world):
    over = world.folder / "over"
    world.helper_is(f"import time\nwhile not os.path.exists({str(over)!r}): time.sleep(0.02)\nprint('{{}}')")
    with subprocess.Popen([world.daemon.program("viaduct"), "--socket", str(world.daemon.socket), "iommu", "audit"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        assert eventually(world.asked.exists)
        error = world.audit(409)["error"]
        over.touch()
        assert error["code"] == "audit-running" and error["hint"], error


def test_no_helper_no_vm_no_word(world):
    assert world.audit(vm="vm1")["audits"][0]["code"] == "audit-failed"
    assert world.audit(404, vm="vm9")["error"]["code"] == "no-such-vm"
    world.audit(400, other=1)
    world.daemon.request("POST", "/v1/vms/vm1/kill", {})
    assert world.audit(409, vm="vm1")["error"]["code"] == "vm-state"
    answer = world.audit()
    assert answer["audits"] == [] and answer["verdict"] is None
    done = world.daemon.cli("iommu", "audit")
    assert done.returncode == 0 and "No VM runs" in done.stdout, done


def test_the_real_helper_refuses_what_is_no_request(program):
    for text, words in (("", "JSON"), ("{}", "missing"), ('{"v":9,"pid":1,"ram":[],"functions":[]}', "version")):
        done = subprocess.run([program("viaduct-audit")], input=text, capture_output=True, text=True, check=False)
        answer = json.loads(done.stdout)
        assert done.returncode == 0 and answer["ok"] is False and words in answer["error"]["text"], (text, answer)


def test_audit_after_the_start(stopped_daemon, short_tmp):
    daemonkit.setup(stopped_daemon, short_tmp)
    stopped_daemon.config.write_text("audit_after_assign: on\n")
    stopped_daemon.start()
    status, vm = stopped_daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})
    assert status == 200 and vm["audit"]["verdict"] == "proven", vm  # nothing of it does DMA
    assert stopped_daemon.request("GET", "/v1/config")[1]["running"]["audit_after_assign"] is True
    stopped_daemon.request("POST", "/v1/vms/vm1/kill", {})

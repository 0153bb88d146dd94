# SPDX-License-Identifier: BSD-3-Clause
"""Faults of devices: what the kernel's log says, tied to VMs; a FIFO stands for /dev/kmsg."""

import contextlib
import json
import os
import signal
import time

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_events import metrics

VF, OTHER = "0000:01:10.0", "0000:01:10.1"


class Kmsg:
    """The kernel's log of a fake host, and how the kernel talks of faults."""

    def __init__(self, fd):
        self.fd = fd
        self.seq = 100
        self.skew_us = 0  # of its clock, which nobody sets right

    def say(self, *texts, priority=3):
        for text in texts:
            line = f"{priority},{self.seq},{time.monotonic_ns() // 1000 + self.skew_us},-;{text}\n"
            os.write(self.fd, line.encode())
            self.seq += 1

    def fault(self, vf=VF, address=0x123456000, status=2):
        self.say(f"DMAR: DRHD: handling fault status reg {status:x}",
                 f"DMAR: [DMA Read NO_PASID] Request device [{vf[5:]}] fault addr {address:#x}"
                 " [fault reason 0x06] PTE Read access is not set")


@pytest.fixture
def host(request, stopped_daemon, short_tmp):
    """A VM with a VF, and another function that is nobody's. Its parameters: the port's on_fault, words for the VMM."""
    on_fault, words = getattr(request, "param", ("report", ""))
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    for index in (0, 1):
        daemonkit.vf_make(sysfs, daemonkit.MACHINE, index)
    (sysfs / "bus/pci/devices" / daemonkit.MACHINE / "sriov_numvfs").write_text("2\n")
    stopped_daemon.kmsg = Kmsg(stopped_daemon.kmsg_fd)
    daemon = stopped_daemon.start()
    status, reply = daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp, cmdline=words)})
    assert status == 200, reply
    daemon.stop()
    daemonkit.vf_assign(daemon, "vm1/wan")
    ports = [{"name": "wan", "engine": "vf", "vf": VF, "on_fault": on_fault}, {"name": "lan", "engine": "vf", "vf": OTHER}]
    daemonkit.ledger_change(daemon, "UPDATE vms SET facts = json_set(facts, '$.ports', json(?))", json.dumps(ports))
    daemon.start()
    yield daemon
    with contextlib.suppress(Exception):
        daemon.request("POST", "/v1/vms/vm1/kill", {})


def faults(daemon):
    status, reply = daemon.request("GET", "/v1/iommu/faults")
    assert status == 200, reply
    return reply


def entry(daemon, function=VF):
    return next((f for f in faults(daemon)["functions"] if f["function"] == function), None)


def alarms(daemon):
    return {(a["kind"], a["object"]): a for a in daemon.request("GET", "/v1/alarms")[1]["alarms"]}


def events(daemon, kind):
    return [e for e in daemon.request("GET", "/v1/events?since=0")[1]["events"] if e["kind"] == kind]


def test_a_fault_is_tied_to_its_vm(host):
    host.kmsg.say("igb 0000:01:00.0: 2 VFs allocated")
    host.kmsg.fault()
    found = eventually(lambda: entry(host))
    assert (found["vm"], found["port"], found["count"], found["at_least"]) == ("vm1", "wan", 1, False)
    last = found["last"]
    assert (last["kind"], last["address"], last["reason"], last["why"]) == (
        "dma-read", "0x123456000", 6, "the page may not be read")
    raised = eventually(lambda: alarms(host).get(("dma-fault", "vm1/wan")))
    assert raised and "0x123456000" in raised["text"] and "viaduct iommu faults" in raised["hint"]
    assert [(e["object"], "0x123456000" in e["text"]) for e in events(host, "dma-fault")] == [("vm1/wan", True)]
    shown = host.cli("iommu", "faults").stdout
    assert "vm1" in shown and "0x06 the page may not be read" in shown and "limit 2%" in shown
    assert 'owner="vm1/wan",' in metrics(host)
    # One that is nobody's is shown, too.
    host.kmsg.fault(OTHER)
    assert eventually(lambda: entry(host, OTHER))["vm"] is None
    # The alarm ends with the VM.
    host.request("POST", "/v1/vms/vm1/kill", {})
    assert eventually(lambda: ("dma-fault", "vm1/wan") not in alarms(host))
    assert ("dma-fault", OTHER) in alarms(host)
    assert not faults(host)["missing"]["any"]


def test_a_fault_of_a_vm_that_does_not_answer_is_tied_to_it(host):
    pid = host.request("GET", "/v1/vms/vm1")[1]["pid"]
    os.kill(pid, signal.SIGSTOP)
    host.stop()
    host.start()
    assert state(host) == "unknown"
    host.kmsg.fault()
    assert eventually(lambda: ("dma-fault", "vm1/wan") in alarms(host))
    # Neither is it left out where all are audited.
    told = host.request("POST", "/v1/iommu/audit", {})[1]
    assert told["verdict"] != "proven" and "vm1" in json.dumps(told["audits"]), told
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("skew_s", [-3600, 3600])
def test_a_clock_that_drifted_for_months(host, skew_s):
    """Behind: the fault seems to be of before the VM's start. Ahead: from times to come."""
    host.kmsg.skew_us = max(skew_s * 1000000, 1000 - time.monotonic_ns() // 1000)

    def tied():  # what is read while the reader waits, and not what it found at its start
        host.kmsg.fault()
        return [f for f in faults(host)["functions"] if (f["vm"], f["port"]) == ("vm1", "wan")]
    assert eventually(tied)


def test_only_the_kernel_is_believed(host):
    host.kmsg.say("DMAR: [DMA Read NO_PASID] Request device [01:10.0] fault addr 0x1 [fault reason 0x06] x", priority=11)
    host.kmsg.fault(OTHER)
    assert eventually(lambda: entry(host, OTHER))
    assert entry(host) is None


def test_a_storm_hides_nothing_without_saying_so(host):
    for i in range(2000):
        host.kmsg.fault(OTHER, address=0x1000 * i)
    host.kmsg.say("dmar_fault: 131 callbacks suppressed")
    host.kmsg.fault(status=3)
    assert eventually(lambda: entry(host)), faults(host)
    reply = faults(host)
    assert reply["missing"]["any"] and reply["missing"]["suppressed"] == 131
    assert reply["missing"]["overflows"] == 1 and reply["missing"]["limits"] >= 1
    storm = entry(host, OTHER)
    assert storm["count"] == 2000 and storm["at_least"] and entry(host)["at_least"]
    assert len(storm["recent"]) == 8 and storm["recent"][-1]["address"] == hex(0x1000 * 1999)
    assert eventually(lambda: ("faults-lost", "host") in alarms(host))
    assert len(events(host, "dma-fault")) <= 4
    assert reply["reader"]["cpu_share_limit"] == 0.02 and reply["reader"]["cpu_ns"] > 0
    # Records that were overwritten before they were read.
    host.kmsg.seq += 7
    host.kmsg.say("x")
    assert eventually(lambda: faults(host)["missing"]["unread"] == 7)


def test_after_a_restart_only_what_is_new_is_told(host):
    host.kmsg.fault()
    assert eventually(lambda: ("dma-fault", "vm1/wan") in alarms(host))
    said = host.kmsg.seq
    assert len(events(host, "dma-fault")) == 1
    host.stop()
    # The log is read from its oldest record on: the same again, then a new one.
    host.kmsg.seq = said - 2
    host.kmsg.fault()
    host.start()
    assert eventually(lambda: entry(host))["vm"] == "vm1"
    time.sleep(0.3)
    assert len(events(host, "dma-fault")) == 1
    host.kmsg.fault(address=0x777000)
    assert eventually(lambda: len(events(host, "dma-fault")) == 2)


def test_a_log_that_cannot_be_read_is_said(stopped_daemon, short_tmp):
    daemonkit.setup(stopped_daemon, short_tmp)
    (short_tmp / "dev/kmsg").rename(short_tmp / "dev/away")
    daemon = stopped_daemon.start()
    reader = faults(daemon)["reader"]
    assert not reader["readable"] and "kmsg" in reader["why"]
    assert faults(daemon)["functions"] == []
    alarm = eventually(lambda: alarms(daemon).get(("faults-unseen", "host")))
    assert alarm["severity"] == "major" and "no fault of a device is seen" in alarm["text"]
    # It is tried again.
    (short_tmp / "dev/away").rename(short_tmp / "dev/kmsg")
    assert eventually(lambda: ("faults-unseen", "host") not in alarms(daemon))
    Kmsg(stopped_daemon.kmsg_fd).fault()
    assert eventually(lambda: entry(daemon))


def port(daemon, index=0):
    return daemon.request("GET", "/v1/vms/vm1")[1]["ports"][index]


def state(daemon):
    return daemon.request("GET", "/v1/vms/vm1")[1]["state"]


def test_a_port_without_a_name_is_not_all_of_them(host):
    said = host.cli("vm", "quarantine", "vm1/")
    assert said.returncode == 1 and "no VF or function" in said.stderr
    assert port(host)["quarantine"] is None and port(host, 1)["quarantine"] is None


def test_a_port_is_quarantined_and_let_go(host):
    assert host.cli("vm", "quarantine", "vm1/wan").returncode == 0
    q = port(host)["quarantine"]
    assert q["state"] == "on" and q["by"].startswith("uid ") and port(host, 1)["quarantine"] is None
    assert eventually(lambda: ("port-quarantined", "vm1/wan") in alarms(host))
    shown = host.cli("vm", "show", "vm1").stdout
    assert "wan: in quarantine (on)" in shown
    # The VF's own link, where its PF's driver knows one.
    link = eventually(lambda: port(host)["link"])
    assert link == {"state": "lowering", "was": None, "why": "PF 0000:01:00.0 has no network device here"}
    assert f"wan: its link is lowering: {link['why']}" in host.cli("vm", "show", "vm1").stdout
    # It is there after a restart, and asked for again.
    host.stop()
    host.start()
    assert eventually(lambda: port(host)["quarantine"]["state"] == "on")
    assert state(host) == "running"
    assert host.cli("vm", "unquarantine", "vm1").returncode == 0
    assert port(host)["quarantine"] is None
    assert eventually(lambda: port(host)["link"] is None)
    assert eventually(lambda: ("port-quarantined", "vm1/wan") not in alarms(host))
    said = host.cli("vm", "quarantine", "vm1/nosuch")
    assert said.returncode == 1 and "no VF or function nosuch" in said.stderr


def test_what_a_crash_cut_short_is_finished(host):
    host.stop()
    for at, wanted in (("wanted", "on"), ("leaving", None)):
        daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.ports[0].quarantine', json(?))",
                                json.dumps({"state": at, "why": "x", "by": "uid 0", "at": 1}))
        host.start()
        assert eventually(lambda: (port(host)["quarantine"] or {"state": None})["state"] == wanted), (at, wanted)
        host.stop()
    host.start()


@pytest.mark.parametrize("host", [("quarantine", "")], indirect=True)
def test_on_fault_quarantine(host):
    host.kmsg.fault(OTHER)
    assert eventually(lambda: entry(host, OTHER))
    assert port(host)["quarantine"] is None
    host.kmsg.fault()
    q = eventually(lambda: port(host)["quarantine"] and port(host)["quarantine"]["state"] == "on" and port(host)["quarantine"])
    assert q and q["by"] == "on_fault" and "0x123456000" in q["why"]
    assert state(host) == "running" and port(host, 1)["quarantine"] is None
    # Let go, it is acted on again.
    host.cli("vm", "unquarantine", "vm1/wan")
    assert port(host)["quarantine"] is None
    host.kmsg.fault()
    assert eventually(lambda: port(host)["quarantine"])


def test_on_fault_of_a_whole_function(host):
    host.stop()
    disk = [{"name": "disk", "address": "0000:03:00.0", "kind": "nvme", "iommu_group": 9, "on_fault": "quarantine"}]
    daemonkit.ledger_change(host, "UPDATE vms SET facts = json_set(facts, '$.functions', json(?))", json.dumps(disk))
    daemonkit.ledger_change(host, "INSERT INTO functions VALUES(?, 'assigned', 'vm1/disk', 'nvme', '', '', 0, ?, '')",
                            disk[0]["address"], daemonkit.boot_id())
    host.start()

    def found():
        return host.request("GET", "/v1/vms/vm1")[1]["functions"][0]["quarantine"]
    assert found() is None
    host.kmsg.fault("0000:03:00.0")
    q = eventually(lambda: found() and found()["state"] == "on" and found())
    assert q["by"] == "on_fault" and port(host)["quarantine"] is None
    assert eventually(lambda: ("port-quarantined", "vm1/disk") in alarms(host))
    assert host.cli("vm", "unquarantine", "vm1/disk").returncode == 0
    assert found() is None


@pytest.mark.parametrize("host", [("stop", "")], indirect=True)
def test_on_fault_stop(host):
    host.kmsg.fault()
    assert eventually(lambda: state(host) == "stopped")
    assert "on_fault: stop of port wan: DMA read from 0x123456000" in host.request("GET", "/v1/vms/vm1")[1]["exit"]["text"]


@pytest.mark.parametrize("host", [("quarantine", "defiant")], indirect=True)
def test_a_vmm_that_does_not_obey_is_killed(host):
    host.kmsg.fault()
    assert eventually(lambda: state(host) in ("stopped", "failed"))
    assert "did not quarantine port wan" in host.request("GET", "/v1/vms/vm1")[1]["exit"]["text"]


@pytest.mark.parametrize("host", [("report", "old")], indirect=True)
def test_a_vmm_that_is_too_old_is_said(host):
    said = host.cli("vm", "quarantine", "vm1/wan")
    assert said.returncode == 1 and "older than quarantines" in said.stderr
    assert port(host)["quarantine"] is None and state(host) == "running"

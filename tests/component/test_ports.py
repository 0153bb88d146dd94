# SPDX-License-Identifier: BSD-3-Clause
"""Ports on the polled engine, with the daemon's real half and a viaduct-pmd and a viaduct-vmm that only speak their contracts."""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal

import daemonkit
import pytest
from pmdkit import Pmd, pmd_program  # noqa: F401 (fixture)
from vhost_front import GET_FEATURES

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = """networks:
  - {name: mgt, uplinks: []}
  - {name: lan, uplinks: ["0000:01:00.0", nul]}
  - {name: card, uplinks: ["0000:01:00.0"]}
uplinks: [{name: nul, kind: "null"}]
"""
PORTS = "ports:\n  - {name: a, network: mgt, engine: polled, rate: 5G, vlan: {ids: [7]}, queues: 2, backend_grace: 5s}\n"


@pytest.fixture
def polled(stopped_daemon, short_tmp):
    short_tmp.chmod(0o755)  # viaduct-pmd has a uid of its own
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    stopped_daemon.config.write_text(CONFIG)
    stopped_daemon.args += ["--pmd-path", str(HERE / "fake_pmd.py")]
    yield stopped_daemon.start()
    for vm in stopped_daemon.request("GET", "/v1/vms")[1].get("vms", []):
        stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})
    eventually_gone(stopped_daemon)
    pid = pmd_pid(stopped_daemon)
    stopped_daemon.stop()  # first: it would start another one
    pmd_kill(pid)


def pmd_pid(daemon):
    """Of the daemon's viaduct-pmd; None: it has none now."""
    return daemon.request("GET", "/v1/uplinks")[1]["backend"]["pid"]


def pmd_kill(pid):
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually_gone(daemon):
    assert daemonkit.eventually(lambda: not [vm for vm in daemon.request("GET", "/v1/vms")[1]["vms"] if vm["pid"]])


def run(daemon, folder, name="vm1", ports=PORTS, cmdline=""):
    return daemon.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(folder, name, cmdline, ports)})


def port(daemon, vm="vm1", name="a"):
    status, reply = daemon.request("GET", f"/v1/vms/{vm}/ports?port={name}")
    assert status == 200, reply
    return reply["ports"][0]


def backend_knows(daemon):
    return {p["port"]: p for p in (json.loads(ask_pmd(daemon, {"op": "status"}))["result"]["ports"])}


def ask_pmd(daemon, message):
    import socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(str(next((daemon.run_dir / "pmd").rglob("control.sock"))))
        sock.send(json.dumps({"v": 1, **message}).encode())
        return sock.recv(1 << 20)


def test_a_vm_with_a_polled_port_alone_needs_no_iommu_and_no_vf(polled, short_tmp):
    status, vm = run(polled, short_tmp)
    assert status == 200, vm
    assert vm["dma"] is None
    one = vm["ports"][0]
    assert (one["engine"], one["wanted"], one["network"], one["vf"], one["fallback"]) == ("polled", "polled", "mgt", None, None)
    assert one["vlan"] == 7 and one["queues"] == 2 and one["grace_ms"] == 5000
    assert one["policy"]["rate"] == 5 * 10**9 and one["policy"]["mac"] == one["mac"] and one["mac"].startswith("02:76:64")
    assert one["net"]["ring"] == "packed" and one["net"]["link"] is True
    assert set(backend_knows(polled)) == {"vm1/a"}
    rows = polled.cli("port", "list").stdout
    assert "vm1/a" in rows and "polled" in rows and one["mac"] in rows
    shown = polled.cli("port", "show", "vm1/a").stdout
    assert "5 Gb/s" in shown and "5.00 s" in shown
    assert "served by the polled backend on network mgt" in polled.cli("vm", "show", "vm1").stdout


def test_the_port_goes_with_its_vm_whatever_its_end(polled, short_tmp):
    _, vm = run(polled, short_tmp)
    os.kill(vm["pid"], signal.SIGKILL)
    eventually_gone(polled)
    assert backend_knows(polled) == {}
    assert not list((polled.run_dir / "pmd").rglob("[0-9]*.sock"))
    assert run(polled, short_tmp)[0] == 200
    polled.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 10})
    assert backend_knows(polled) == {}


@pytest.mark.parametrize("word", ["fail", "die"])
def test_a_start_that_fails_leaves_nothing(polled, short_tmp, word):
    status, reply = run(polled, short_tmp, cmdline=word)
    assert status >= 400, reply
    assert polled.request("GET", "/v1/vms")[1]["vms"] == []
    assert backend_knows(polled) == {}
    assert not list((polled.run_dir / "pmd").rglob("[0-9]*.sock"))


def test_a_backend_that_refuses_the_port_fails_the_start(polled, short_tmp):
    assert run(polled, short_tmp, "first")[0] == 200
    words = next((polled.run_dir / "pmd").rglob("control.sock")).with_name("words")
    words.write_text("refuse=port-add")
    status, reply = run(polled, short_tmp, "second")
    assert status >= 400 and "port a" in reply["error"]["text"], reply
    words.unlink()
    assert [vm["name"] for vm in polled.request("GET", "/v1/vms")[1]["vms"]] == ["first"]
    assert set(backend_knows(polled)) == {"first/a"}


def test_a_changed_policy_outlives_the_daemon_and_the_backend(polled, short_tmp):
    assert run(polled, short_tmp)[0] == 200
    done = polled.cli("port", "set", "vm1/a", "rate=100M", "vlan=10,20", "storm=50", "link=down", "macs=02:00:00:00:00:07")
    assert done.returncode == 0, done.stderr
    assert port(polled)["net"]["link"] is False
    pid = pmd_pid(polled)
    polled.stop(signal.SIGKILL)
    pmd_kill(pid)
    polled.start()
    policy = port(polled)["policy"]
    assert (policy["rate"], policy["storm"], policy["link"]) == (100 * 10**6, 50, "down")
    assert policy["vlan"] == {"mode": "trunk", "ids": [10, 20], "proto": "802.1Q", "qos": 0}
    assert daemonkit.eventually(lambda: "vm1/a" in backend_knows(polled))
    assert "link" in polled.cli("events").stdout


def test_the_carrier_follows_the_uplinks_where_it_should(polled, short_tmp):
    ports = ("ports:\n  - {name: a, network: lan, engine: polled}\n"
             "  - {name: b, network: lan, engine: polled, uplink_loss: keep}\n  - {name: c, network: mgt, engine: polled}\n")
    assert run(polled, short_tmp, ports=ports)[0] == 200

    def links():
        return {name: port(polled, name=name)["net"]["link"] for name in "abc"}

    words = next((polled.run_dir / "pmd").rglob("control.sock")).with_name("words")
    assert links() == {"a": True, "b": True, "c": True}
    words.write_text("down=nul")
    assert daemonkit.eventually(lambda: links() == {"a": False, "b": True, "c": True})
    # One that is set meanwhile follows, too; and whose link the operator has set does not.
    assert polled.cli("port", "set", "vm1/a", "link=up").returncode == 0 and links()["a"]
    assert polled.cli("port", "set", "vm1/a", "link=auto").returncode == 0
    assert daemonkit.eventually(lambda: links() == {"a": False, "b": True, "c": True})
    assert polled.cli("port", "set", "vm1/b", "uplink_loss=propagate").returncode == 0
    assert daemonkit.eventually(lambda: links() == {"a": False, "b": False, "c": True})
    words.unlink()
    assert daemonkit.eventually(lambda: links() == {"a": True, "b": True, "c": True})


def test_what_is_refused_changes_nothing(polled, short_tmp):
    assert run(polled, short_tmp)[0] == 200
    before = port(polled)["policy"]
    for body, text in (({"port": "a"}, "nothing to set"), ({"port": "a", "rate": 5}, "whole Mbit/s"),
                       ({"port": "a", "vlan": [1, 1]}, "twice"), ({"link": "up"}, "which one")):
        status, reply = polled.request("POST", "/v1/vms/vm1/ports/set", body)
        assert status == 400 and text in reply["error"]["text"], reply
    assert polled.request("POST", "/v1/vms/vm1/ports/set", {"port": "b", "link": "up"})[0] == 404
    assert polled.request("POST", "/v1/vms/nosuch/ports/set", {"port": "a", "link": "up"})[0] == 404
    words = next((polled.run_dir / "pmd").rglob("control.sock")).with_name("words")
    words.write_text("refuse=port-set")
    status, reply = polled.request("POST", "/v1/vms/vm1/ports/set", {"port": "a", "link": "down", "storm": 9})
    assert status >= 400, reply
    words.unlink()
    assert port(polled)["policy"] == before and port(polled)["net"]["link"] is True
    refused = polled.cli("port", "set", "vm1/a", "mac=02:00:00:00:00:01")
    assert refused.returncode == 2 and "cannot change while the VM runs" in refused.stderr


def test_a_vmm_from_before_set_link_keeps_the_rest(polled, short_tmp):
    assert run(polled, short_tmp, cmdline="old")[0] == 200
    status, reply = polled.request("POST", "/v1/vms/vm1/ports/set", {"port": "a", "link": "down"})
    assert status == 409 and reply["error"]["code"] == "vmm-too-old", reply
    assert port(polled)["policy"]["link"] == "auto"
    assert polled.request("POST", "/v1/vms/vm1/ports/set", {"port": "a", "storm": 9})[0] == 200


def test_ports_count(polled, short_tmp):
    assert run(polled, short_tmp)[0] == 200
    status, reply = polled.request("GET", "/v1/vms/vm1/ports/stats?port=a")
    one = reply["ports"][0]
    assert status == 200 and one["from_guest"] == {"packets": 3, "bytes": 180} and one["kicks"] == 1 and one["drops"]["spoofed"] == 0
    shown = polled.cli("port", "stats").stdout
    assert "vm1/a" in shown and "DROPS" in shown
    assert len(polled.cli("port", "stats", "vm1/a", "--json").stdout) > 0
    assert polled.request("GET", "/v1/vms/vm1/ports/stats?port=nosuch")[0] == 404
    polled.request("POST", "/v1/vms/vm1/kill", {})
    assert polled.request("GET", "/v1/vms/vm1/ports/stats?port=a")[0] == 409
    assert polled.request("GET", "/v1/ports/stats")[1]["ports"] == []


def test_without_a_fit_vf_the_port_falls_back_and_says_so(polled, short_tmp):
    ports = "ports: [{name: a, network: %s, engine: auto, fallback: polled}]\n"
    status, checked = polled.request("POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, "vm1", "", ports % "lan")})
    assert status == 200 and "port a: the polled backend, network lan; no VF: " in checked["plan"][0], checked
    status, vm = run(polled, short_tmp, ports=ports % "lan")
    assert status == 200, vm
    one = vm["ports"][0]
    assert (one["engine"], one["wanted"]) == ("polled", "auto") and one["fallback"]["why"]

    def alarms():
        return [(a["kind"], a["object"]) for a in polled.request("GET", "/v1/alarms")[1]["alarms"]]
    assert daemonkit.eventually(lambda: ("port-fallback", "vm1/a") in alarms())
    assert "no VF" in polled.cli("port", "list").stdout
    polled.request("POST", "/v1/vms/vm1/kill", {})
    assert daemonkit.eventually(lambda: ("port-fallback", "vm1/a") not in alarms())
    status, reply = run(polled, short_tmp, ports=ports % "card")
    assert status >= 400 and reply["error"]["code"] == "no-polled-uplink", reply


def test_two_ports_of_one_network_have_two_addresses(polled, short_tmp):
    fixed = "ports: [{name: a, network: mgt, engine: polled, mac: '02:00:00:00:00:05'}]\n"
    assert run(polled, short_tmp, ports=fixed)[0] == 200
    status, reply = run(polled, short_tmp, "vm2", fixed)
    assert status == 409 and reply["error"]["code"] == "mac-in-use" and "vm1/a" in reply["error"]["text"], reply
    status, reply = polled.request("POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, "vm2", "", fixed)})
    assert reply["error"]["code"] == "mac-in-use", reply


def test_check_says_who_would_serve(polled, short_tmp):
    status, reply = polled.request("POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, "vm1", "", PORTS)})
    assert status == 200 and "port a: the polled backend, network mgt" in reply["plan"], reply
    assert polled.request("GET", "/v1/ports")[1] == {"ports": []}


def test_the_backend_may_have_the_descriptors_of_as_many_ports_as_it_takes(polled, pmd_program, short_tmp):
    assert run(polled, short_tmp)[0] == 200
    limits = pathlib.Path(f"/proc/{pmd_pid(polled)}/limits").read_text()
    bound = int(re.search(r"Max open files +(\d+)", limits)[1])
    (short_tmp / "real").mkdir()
    pmd = Pmd(pmd_program, short_tmp / "real").start()
    try:
        resource.prlimit(pmd.process.pid, resource.RLIMIT_NOFILE, (bound, bound))
        pmd.call("network-add", name="lan", uplinks=[], bond="none")
        with contextlib.ExitStack() as fronts:
            for n in range(256):
                front = fronts.enter_context(pmd.port(f"vm{n}/a", "lan", pairs=8, mac=f"02:00:00:00:{n:02x}:01"))
                front.accept()
                front.negotiate()
                front.memory_tell()
                for ring in range(16):
                    front.ring_tell(ring)
                front.ask(GET_FEATURES)
            assert {p["state"] for p in pmd.call("status")["ports"]} == {"connected"}, pmd.text()
            assert pmd.stop() == 0, pmd.text()
    finally:
        pmd.kill()

# SPDX-License-Identifier: BSD-3-Clause
"""The polled engine as an operator meets it: viaduct-pmd is started, found again, and comes back; what it says is checked."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import stat
import time

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_events import metrics, openmetrics_parse

CONFIG = """uplinks:
  - {name: wire0, kind: tap, device: vtap0}
  - {name: wire1, kind: 'null', mtu: 9000}
networks:
  - {name: lan, uplinks: [wire0, wire1], bond: 802.3ad}
  - {name: inner, uplinks: []}
"""


@pytest.fixture
def polled(stopped_daemon, short_tmp):
    """A daemon with two uplinks and two networks; its viaduct-pmd ends with the case."""
    daemonkit.setup(stopped_daemon, short_tmp)
    stopped_daemon.config.write_text(CONFIG)
    short_tmp.chmod(0o711)  # the way to its socket, for who is not root
    yield stopped_daemon.start()
    pid = pid_of(stopped_daemon)
    stopped_daemon.stop()
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def get(daemon, path):
    status, reply = daemon.request("GET", path)
    assert status == 200, reply
    return reply


def pid_of(daemon):
    return get(daemon, "/v1/uplinks")["backend"]["pid"]


def states(daemon):
    return {up["name"]: up["state"] for up in get(daemon, "/v1/uplinks")["uplinks"]}


def is_ready(daemon):
    return states(daemon) == {"wire0": "up", "wire1": "up"} and all(net["problem"] is None for net in get(daemon, "/v1/networks")["networks"])


def words(daemon, *said):
    (daemon.run_dir / "pmd/net0/words").write_text(" ".join(said))


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ask(daemon, **body):
    """A request to the fake viaduct-pmd, as root or whoever began it may make it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(daemon.run_dir / "pmd/net0/control.sock"))
        s.send(json.dumps({"v": 1, **body}).encode())
        reply = json.loads(s.recv(65536))
        assert reply["ok"], reply
        return reply["result"]


def alarms(daemon):
    return {(a["kind"], a["object"]): a["text"] for a in get(daemon, "/v1/alarms")["alarms"]}


def test_what_the_file_wants_is_there(polled):
    assert eventually(lambda: is_ready(polled)), polled.text()
    status = ask(polled, op="status")
    assert status["networks"][0] == {"name": "lan", "uplinks": ["wire0", "wire1"], "bond": "802.3ad", "active": "wire0", "ports": 0}
    assert status["networks"][1]["uplinks"] == [] and status["networks"][1]["bond"] == "none"
    assert [(u["name"], u["kind"], u["device"], u["mtu"]) for u in status["uplinks"]] == [
        ("wire0", "tap", "vtap0", 1500), ("wire1", "null", "", 9000)]
    assert status["spec"]["memory"] == 128 << 20 and status["spec"]["idle"] == "adaptive"
    assert "caps" not in status["spec"] and isinstance(status["spec"]["hugepages"], bool)
    wire = get(polled, "/v1/uplinks/wire0")
    assert wire["rx"] == {"packets": 3, "bytes": 180, "drops": 1} and wire["backend"]["lcores"][0]["busy"] == 0.25
    lan = get(polled, "/v1/networks/lan")
    assert lan["active"] == "wire0" and lan["macs"][0]["at"] == "fw1/mgt"
    assert get(polled, "/v1/networks/inner")["polled"] is True
    assert polled.request("GET", "/v1/uplinks/wire2")[1]["error"]["code"] == "no-such-uplink"


def test_who_it_is(polled):
    assert eventually(lambda: is_ready(polled))
    pid = pid_of(polled)
    facts = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="ascii").read().splitlines() if ":\t" in line)
    folder, sock = polled.run_dir / "pmd/net0", polled.run_dir / "pmd/net0/control.sock"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o710 and stat.S_IMODE(sock.stat().st_mode) == 0o600
    assert os.getsid(pid) == pid
    if os.geteuid() == 0:
        uid = 2147000000 + 9999
        assert facts["Uid"].split() == [str(uid)] * 4 and facts["Groups"].strip() == ""
        assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == int(facts["CapAmb"], 16) == 1 << 12  # CAP_NET_ADMIN of the TAP
        assert folder.stat().st_uid == 0 and folder.stat().st_gid == uid


def test_it_comes_back_with_all_it_had(polled):
    assert eventually(lambda: is_ready(polled))
    first = pid_of(polled)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: pid_of(polled) not in (None, first) and is_ready(polled)), polled.text()
    assert len(ask(polled, op="status")["networks"]) == 2
    texts = [e["text"] for e in get(polled, "/v1/events")["events"] if e["kind"] == "backend"]
    assert "viaduct-pmd net0 is gone: signal 9 ended it" in texts
    assert sum(text.startswith("viaduct-pmd net0 started") for text in texts) == 2
    assert get(polled, "/v1/uplinks")["backend"]["restarts"] == 1


def test_killed_while_it_serves_it_is_back_at_once_each_time(polled):
    """One that dies as it starts is waited for ever longer (1, 2, 4 s); guests do not wait so for one that served."""
    for _ in range(6):
        assert eventually(lambda: is_ready(polled))
        time.sleep(2.5)
        pid = pid_of(polled)
        os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        assert eventually(lambda: pid_of(polled) not in (None, pid)), polled.text()  # noqa: B023
    assert time.monotonic() - begin < 20  # it would be 32 s by now


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_outlives_the_daemon(polled, how):
    assert eventually(lambda: is_ready(polled))
    first = pid_of(polled)
    polled.stop(how)
    assert runs(first)
    polled.start()
    assert eventually(lambda: is_ready(polled))
    assert pid_of(polled) == first
    assert ask(polled, op="status")["asked"] == ["uplink-add", "uplink-add", "network-add", "network-add"]


def test_another_configuration(polled):
    """What is new is added, what is too much goes, what stays is not touched; another start needs another process."""
    assert eventually(lambda: is_ready(polled))
    first = pid_of(polled)
    polled.stop()
    polled.config.write_text(CONFIG.replace("[wire0, wire1], bond: 802.3ad", "[wire0]").replace("name: inner", "name: other"))
    polled.start()
    assert eventually(lambda: is_ready(polled) and {n["name"] for n in ask(polled, op="status")["networks"]} == {"lan", "other"})
    status = ask(polled, op="status")
    assert pid_of(polled) == first and status["asked"].count("uplink-add") == 2
    assert [n["uplinks"] for n in sorted(status["networks"], key=lambda n: n["name"])] == [["wire0"], []]
    polled.stop()
    polled.config.write_text(CONFIG + "backends: {memory: 64M}\n")
    polled.start()
    assert eventually(lambda: is_ready(polled) and pid_of(polled) != first)
    assert ask(polled, op="status")["spec"]["memory"] == 64 << 20
    second = pid_of(polled)
    polled.stop()
    polled.config.write_text("")
    polled.start()
    assert get(polled, "/v1/uplinks") == {"uplinks": [], "backend": {"name": "net0", "state": "off", "pid": None, "dpdk": None,
                                                                      "restarts": 0, "lcores": [], "problem": None}}
    assert not runs(second)


def test_alarms_are_raised_and_cleared(polled):
    assert eventually(lambda: is_ready(polled))
    assert not alarms(polled)
    words(polled, "down=wire0")
    assert eventually(lambda: alarms(polled) == {("uplink-down", "wire0"): "uplink wire0 has no link"}), alarms(polled)
    assert states(polled) == {"wire0": "down", "wire1": "up"}
    words(polled, "broken")
    os.kill(pid_of(polled), signal.SIGKILL)
    assert eventually(lambda: list(alarms(polled)) == [("backend-down", "net0")]), alarms(polled)
    words(polled)
    assert eventually(lambda: is_ready(polled) and not alarms(polled)), alarms(polled)


def test_metrics(polled):
    assert eventually(lambda: is_ready(polled))
    got = openmetrics_parse(metrics(polled))
    text = metrics(polled)
    assert got and 'viaduct_uplink_packets_total{uplink="wire0",direction="rx"} 3\n' in text
    assert 'viaduct_uplink_drops_total{uplink="wire1",direction="rx"} 1\n' in text
    assert 'viaduct_backend_up{backend="net0"} 1\n' in text and 'viaduct_lcore_busy_ratio{lcore="0",cpu="-1"} 0.2500\n' in text
    words(polled, "hang")
    assert 'viaduct_uplink_packets_total{' not in metrics(polled)


def test_an_uplink_that_is_refused(polled):
    assert eventually(lambda: is_ready(polled))
    words(polled, "refuse=uplink-add")
    os.kill(pid_of(polled), signal.SIGKILL)
    assert eventually(lambda: states(polled) == {"wire0": "failed", "wire1": "failed"}), states(polled)
    wire = get(polled, "/v1/uplinks/wire0")
    assert wire["problem"] == "it does not want to"
    assert "uplink wire0: it does not want to" in get(polled, "/v1/networks/lan")["problem"]
    assert get(polled, "/v1/networks/inner")["problem"] is None


@pytest.mark.parametrize("word", ["lie", "huge", "garbage"])
def test_one_that_lies_is_ended(polled, word):
    assert eventually(lambda: is_ready(polled))
    first = pid_of(polled)
    words(polled, word)
    assert eventually(lambda: pid_of(polled) != first), polled.text()
    words(polled)
    assert eventually(lambda: is_ready(polled))
    assert polled.proc.poll() is None


def test_one_that_cannot_start(polled):
    assert eventually(lambda: is_ready(polled))
    words(polled, "broken")
    os.kill(pid_of(polled), signal.SIGKILL)
    assert eventually(lambda: get(polled, "/v1/uplinks")["backend"]["problem"] == "viaduct-pmd net0: no memory for packets")
    words(polled)
    assert eventually(lambda: is_ready(polled))

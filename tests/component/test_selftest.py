# SPDX-License-Identifier: BSD-3-Clause
"""host selftest: the daemon on a host that cannot do much, and the command with its report."""

import json
import re

import daemonkit
import pytest
from cli_daemon import error, ok
from daemonkit import eventually

PF = daemonkit.MACHINE
OWNER = "@selftest/vf"
NEED_VF = {"vf", "isolation", "function", "dma", "vcpu", "vfio-interrupt", "device-interrupt", "guest-interrupt",
           "posted-interrupt", "reset", "scrub"}
URL = "/v1/host/selftest"


@pytest.fixture
def host(stopped_daemon, short_tmp):
    """One PF, no VF yet."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    with daemonkit.PfDriver(sysfs, PF):
        yield stopped_daemon.start()


def states(daemon):
    return {v["index"]: (v["state"], v["owner"]) for v in daemon.request("GET", "/v1/vfs")[1]["vfs"]}


def steps_of(report):
    steps = {s["id"]: s for s in report["steps"]}
    assert len(steps) == len(report["steps"]) == 14
    return steps


def test_without_a_free_vf_it_is_incomplete(host):
    status, report = host.request("POST", URL, {})
    assert status == 200, report
    steps = steps_of(report)
    assert all(steps[i]["result"] == "not-run" for i in NEED_VF), steps
    assert "viaduct pf apply" in steps["vf"]["hint"], steps["vf"]
    assert report["vf"] is None and report["report"] == 1 and report["at"] > 1700000000
    assert host.request("POST", URL, {"pf": "enp9s9"})[1]["error"]["code"] == "no-such-pf"
    assert host.request("POST", URL, {"pf": PF})[0] == 200
    assert host.request("POST", URL, {"vf": "x"})[0] == 400


def test_what_fails_is_said_and_the_vf_is_free_again(host):
    """Here is no VFIO: the tester never runs."""
    assert host.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 2})[0] == 200
    before = host.request("GET", "/v1/events")[1]["events"]
    status, report = host.request("POST", URL, {"pf": PF})
    assert status == 200 and report["verdict"] == "fail", report
    steps = steps_of(report)
    assert steps["vf"]["result"] == "pass" and OWNER in steps["vf"]["text"]
    assert report["vf"]["address"] == daemonkit.vf_address(PF, 0) and report["vf"]["device"] == "8086:10ca"
    assert any(s["result"] == "fail" and s["text"] for s in report["steps"])
    assert set(states(host).values()) == {("free", None)}
    events = host.request("GET", "/v1/events")[1]["events"][len(before):]
    assert any(e["object"] == f"{PF}#0" or daemonkit.vf_address(PF, 0) in json.dumps(e) for e in events), events
    text = json.dumps(report)
    assert not re.search(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text), "a MAC is in it"
    assert "serial" not in text and "uuid" not in text


@pytest.mark.parametrize("state", ["leased", "bound", "scrubbing"])
def test_what_a_crash_leaves_is_given_back(host, state):
    assert host.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 2})[0] == 200
    host.stop()
    daemonkit.vf_assign(host, OWNER, 0, state)
    host.start()
    eventually(lambda: set(states(host).values()) == {("free", None)})


def test_the_command_shows_and_keeps_the_report(fake, tmp_path):  # noqa: F811
    steps = [{"id": "cpu", "proves": "it virtualizes", "result": "pass", "text": "NPT", "hint": None, "us": 1234},
             {"id": "reset", "proves": "resets", "result": "not-run", "text": "no VF", "hint": "make one", "us": 0}]
    report = {"report": 1, "verdict": "incomplete", "steps": steps, "kernel": "6.1", "iommu": "VT-d", "vf": None,
              "cpu": {"vendor": "AuthenticAMD", "family": "23"}, "board": {}}
    fake.reply("POST", URL, report)
    done = fake.run("host", "selftest", "--pf", "pf0", cwd=tmp_path)
    assert done.returncode == 1, done
    assert re.search(r"^pass +it virtualizes  \(1\.2 ms\)\n +NPT$", done.stdout, re.M), done.stdout
    assert re.search(r"^not run +resets\n +no VF\n +try: make one$", done.stdout, re.M), done.stdout
    assert "1 passed, 0 failed, 1 not run: incomplete" in done.stdout
    kept, = tmp_path.iterdir()
    assert kept.name.startswith("viaduct-selftest-") and json.loads(kept.read_text()) == report
    assert fake.requests[-1] == ("POST", URL, {"pf": "pf0"})
    report["verdict"] = "pass"
    out = tmp_path / "mine.json"
    assert f"report: {out}" in ok(fake.run("host", "selftest", "--out", out))
    asked = len(fake.requests)
    done = fake.run("host", "selftest", "--out", out)
    assert done.returncode == 1 and "File exists" in done.stderr and len(fake.requests) == asked, "nothing is tested"
    assert json.loads(ok(fake.run("host", "selftest", "--json", cwd=tmp_path))) == report
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.json", kept.name]


def test_who_is_refused_has_no_report(fake, tmp_path):  # noqa: F811
    fake.reply("POST", URL, error("selftest-running", "a self test is under way", "later", 16), 409)
    done = fake.run("host", "selftest", cwd=tmp_path)
    assert done.returncode == 1 and "under way" in done.stderr and not list(tmp_path.iterdir())
    for odd in ({}, {"steps": 3}, {"steps": [{"result": "PASS"}]}):
        fake.reply("POST", URL, odd)
        assert fake.run("host", "selftest", cwd=tmp_path).returncode == 1


def test_one_self_test_at_a_time(stopped_daemon, short_tmp):
    daemonkit.pf_make(daemonkit.setup(stopped_daemon, short_tmp))
    slow, asked = short_tmp / "slow-vmm", short_tmp / "asked"
    slow.write_text(f"#!/bin/sh\n: >{asked}\nsleep 3\n")
    slow.chmod(0o755)
    stopped_daemon.args += ["--vmm-path", str(slow)]
    stopped_daemon.start()
    status, reply = stopped_daemon.request("POST", URL, {}, Prefer="respond-async")
    assert status == 202 and reply["operation"]["kind"] == "host-selftest", reply
    eventually(asked.exists)
    status, answer = stopped_daemon.request("POST", URL, {})
    assert status == 409 and answer["error"]["code"] == "selftest-running" and answer["error"]["hint"], answer
    done = stopped_daemon.request("GET", f"/v1/operations/{reply['operation']['id']}?wait=30")[1]["operation"]
    assert done["state"] == "done" and done["result"]["verdict"] in ("fail", "incomplete"), done

# SPDX-License-Identifier: BSD-3-Clause
"""Changes that nobody waits for: their steps, their ends, their bounds, and who may know. One daemon for most of it."""

import json
import os
import time

import daemonkit
import pytest
from test_vm_owner import OTHER, OWNER, ask, owned  # noqa: F401

ASYNC = {"Prefer": "respond-async"}


def begin(daemon, path, body):
    status, reply = daemon.request("POST", path, body, **ASYNC)
    assert status == 202, reply
    return reply["operation"]


def look(daemon, operation, query=""):
    status, reply = daemon.request("GET", f"/v1/operations/{operation['id']}{query}", seconds=90)
    assert status == 200, reply
    return reply["operation"]


def deaf(folder, name="vm1"):
    return {"yaml": daemonkit.vm_yaml(folder, name, cmdline="deaf")}


def test_operations(host, short_tmp):
    # A start: begun at once, without a name until the file is read; its result is what the reply would have been.
    begun = begin(host, "/v1/vms", deaf(short_tmp))
    assert (begun["kind"], begun["state"], begun["result"], begun["uid"]) == ("vm-run", "running", None, os.getuid())
    done = look(host, begun, "?wait=30")
    assert (done["state"], done["target"], done["status"], done["error"]) == ("done", "vm1", 200, None)
    assert (done["result"]["name"], done["result"]["state"]) == ("vm1", "running")
    assert len(done["steps"]) >= 3 and sorted(s["ms"] for s in done["steps"]) == [s["ms"] for s in done["steps"]]
    assert done["steps"][-1]["ms"] <= done["took_ms"]

    # What fails says so in the words of the request, and with its status.
    failed = look(host, begin(host, "/v1/vms", {"yaml": "name: x\n"}), "?wait=30")
    status, reply = host.request("POST", "/v1/vms", {"yaml": "name: x\n"})
    assert (failed["state"], failed["status"], failed["result"]) == ("failed", status, None) and status == 400
    assert failed["error"] == reply["error"]

    # A stop that takes its time: a look at it does not, and nor does anybody else's request.
    stop = begin(host, "/v1/vms/vm1/stop", {"timeout_s": 2})
    first = look(host, stop, "?wait=10&steps=0")
    assert first["state"] == "running" and "power button" in first["steps"][0]["step"]
    assert host.request("GET", "/v1/vms/vm1")[1]["state"] == "stopping"
    shown = host.request("GET", "/v1/operations")[1]["operations"]
    assert [o["kind"] for o in shown] == ["vm-stop", "vm-run", "vm-run"] and "result" not in shown[0]
    follower = host.cli("operation", "show", stop["id"], "--follow")
    assert follower.returncode == 0 and "is killed" in follower.stdout and follower.stdout.endswith("done\n")
    assert look(host, stop)["result"]["exit"]["reason"] == "killed"

    # The commands.
    vm = short_tmp / "vm1.yaml"
    vm.write_text(daemonkit.vm_yaml(short_tmp))
    said = host.cli("vm", "run", str(vm), "--no-wait")
    assert said.returncode == 0 and said.stderr == ""
    assert host.cli("operation", "show", said.stdout.strip(), "--follow").returncode == 0
    again = json.loads(host.cli("vm", "run", str(vm), "--no-wait", "--json").stdout)["operation"]
    ended = host.cli("operation", "show", again["id"], "--follow")
    assert ended.returncode == 1 and "vm1" in ended.stderr and "vm-run" in host.cli("operation", "list").stdout
    text = host.cli("operation", "show", again["id"])
    assert text.returncode == 0 and "vm-exists" in text.stdout + json.dumps(look(host, again))
    wrong = short_tmp / "wrong.yaml"
    wrong.write_text("name: x\n")
    bad = host.cli("vm", "run", str(wrong), "--no-wait").stdout.strip()
    assert host.cli("operation", "show", bad, "--follow").returncode == 2
    assert host.cli("vm", "run", str(vm), "--no-wait", "--dry-run").returncode == 2


def test_bounds_and_the_daemons_end(host, short_tmp):
    assert host.request("POST", "/v1/vms", deaf(short_tmp))[0] == 200
    many = [begin(host, "/v1/vms/vm1/stop", {"timeout_s": 600}) for _ in range(32)]
    status, reply = host.request("POST", "/v1/vms/vm1/stop", {"timeout_s": 600}, **ASYNC)
    assert (status, reply["error"]["code"]) == (503, "too-many-operations")
    # A place is free when one ends; they all end with the VM. One that has not found it running yet would fail.
    assert all(look(host, o, "?wait=60&steps=0")["steps"] for o in many)
    assert host.request("POST", "/v1/vms/vm1/kill", {})[0] == 200
    ended = [look(host, o, "?wait=60") for o in many]
    assert {o["state"] for o in ended} == {"done"}, [o["error"] for o in ended if o["state"] != "done"]
    assert host.request("POST", "/v1/vms", deaf(short_tmp))[0] == 200
    stop = begin(host, "/v1/vms/vm1/stop", {"timeout_s": 600})
    # The daemon does not wait for a guest; the VM goes on, and the operation is no more.
    began = time.monotonic()
    assert host.stop() == 0 and time.monotonic() - began < 60
    host.start()
    status, reply = host.request("GET", f"/v1/operations/{stop['id']}")
    assert (status, reply["error"]["code"]) == (404, "no-such-operation") and "events" in reply["error"]["hint"]
    assert host.request("GET", "/v1/operations")[1] == {"operations": []}
    assert host.request("GET", "/v1/vms/vm1")[1]["pid"]
    assert begin(host, "/v1/vms/vm1/kill", {})["id"] != many[0]["id"]


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be several users")
def test_who_may_read_it(owned):  # noqa: F811
    status, reply = ask(owned, OWNER, "POST", "/v1/vms/vm1/stop", {"timeout_s": 5}, headers=("Prefer: respond-async",))
    assert status == 202 and reply["operation"]["uid"] == OWNER
    path = f"/v1/operations/{reply['operation']['id']}?wait=20"
    assert ask(owned, OWNER, "GET", path)[1]["operation"]["result"]["state"] == "stopped"
    assert ask(owned, 0, "GET", path)[0] == 200
    status, reply = ask(owned, OTHER, "GET", path)
    assert (status, reply["error"]["code"]) == (403, "not-allowed")
    assert ask(owned, OTHER, "GET", "/v1/operations")[1]["operations"][0]["kind"] == "vm-stop"
    assert ask(owned, OTHER, "POST", "/v1/vms/vm2/stop", {}, headers=("Prefer: respond-async",))[0] == 403

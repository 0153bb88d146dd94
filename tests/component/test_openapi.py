# SPDX-License-Identifier: BSD-3-Clause
"""The server and docs/openapi.yaml say the same, in both directions."""

import json
import os
import re
import signal

import daemonkit
import iommukit
import jsonschema
import pytest
from openapi import Api

API = Api()
PF = daemonkit.MACHINE
FN = "0000:02:00.0"
CONFIG = (f'networks: [{{name: net, uplinks: ["{PF}", "enp9s0", wire0]}}]\npfs: [{{name: "{PF}", vfs: 2}}]\n'
          "uplinks: [{name: wire0, kind: tap, device: vtap0}]\n")
WRONG = {"string": [7, True, None, [], {}], "integer": ["7", 1.5, True, None, [], {}, -1, (1 << 63) - 1],
         "boolean": ["true", 1, None, [], {}], "array": ["x", 1, True, None, {}], "object": [[], 1, "x", None]}


@pytest.fixture
def world(stopped_daemon, short_tmp):
    """A host on which each operation has something to answer with."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    fn = daemonkit.pf_make(sysfs, FN)
    for name in ("sriov_totalvfs", "sriov_numvfs", "sriov_drivers_autoprobe"):
        (fn / name).unlink()
    iommukit.setup(sysfs)
    stopped_daemon.config.write_text(CONFIG)
    with daemonkit.PfDriver(sysfs, PF):
        daemon = stopped_daemon.start()
        ask(daemon, "POST", f"/v1/pfs/{PF}/apply", {"vfs": 2})
        ask(daemon, "POST", "/v1/vfs/alloc", {"name": "lease1"})
        ask(daemon, "POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp)})
        daemon.operation = ask(daemon, "POST", f"/v1/pfs/{PF}/apply", {"vfs": 2}, 202, Prefer="respond-async")["operation"]["id"]
        ask(daemon, "GET", f"/v1/operations/{daemon.operation}?wait=20")
        yield daemon
        daemon.request("POST", "/v1/vms/vm1/kill", {})
        pid = daemon.request("GET", "/v1/uplinks")[1]["backend"]["pid"]
        daemon.stop()
        os.kill(pid, signal.SIGKILL)


def ask(daemon, verb, path, body=None, expect=200, **headers):
    """One request whose reply must be as described."""
    op = API.operation(verb, path)
    assert op is not None, f"{verb} {path} is not described"
    status, reply = daemon.request(verb, path, body, **headers)
    assert status == expect, f"{op.name}: {status} {reply}"
    API.check(op, status, reply)
    return reply


def path_of(op, **values):
    values = {"pf": PF, "vf": "lease1", "network": "net", "uplink": "wire0", "function": FN, "name": "vm1", "operation": "1",
              "unit": iommukit.UNIT, **values}
    return re.sub(r"\{(\w+)\}", lambda m: values[m[1]], op.path)


def valid_body(op, folder):
    bodies = {
        "/v1/pfs/{pf}/apply": {"vfs": 2}, "/v1/vfs/alloc": {"name": "lease2"}, "/v1/vfs/{vf}/set": {"mac": "02:00:00:00:00:01"},
        "/v1/config/check": {"yaml": CONFIG, "file": "a"}, "/v1/vms/{name}/stop": {"timeout_s": 5, "kill": True},
        "/v1/vms/{name}/ports/set": {"port": "wan", "rate": 5000000},
        "/v1/vms/{name}/disks/set": {"disk": "root", "iops": 100, "bandwidth": 1 << 20},
        "/v1/vms/{name}/disks/resize": {"disk": "root", "size": 1 << 30},
        "/v1/vms": {"yaml": daemonkit.vm_yaml(folder, "vm2")}, "/v1/vms/create": {"yaml": daemonkit.vm_yaml(folder, "vm2")}, "/v1/vms/check": {"yaml": daemonkit.vm_yaml(folder, "vm2")},
    }
    return bodies.get(op.path, {})


def test_every_read_answers_as_described(world):
    for op in API.operations:
        if op.verb != "GET" or op.path == "/metrics":
            continue
        query = "&".join(f"{p['name']}=1" for p in op.query() if p.get("required"))
        ask(world, "GET", path_of(op, operation=world.operation) + (f"?{query}" if query else ""))
    vfs = ask(world, "GET", "/v1/vfs")["vfs"]
    assert sorted(v["state"] for v in vfs) == ["free", "leased"]
    assert ask(world, "GET", "/v1/config")["differences"] == []


def test_every_change_answers_as_described(world, short_tmp):
    """In an order in which each is possible; those that the fake host cannot do answer as described, too."""
    for verb in ("pause", "resume"):
        ask(world, "POST", f"/v1/vms/vm1/{verb}", {})
    assert ask(world, "POST", "/v1/iommu/audit", {"vm": "vm1"})["verdict"] == "proven"  # it has no function
    ask(world, "POST", "/v1/vms/check", {"yaml": daemonkit.vm_yaml(short_tmp, "vm2")})
    ask(world, "POST", "/v1/vms/vm1/stop", {"timeout_s": 20})
    assert ask(world, "GET", "/v1/vms/vm1")["exit"]["reason"] == "poweroff"
    ask(world, "POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(short_tmp, "vm2")})
    ask(world, "POST", "/v1/vms/vm2/kill", {})
    ask(world, "POST", "/v1/vms/vm2/delete", {})
    ask(world, "POST", "/v1/vfs/lease1/release", {})
    yaml = daemonkit.vm_yaml(short_tmp, "vm3", extra="autostart: {order: 5}\n")
    assert ask(world, "POST", "/v1/vms/create", {"yaml": yaml})["defined"]["autostart"]["order"] == 5
    for verb in ("start", "restart"):
        ask(world, "POST", f"/v1/vms/vm3/{verb}", {})
    assert ask(world, "POST", "/v1/host/stop-vms", {"timeout_s": 60})["vms"][0]["name"] == "vm3"
    assert ask(world, "POST", "/v1/host/start-vms", {})["starting"] == ["vm3"]
    assert ask(world, "GET", "/v1/vms/vm3/history")["history"]
    assert daemonkit.eventually(lambda: ask(world, "GET", "/v1/vms/vm3")["state"] == "running")
    ask(world, "POST", "/v1/vms/vm3/delete", {"force": True})
    assert ask(world, "POST", "/v1/host/selftest", {"pf": PF})["vf"]["pf"]["address"] == PF
    ask(world, "POST", f"/v1/functions/{FN}/release", {})
    ask(world, "POST", "/v1/config/check", {"yaml": CONFIG, "file": "a"})
    done = {("POST", p) for p in (
        "/v1/host/selftest", "/v1/iommu/audit", "/v1/vms/{name}/pause", "/v1/vms/{name}/resume", "/v1/vms/check", "/v1/vms/{name}/stop", "/v1/vms", "/v1/vms/{name}/kill",
        "/v1/vms/create", "/v1/vms/{name}/start",
        "/v1/vms/{name}/restart", "/v1/vms/{name}/delete", "/v1/host/stop-vms", "/v1/host/start-vms",
        "/v1/vfs/{vf}/release", "/v1/functions/{function}/release", "/v1/config/check", "/v1/pfs/{pf}/apply", "/v1/vfs/alloc")}
    left = {(op.verb, op.path) for op in API.operations if op.verb != "GET"} - done
    assert left <= {("POST", "/v1/vfs/{vf}/set"), *LATER}, left


# Their own cases ask them: tests/component/test_pf_change.py and the like.
LATER = {("POST", f"/v1/pfs/{{pf}}/{verb}") for verb in ("confirm", "rollback", "adopt")} | {
    ("POST", f"/v1/vfs/{{vf}}/{verb}") for verb in ("scrub", "adopt")} | {
    ("POST", f"/v1/vms/{{name}}/{verb}") for verb in ("quarantine", "unquarantine", "ports/set", "disks/set", "disks/resize")}


def refused(daemon, op, path, body):
    status, reply = daemon.request(op.verb, path, body)
    assert 400 <= status < 500, f"{op.name} {body}: {status} {reply}"
    API.check(op, status, reply)
    assert reply["error"]["text"] and "\n" not in reply["error"]["text"]
    return reply["error"]["text"]


@pytest.mark.parametrize("op", [o for o in API.operations if o.verb != "GET"], ids=lambda o: o.name)
def test_bodies_that_are_not_as_described(world, short_tmp, op):
    assert op.body is None or op.body["additionalProperties"] is False
    path, good = path_of(op), valid_body(op, short_tmp)
    assert "'nosuch'" in refused(world, op, path, {**good, "nosuch": 1})
    for text in ("[]", "7", '"x"', "null", "{", '{"a":1,"a":1}', "\ufeff{}", '{"a":1}}'):
        refused(world, op, path, text.encode())
    assert "'nosuch'" in refused(world, op, path + "?nosuch=1", good)
    for member, schema in op.members().items():
        for wrong in WRONG[schema["type"]]:
            if jsonschema.Draft7Validator(schema).is_valid(wrong):
                continue  # as large as it may be
            assert member in refused(world, op, path, {**good, member: wrong}), (member, wrong)
        if "enum" in schema:
            refused(world, op, path, {**good, member: "nosuch"})
        for limit, step in (("minimum", -1), ("maximum", 1)):
            if limit in schema:
                refused(world, op, path, {**good, member: schema[limit] + step})
    for member in (op.body or {}).get("required", []):
        refused(world, op, path, {k: v for k, v in good.items() if k != member})
    assert [v["state"] for v in world.request("GET", "/v1/vms")[1]["vms"]] == ["running"]


@pytest.mark.parametrize("op", [o for o in API.operations if o.verb == "GET"], ids=lambda o: o.name)
def test_parameters_that_are_not_as_described(world, op):
    for query in ("nosuch=1", *(f"{p['name']}={wrong}" for p in op.query() for wrong in ("-1", "x", "", "1e3", "%00"))):
        refused(world, op, path_of(op) + "?" + query, None)
    refused(world, op, path_of(op), b"{}x")


@pytest.mark.parametrize("op", [o for o in API.operations if "{" in o.path], ids=lambda o: o.name)
def test_what_is_not_there_is_said(world, short_tmp, op):
    query = "&".join(f"{p['name']}=1" for p in op.query() if p.get("required"))
    path = re.sub(r"\{\w+\}", "no-such", op.path) + (f"?{query}" if query else "")
    status, reply = world.request(op.verb, path, None if op.verb == "GET" else valid_body(op, short_tmp))
    assert status == 404, reply
    API.check(op, status, reply)


def test_every_alarm_is_described():
    source = (daemonkit.HERE.parents[1] / "vf-manager/alarms.c").read_text()
    table = source[source.index("} kinds[] = {"):]
    kinds = re.findall(r'\{ "([a-z-]+)",', table[:table.index("};")])
    # That of a ledger which cannot be written is in no table.
    alone = re.findall(r'\t\{ "([a-z-]+)", "critical",', (daemonkit.HERE.parents[1] / "vf-manager/ledger_lock.c").read_text())
    assert kinds and alone and sorted(kinds + alone) == sorted(API.document["components"]["schemas"]["Alarm"]["properties"]["kind"]["enum"])


def test_every_route_is_described():
    described = {(op.verb, re.sub(r"\{\w+\}", "*", op.path)) for op in API.operations}
    source = (daemonkit.HERE.parents[1] / "vf-manager/routes.c").read_text()
    assert described == set(re.findall(r'\{ "([A-Z]+)", "([^"]+)"', source))
    kinds = dict(re.findall(r'\{ "POST", "([^"]+)",[^}]*,\s+api_\w+,\s+"([\w-]+)"[ ,]', source))
    assert set(kinds) == {re.sub(r"\{\w+\}", "*", op.path) for op in API.operations if op.verb == "POST" and 202 in op.responses}
    assert set(kinds.values()) == set(API.document["components"]["schemas"]["Operation"]["properties"]["kind"]["enum"])


def test_each_operation_says_what_can_go_wrong():
    for op in API.operations:
        assert op.summary and 200 in op.responses and 400 in op.responses and 503 in op.responses, op.name
        assert "{" not in op.path or 404 in op.responses, op.name
        for status in set(op.responses) - {200, 202}:
            assert "error" in json.dumps(API.schema(op.responses[status]["content"]["application/json"]["schema"]))


def test_the_check_can_fail():
    op = API.operation("GET", "/v1/version")
    good = {"version": "1", "api": 1, "pid": 1, "uptime_s": 1}
    API.check(op, 200, good)
    for bad in ({**good, "more": 1}, {**good, "pid": "1"}):
        with pytest.raises(AssertionError):
            API.check(op, 200, bad)
    with pytest.raises(AssertionError):
        API.check(op, 418, good)

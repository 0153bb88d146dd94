# SPDX-License-Identifier: BSD-3-Clause
"""A VM that belongs to a user: he and root do what they like with it, other managers and others do not."""

import grp
import json
import os
import socket
import subprocess

import daemonkit
import pytest

OWNER, OTHER, MEMBER = 61001, 61002, 61003
GROUP = "nogroup"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to be several users")
ACTIONS = ("stop", "kill", "pause", "resume")


def ask(daemon, uid, method, path, body=None, groups=(), headers=()):
    """(status, reply) as that user."""
    done = subprocess.run(
        ["curl", "-s", "-w", "\n%{http_code}", "--unix-socket", str(daemon.socket), "-X", method,
         *(["-d", json.dumps(body)] if body is not None else []), *(part for h in headers for part in ("-H", h)), f"http://x{path}"],
        user=uid, group=uid, extra_groups=groups, capture_output=True, check=True, text=True)
    reply, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(reply)


@pytest.fixture
def owned(stopped_daemon, short_tmp):
    """A daemon with vm1, which is OWNER's, and vm2, which is nobody's in particular; the socket is open to all."""
    daemonkit.setup(stopped_daemon, short_tmp)
    short_tmp.chmod(0o755)
    stopped_daemon.run_dir.chmod(0o755)
    stopped_daemon.config.write_text(f"group: {GROUP}\naccess: {{read: all}}\n")
    daemon = stopped_daemon.start()
    run(daemon, short_tmp, "vm1", OWNER)
    run(daemon, short_tmp, "vm2")
    yield daemon
    for name in ("vm1", "vm2"):
        daemon.request("POST", f"/v1/vms/{name}/kill", {})


def run(daemon, folder, name, owner=None, uid=0, expect=200, groups=()):
    body = {"yaml": daemonkit.vm_yaml(folder, name), **({"owner": str(owner)} if owner else {})}
    status, reply = ask(daemon, uid, "POST", "/v1/vms", body, groups)
    assert status == expect, reply
    return reply


def members():
    return [grp.getgrnam(GROUP).gr_gid]


@pytest.mark.parametrize("path", ["stop-vms", "start-vms"])
def test_all_vms_at_once_are_for_root(owned, path):
    for uid, groups in ((MEMBER, members()), (OTHER, ()), (OWNER, members())):
        status, reply = ask(owned, uid, "POST", f"/v1/host/{path}", {}, groups)
        assert (status, reply["error"]["code"]) == (403, "not-allowed"), reply
    assert {vm["state"] for vm in ask(owned, 0, "GET", "/v1/vms")[1]["vms"]} == {"running"}
    assert ask(owned, 0, "POST", f"/v1/host/{path}", {})[0] == 200


def test_definitions_are_their_owners(owned):
    for action in ("start", "restart", "delete"):
        status, reply = ask(owned, MEMBER, "POST", f"/v1/vms/vm1/{action}", {}, members())
        assert (status, reply["error"]["code"]) == (403, "not-owner"), reply


def test_only_the_owner_and_root(owned):
    for action in ACTIONS:
        for uid, groups, code in ((MEMBER, members(), "not-owner"), (OTHER, (), "not-owner")):
            status, reply = ask(owned, uid, "POST", f"/v1/vms/vm1/{action}", {}, groups)
            assert (status, reply["error"]["code"]) == (403, code) and str(OWNER) in reply["error"]["text"]
    for action in ("pause", "resume"):
        assert ask(owned, OWNER, "POST", f"/v1/vms/vm1/{action}", {})[0] == 200
        assert ask(owned, MEMBER, "POST", f"/v1/vms/vm2/{action}", {}, members())[0] == 200
        assert ask(owned, OWNER, "POST", f"/v1/vms/vm2/{action}", {})[1]["error"]["code"] == "not-allowed"
    assert ask(owned, OTHER, "GET", "/v1/vms/vm1")[1]["owner"] == {"uid": OWNER, "name": str(OWNER)}
    assert ask(owned, OTHER, "GET", "/v1/vms/vm2")[1]["owner"] is None
    assert str(OWNER) in owned.cli("vm", "list").stdout and str(OWNER) in owned.cli("vm", "show", "vm1").stdout
    assert ask(owned, OWNER, "POST", "/v1/vms/vm1/stop", {"timeout_s": 5})[1]["state"] == "stopped"
    assert ask(owned, 0, "POST", "/v1/vms/vm2/kill", {})[0] == 200


CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"word")
print(s.recv(10).decode())
"""


def test_the_console(owned):
    for uid, groups, status in ((OWNER, (), 200), (0, (), 200), (MEMBER, members(), 403), (OTHER, (), 403)):
        assert ask(owned, uid, "GET", "/v1/vms/vm1/console", groups=groups)[0] == status
    path = ask(owned, OWNER, "GET", "/v1/vms/vm1/console")[1]["socket"]

    def connect(uid, groups=()):
        done = subprocess.run(["/usr/bin/python3", "-c", CONNECT, path], user=uid, group=uid, extra_groups=groups,
                              capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    assert connect(OWNER) == "WORD" and connect(0) == "WORD"
    for uid, groups in ((MEMBER, members()), (OTHER, ())):
        assert "PermissionError" in connect(uid, groups)
    for file in ("console.log", "console.log.1"):
        info = (owned.run_dir / "vm/vm1" / file).stat()
        assert info.st_uid == OWNER and info.st_mode & 0o777 == 0o600
    assert (owned.run_dir / "vm/vm1").stat().st_uid == 0


def test_the_owner_is_kept(owned, short_tmp):
    owned.stop(9)
    owned.start()
    assert ask(owned, MEMBER, "POST", "/v1/vms/vm1/kill", {}, members())[1]["error"]["code"] == "not-owner"
    assert ask(owned, OWNER, "POST", "/v1/vms/vm1/kill", {})[0] == 200
    # The name of an ended one is his, too.
    assert run(owned, short_tmp, "vm1", uid=MEMBER, expect=403, groups=members())["error"]["code"] == "not-owner"
    assert run(owned, short_tmp, "vm1", MEMBER)["owner"]["uid"] == MEMBER


@pytest.mark.parametrize("owner, said", [("no-such-user-here", "no user"), ("-1", "no user"), ("4294967295", "no user"),
                                         ("x" * 70, "owner"), ("2147000001", "VMs' own")])
def test_no_owner(owned, short_tmp, owner, said):
    assert said in run(owned, short_tmp, "vm3", owner, expect=400)["error"]["text"]
    assert owned.request("GET", "/v1/vms/vm3")[0] == 404


def test_by_name(owned, short_tmp):
    (short_tmp / "vm3.yaml").write_text(daemonkit.vm_yaml(short_tmp, "vm3"))
    done = owned.cli("vm", "run", short_tmp / "vm3.yaml", "--owner", "nobody")
    assert done.returncode == 0, done.stderr
    assert owned.request("POST", "/v1/vms/vm3/kill", {})[1]["owner"]["name"] == "nobody"


@pytest.mark.parametrize("access, mode, status", [("", 0o660, 200), ("access: {read: all}\n", 0o666, 200),
                                                  ("access: {read: group}\n", 0o660, 403)])
def test_who_may_read(stopped_daemon, short_tmp, access, mode, status):
    daemonkit.setup(stopped_daemon, short_tmp)
    short_tmp.chmod(0o755)
    stopped_daemon.run_dir.chmod(0o755)
    stopped_daemon.config.write_text(f"group: {GROUP}\n{access}")
    daemon = stopped_daemon.start()
    assert daemon.socket.stat().st_mode & 0o777 == mode
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(daemon.socket))
    daemon.socket.chmod(0o666)
    assert ask(daemon, OTHER, "GET", "/v1/pfs")[0] == status
    assert ask(daemon, MEMBER, "GET", "/v1/pfs", groups=members())[0] == 200

# SPDX-License-Identifier: BSD-3-Clause
"""A viaduct-vmm that cannot be killed: the kernel waits for something (state D). Here a file system that is frozen."""

import signal
import threading
import time

import daemonkit
import pytest
from daemonkit import eventually
from test_daemon_vm import run, show
from test_disk_hang import frozen
from test_selftest import states
from test_vm_life import create, do, state

assert frozen  # the fixture
PF = daemonkit.MACHINE


@pytest.fixture
def stuck(frozen, tmp_path):  # noqa: F811
    """(the word for a VMM that is stuck, function that lets it go): to a file system that stands still."""
    folder, freeze = frozen
    (folder / "file").touch(0o666)
    (folder / "file").chmod(0o666)
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o711)  # VMMs have uids of their own
    freeze(True)
    return f"stuck={folder}/file", lambda: freeze(False)


def unknown(daemon):
    return {a["object"]: a["text"] for a in daemon.request("GET", "/v1/alarms")[1]["alarms"] if a["kind"] == "vm-unknown"}


def test_a_failed_start_is_over_though_its_process_does_not_end(host, short_tmp, stuck):
    word, let_go = stuck
    create(host, short_tmp, cmdline=f"{word} fail")
    begin = time.monotonic()
    error = do(host, "start", status=409)["error"]
    assert time.monotonic() - begin < daemonkit.PATIENCE_S / 2
    vm = show(host)
    assert error["code"] == "vmm-stuck" and "no luck" in error["text"] and str(vm["pid"]) in error["text"], error
    assert (vm["state"], vm["defined"]["wanted"]) == ("unknown", False)
    assert eventually(lambda: "was killed and does not end" in unknown(host).get("vm1", "")), unknown(host)
    # Others go on; it is in nobody's way but its own.
    assert run(host, short_tmp, "vm2")["state"] == "running"
    assert do(host, "start", status=409)["error"]["code"] == "vmm-stuck"
    let_go()
    assert eventually(lambda: state(host) == "failed") and show(host)["pid"] is None
    assert eventually(lambda: not unknown(host))
    create(host, short_tmp, replace=True)
    assert do(host, "start")["state"] == "running"


def test_its_vf_is_nobodys_until_it_ends(stopped_daemon, short_tmp, stuck):
    word, let_go = stuck
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    with daemonkit.PfDriver(sysfs, PF):
        stopped_daemon.start()
        assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 1})[0] == 200
        starter = threading.Thread(target=lambda: stopped_daemon.cli("vm", "run", "--no-wait", short_tmp / "vm1.yaml"))
        (short_tmp / "vm1.yaml").write_text(daemonkit.vm_yaml(short_tmp, cmdline=f"{word} silent"))
        starter.start()
        assert eventually(lambda: [vm["pid"] for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]] not in ([], [None]))
        pid = show(stopped_daemon)["pid"]
        assert eventually(lambda: any("State:\tD" in task.read_text() for task in daemonkit.pathlib.Path(f"/proc/{pid}/task").glob("*/status")))
        starter.join()
        stopped_daemon.stop(signal.SIGKILL)
        daemonkit.vf_assign(stopped_daemon, "vm1/wan", 0, "bound")
        stopped_daemon.start()
        assert (show(stopped_daemon)["state"], show(stopped_daemon)["pid"]) == ("unknown", pid)
        assert list(states(stopped_daemon).values()) == [("bound", "vm1/wan")]
        assert eventually(lambda: "was killed and does not end" in unknown(stopped_daemon).get("vm1", ""))
        assert list(states(stopped_daemon).values()) == [("bound", "vm1/wan")]
        let_go()
        assert eventually(lambda: list(states(stopped_daemon).values()) == [("free", None)]), states(stopped_daemon)
        assert eventually(lambda: state(stopped_daemon) == "failed") and show(stopped_daemon)["pid"] is None
        assert eventually(lambda: not unknown(stopped_daemon))

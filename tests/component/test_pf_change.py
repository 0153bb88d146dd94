# SPDX-License-Identifier: BSD-3-Clause
"""Changes of a PF by a real daemon: the plan, who is hurt by it, and that nobody is who was not named."""

import concurrent.futures
import contextlib
import os
import signal
import sqlite3
import time

import daemonkit
import pytest
from daemonkit import eventually

PF = daemonkit.MACHINE


@pytest.fixture
def pf(stopped_daemon, short_tmp):
    """A daemon whose PF has two VFs that viaduct made."""
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    folder = daemonkit.pf_make(sysfs)
    with daemonkit.PfDriver(sysfs, PF):
        stopped_daemon.start()
        assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "2").returncode == 0
        yield folder
        for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]:
            if vm["pid"]:
                stopped_daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})


def count(pf):
    return int((pf / "sriov_numvfs").read_text())


def plan(daemon, vfs):
    status, reply = daemon.request("GET", f"/v1/pfs/{PF}/plan?vfs={vfs}")
    assert status == 200, reply
    return reply


def vms_run(daemon, short_tmp, *owners, lease="", cmdline=""):
    """Fake VMs, and VFs in the ledger as if they had them."""
    for name in dict.fromkeys(owner.split("/")[0] for owner in owners):
        yaml = daemonkit.vm_yaml(short_tmp, name, cmdline)
        assert daemon.request("POST", "/v1/vms", {"yaml": yaml})[0] == 200
    daemon.stop()
    for index, owner in enumerate(owners):
        daemonkit.vf_assign(daemon, owner, index, lease=lease)
    daemon.start()


def refused(daemon, body, code, status=409):
    got, reply = daemon.request("POST", f"/v1/pfs/{PF}/apply", body)
    assert (got, reply["error"]["code"]) == (status, code), reply
    return reply["error"]


def test_the_plan_says_what_is_done_and_changes_nothing(pf, stopped_daemon):
    got = plan(stopped_daemon, 3)
    assert (got["from"], got["vfs"], got["hurt"], got["refused"]) == (2, 3, [], None)
    steps = "\n".join(got["steps"])
    order = [steps.index(word) for word in ("intent", "sriov_numvfs 0", "sriov_numvfs 3", "wait until", "viaduct's")]
    assert order == sorted(order)
    # It is off since the first change.
    assert "autoprobe" not in steps and (pf / "sriov_drivers_autoprobe").read_text().strip() == "0"
    (pf / "sriov_drivers_autoprobe").write_text("1\n")
    assert "sriov_drivers_autoprobe 0" in "\n".join(plan(stopped_daemon, 3)["steps"])
    assert plan(stopped_daemon, 2)["steps"] == [] and count(pf) == 2
    shown = stopped_daemon.cli("pf", "plan", PF, "--vfs", "3").stdout
    assert "2 VFs now, 3 wanted" in shown and f"viaduct pf apply {PF} --vfs 3" in shown
    assert "nothing to do" in stopped_daemon.cli("pf", "plan", PF, "--vfs", "2").stdout


def test_a_plan_names_what_its_driver_needs(pf, stopped_daemon):
    (pf / "driver").symlink_to("../../drivers/igb")
    assert any("igb" in note and "link_state" in note for note in plan(stopped_daemon, 1)["notes"])


@pytest.mark.parametrize("query", ["", "?vfs=", "?vfs=x", "?vfs=65536", "?vfs=-1", "?vfs=1&n=2"])
def test_bad_plans(pf, stopped_daemon, query):
    assert stopped_daemon.request("GET", f"/v1/pfs/{PF}/plan{query}")[0] == 400


def test_more_than_the_pf_can_have_is_no_plan(pf, stopped_daemon):
    status, reply = stopped_daemon.request("GET", f"/v1/pfs/{PF}/plan?vfs=5")
    assert status >= 400 and reply["error"]["code"] == "too-many-vfs"


def test_nobody_is_hurt_who_was_not_named(pf, stopped_daemon, short_tmp):
    vms_run(stopped_daemon, short_tmp, "fw1/wan", "fw2/lan")
    got = plan(stopped_daemon, 1)
    assert [(h["vm"], h["port"], h["state"]) for h in got["hurt"]] == [("fw1", "wan", "assigned"), ("fw2", "lan", "assigned")]
    assert got["disrupt"] == "fw1,fw2" and got["refused"]["code"] == "pf-in-use"
    for words in (None, ["fw1"], ["fw2"]):
        body = {"vfs": 1} if words is None else {"vfs": 1, "disrupt": words}
        error = refused(stopped_daemon, body, "pf-in-use")
        assert [name in error["text"] for name in ("fw1", "fw2")] == [name not in (words or []) for name in ("fw1", "fw2")]
        assert error["hint"] == f"viaduct pf apply {PF} --vfs 1 --disrupt fw1,fw2"
    refused(stopped_daemon, {"vfs": 1, "disrupt": ["fw1", "fw2", "fw3"]}, "pf-not-hurt", 400)
    states = {vm["name"]: vm["state"] for vm in stopped_daemon.request("GET", "/v1/vms")[1]["vms"]}
    assert states == {"fw1": "running", "fw2": "running"} and count(pf) == 2
    shown = stopped_daemon.cli("pf", "plan", PF, "--vfs", "1").stdout
    assert "fw1" in shown and "--disrupt fw1,fw2" in shown and "stop the VM fw2" in shown


def test_the_named_are_stopped_in_order_and_the_rest_runs_on(pf, stopped_daemon, short_tmp):
    vms_run(stopped_daemon, short_tmp, "fw1/wan", "fw1/lan")
    yaml = daemonkit.vm_yaml(short_tmp, "other")
    assert stopped_daemon.request("POST", "/v1/vms", {"yaml": yaml})[0] == 200
    done = stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--disrupt", "fw1", "--timeout", "5")
    assert done.returncode == 0, done.stderr
    fw1 = stopped_daemon.request("GET", "/v1/vms/fw1")[1]
    assert (fw1["state"], fw1["exit"]["reason"]) == ("stopped", "poweroff")
    assert stopped_daemon.request("GET", "/v1/vms/other")[1]["state"] == "running"
    vfs = stopped_daemon.request("GET", f"/v1/pfs/{PF}")[1]["vfs"]
    assert [vf["state"] for vf in vfs] == ["free"] * 3 and count(pf) == 3


def test_a_vm_that_is_deaf_is_killed_at_the_deadline(pf, stopped_daemon, short_tmp):
    yaml = daemonkit.vm_yaml(short_tmp, "fw1", cmdline="deaf")
    assert stopped_daemon.request("POST", "/v1/vms", {"yaml": yaml})[0] == 200
    stopped_daemon.stop()
    daemonkit.vf_assign(stopped_daemon, "fw1/wan")
    stopped_daemon.start()
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 0, "disrupt": ["fw1"], "timeout_s": 1})[0] == 200
    assert "did not power off" in stopped_daemon.request("GET", "/v1/vms/fw1")[1]["exit"]["text"]
    assert count(pf) == 0


def test_a_lease_is_named_as_one(pf, stopped_daemon):
    assert stopped_daemon.cli("vf", "alloc", "--pf", PF, "--name", "mine").returncode == 0
    assert plan(stopped_daemon, 1)["disrupt"] == "lease:mine"
    assert "lease mine" in refused(stopped_daemon, {"vfs": 1}, "pf-in-use")["text"]
    refused(stopped_daemon, {"vfs": 1, "disrupt": ["mine"]}, "pf-in-use")
    assert count(pf) == 2
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "1", "--disrupt", "lease:mine").returncode == 0
    assert count(pf) == 1
    # Its VF was made anew, and is its own again; one that is not made again is waited for.
    assert stopped_daemon.request("GET", "/v1/vfs/mine")[1]["state"] == "leased"
    assert "waits" in "".join(plan(stopped_daemon, 0)["steps"])
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "0", "--disrupt", "lease:mine").returncode == 0
    assert stopped_daemon.request("GET", "/v1/vfs/mine")[1]["error"]["code"] == "lease-parked"


@pytest.mark.parametrize("words", ["fw1", [1], [""], ["Fw 1"], ["lease:"], ["lease:../x"], [None], {}])
def test_bad_words(pf, stopped_daemon, words):
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 1, "disrupt": words})[0] == 400
    assert count(pf) == 2


def test_foreign_vfs_are_in_the_way(pf, stopped_daemon):
    vf = pf.parent / daemonkit.vf_address(PF, 1)
    (vf / "driver").symlink_to("../../drivers/igbvf")
    got = plan(stopped_daemon, 1)
    assert got["hurt"][0]["state"] == "foreign" and got["refused"]["code"] == "vf-foreign"
    refused(stopped_daemon, {"vfs": 1}, "vf-foreign")
    assert count(pf) == 2


def trial(daemon):
    return daemon.request("GET", f"/v1/pfs/{PF}")[1]["trial"]


def test_all_who_are_hurt_can_be_named(pf, stopped_daemon):
    leases = ["lease-of-a-customer-with-a-rather-long-name-in-rack-17-no-" + str(i) for i in range(7)]
    (pf / "sriov_totalvfs").write_text("7\n")
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "7").returncode == 0
    for lease in leases:
        assert stopped_daemon.cli("vf", "alloc", "--name", lease).returncode == 0
    words = ",".join("lease:" + lease for lease in leases)
    assert plan(stopped_daemon, 0)["disrupt"] == words
    hint = refused(stopped_daemon, {"vfs": 0}, "pf-in-use")["hint"]
    assert hint.startswith(f"viaduct pf plan {PF} --vfs 0 ")
    # What is shown can be typed.
    typed = stopped_daemon.cli("pf", "plan", PF, "--vfs", "0").stdout.partition("try: viaduct ")[2].split()
    assert typed[-1] == words
    done = stopped_daemon.cli(*typed)
    assert done.returncode == 0 and count(pf) == 0, done.stderr


def alarm_kinds(daemon):
    return {a["kind"] for a in daemon.request("GET", "/v1/alarms")[1]["alarms"]}


def texts(daemon):
    return [e["text"] or "" for e in daemon.request("GET", "/v1/events?since=0")[1]["events"] if e["kind"] == "pf"]


def test_definitions_that_wait_for_a_change_keep_nobody_from_looking(stopped_daemon, short_tmp):
    folder = daemonkit.pf_make(daemonkit.setup(stopped_daemon, short_tmp))
    stopped_daemon.start()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        change = pool.submit(stopped_daemon.request, "POST", f"/v1/pfs/{PF}/apply", {"vfs": 2})
        # Its VFs never come.
        assert eventually(lambda: count(folder) == 2)
        made = [pool.submit(stopped_daemon.request, "POST", "/v1/vms/create", {"yaml": daemonkit.vm_yaml(short_tmp, f"vm{n}")})
                for n in range(5)]
        while not change.done():
            status, reply = stopped_daemon.request("GET", "/v1/vfs")
            assert status == 200, reply
        assert [done.result()[0] for done in made] == [200] * 5


def test_what_nobody_confirms_goes_back(pf, stopped_daemon):
    done = stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "8s")
    assert done.returncode == 0 and f"viaduct pf confirm {PF}" in done.stdout and count(pf) == 3
    got = trial(stopped_daemon)
    assert (got["vfs"], got["former"]) == (3, 2) and got["seconds_left"] <= 8
    assert "back to 2 in" in stopped_daemon.cli("pf", "show", PF).stdout
    assert eventually(lambda: "pf-on-trial" in alarm_kinds(stopped_daemon))
    assert eventually(lambda: trial(stopped_daemon) is None)
    vfs = stopped_daemon.request("GET", f"/v1/pfs/{PF}")[1]["vfs"]
    assert count(pf) == 2 and [vf["state"] for vf in vfs] == ["free", "free"]
    assert eventually(lambda: "pf-on-trial" not in alarm_kinds(stopped_daemon))
    assert any("undone" in text for text in texts(stopped_daemon))


def test_what_is_confirmed_stays(pf, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "5").returncode == 0
    assert stopped_daemon.cli("pf", "confirm", PF).returncode == 0
    assert trial(stopped_daemon) is None
    time.sleep(5.5)
    assert count(pf) == 3
    again = stopped_daemon.cli("pf", "confirm", PF)
    assert again.returncode == 1 and "nothing on trial" in again.stderr


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_deadline_outlives_the_daemon(pf, stopped_daemon, sig):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "12s").returncode == 0
    stopped_daemon.stop(sig)
    stopped_daemon.config.write_text(f"pfs: [{{name: '{PF}', vfs: 1}}]\napply_pfs_at_start: on\n")
    stopped_daemon.start()
    # What the configuration wants waits as well.
    assert count(pf) == 3 and trial(stopped_daemon)["seconds_left"] <= 12
    assert eventually(lambda: trial(stopped_daemon) is None) is True and count(pf) == 2


def test_a_deadline_that_passed_while_the_daemon_was_away(pf, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "4s").returncode == 0
    stopped_daemon.stop(signal.SIGKILL)
    time.sleep(4.2)
    assert count(pf) == 3
    stopped_daemon.start()
    assert trial(stopped_daemon) is None and count(pf) == 2


def test_a_boot_ends_a_trial(pf, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "1h").returncode == 0
    stopped_daemon.stop()
    for table in ("confirms", "pfs"):
        daemonkit.ledger_change(stopped_daemon, f"UPDATE {table} SET boot_id = 'another'")
    (pf / "sriov_numvfs").write_text("0\n")
    stopped_daemon.config.write_text(f"pfs: [{{name: nosuch, vfs: 3}}, {{name: '{PF}', vfs: 1}}]\napply_pfs_at_start: on\n")
    assert eventually(lambda: not (pf / "virtfn0").exists())
    stopped_daemon.start()
    assert trial(stopped_daemon) is None and count(pf) == 1
    assert any("started again" in text for text in texts(stopped_daemon))


def test_a_trial_ends_before_the_next_change(pf, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "1h").returncode == 0
    error = refused(stopped_daemon, {"vfs": 4}, "pf-on-trial")
    assert f"viaduct pf confirm {PF}" in error["hint"] and f"--vfs 2" in error["hint"]
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "2").returncode == 0
    assert trial(stopped_daemon) is None and count(pf) == 2


def test_a_vm_on_a_trial_vf_is_stopped_when_it_ends(pf, stopped_daemon, short_tmp):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "20s").returncode == 0
    vms_run(stopped_daemon, short_tmp, "fw1/wan")
    assert stopped_daemon.request("GET", "/v1/vms/fw1")[1]["state"] == "running"
    assert eventually(lambda: trial(stopped_daemon) is None) and count(pf) == 2
    assert stopped_daemon.request("GET", "/v1/vms/fw1")[1]["exit"]["reason"] == "poweroff"


def test_what_is_confirmed_while_vms_are_stopped_for_the_way_back_stays(pf, stopped_daemon, short_tmp):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "8s").returncode == 0
    vms_run(stopped_daemon, short_tmp, "fw1/wan", cmdline="deaf")
    assert eventually(lambda: stopped_daemon.request("GET", "/v1/vms/fw1")[1]["state"] == "stopping")
    done = stopped_daemon.cli("pf", "confirm", PF)
    assert done.returncode == 0 and trial(stopped_daemon) is None, done.stderr
    assert stopped_daemon.request("POST", "/v1/vms/fw1/kill", {})[0] == 200
    assert eventually(lambda: "confirmed meanwhile" in stopped_daemon.text() or count(pf) != 3)
    assert count(pf) == 3, stopped_daemon.text()


def test_who_is_in_the_way_of_the_way_back_is_an_alarm(pf, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "3", "--confirm-within", "5s").returncode == 0
    driver = pf.parent / daemonkit.vf_address(PF, 2) / "driver"
    driver.symlink_to("../../drivers/igbvf")
    assert eventually(lambda: (trial(stopped_daemon) or {}).get("problem"))
    assert "foreign" in trial(stopped_daemon)["problem"] and count(pf) == 3
    assert eventually(lambda: any(a["kind"] == "pf-on-trial" and "cannot go back" in a["text"]
                                  for a in stopped_daemon.request("GET", "/v1/alarms")[1]["alarms"]))
    assert stopped_daemon.cli("pf", "confirm", PF).returncode == 0


@pytest.mark.parametrize("within", [0, -1, 86401, "60s", True])
def test_bad_times(pf, stopped_daemon, within):
    assert stopped_daemon.request("POST", f"/v1/pfs/{PF}/apply", {"vfs": 1, "confirm_s": within})[0] == 400
    assert count(pf) == 2


def test_the_vf_of_a_vm_that_ends_while_the_ledger_is_locked_is_not_lost(pf, stopped_daemon, short_tmp):
    stopped_daemon.config.write_text("rescan_s: 1\n")
    vms_run(stopped_daemon, short_tmp, "fw1/wan")

    def vf():
        return stopped_daemon.request("GET", f"/v1/pfs/{PF}")[1]["vfs"][0]
    assert vf()["state"] == "assigned"
    with contextlib.closing(sqlite3.connect(stopped_daemon.state_dir / "state.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        os.kill(stopped_daemon.request("GET", "/v1/vms/fw1")[1]["pid"], signal.SIGKILL)
        assert eventually(lambda: "another program has locked the state database" in stopped_daemon.text())
        assert vf()["state"] == "assigned"
    assert eventually(lambda: vf()["state"] == "free"), vf()
    assert stopped_daemon.request("GET", "/v1/vms/fw1")[1]["pid"] is None


# --- quarantine -----------------------------------------------------------------------------------

def quarantine(pf, daemon):
    """VF 0 loses its reset while somebody has it."""
    assert daemon.cli("vf", "alloc", "--pf", PF, "--name", "mine").returncode == 0
    method = pf.parent / daemonkit.vf_address(PF, 0) / "reset_method"
    method.write_text("\n")
    done = daemon.cli("vf", "release", "mine")
    assert done.returncode == 1 and "function-level reset" in done.stderr
    return method


def steps(daemon, vf=f"{PF}%230"):
    return daemon.request("GET", f"/v1/vfs/{vf}")[1]["scrub"]


def test_every_release_leaves_its_evidence(pf, stopped_daemon):
    assert steps(stopped_daemon) is None
    assert stopped_daemon.cli("vf", "alloc", "--pf", PF, "--name", "mine").returncode == 0
    assert stopped_daemon.cli("vf", "release", "mine").returncode == 0
    got = steps(stopped_daemon)
    assert got["clean"] and abs(got["at"] - time.time()) < 60
    assert [s["step"] for s in got["steps"]] == ["group", "bus mastering off", "reset", "attributes", "no driver"]
    assert all(s["ok"] for s in got["steps"]) and got["steps"][2]["read"].startswith("flr;")
    # A VF that is made anew has none of it.
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "0").returncode == 0
    assert eventually(lambda: not (pf / "virtfn0").exists())
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "1").returncode == 0
    assert steps(stopped_daemon) is None


def test_a_vf_that_cannot_be_wiped_is_never_handed_out(pf, stopped_daemon):
    method = quarantine(pf, stopped_daemon)
    got = steps(stopped_daemon)
    assert not got["clean"] and [s["ok"] for s in got["steps"]] == [True, True, False]
    assert "no function-level reset" in got["steps"][2]["read"]
    shown = stopped_daemon.cli("vf", "show", f"{PF}#0").stdout
    assert "FAILED" in shown and "no function-level reset" in shown
    # By any way of asking, also after a restart.
    for _ in range(2):
        assert stopped_daemon.request("POST", "/v1/vfs/alloc", {"name": "other", "pf": PF})[1]["index"] == 1
        assert "no-free-vf" == stopped_daemon.request("POST", "/v1/vfs/alloc", {"name": "third"})[1]["error"]["code"]
        assert stopped_daemon.cli("vf", "release", "other").returncode == 0
        stopped_daemon.stop(signal.SIGKILL)
        stopped_daemon.start()
    # Nor by a wiping that fails again.
    assert stopped_daemon.cli("vf", "scrub", f"{PF}#0").returncode == 1
    again = stopped_daemon.cli("vf", "scrub", f"{PF}#0", "--no-wait").stdout.strip()
    assert stopped_daemon.cli("operation", "show", again, "--follow").returncode == 1
    assert stopped_daemon.request("GET", f"/v1/vfs/{PF}%230")[1]["state"] == "quarantined"
    method.write_text("flr\n")
    done = stopped_daemon.cli("vf", "scrub", f"{PF}#0")
    assert done.returncode == 0 and "free" in done.stdout, done.stderr
    assert steps(stopped_daemon)["clean"]
    assert stopped_daemon.request("POST", "/v1/vfs/alloc", {"name": "again", "pf": PF})[1]["index"] == 0


def test_only_the_quarantined_are_scrubbed(pf, stopped_daemon):
    done = stopped_daemon.request("POST", f"/v1/vfs/{PF}%230/scrub", {})
    assert done[0] == 409 and done[1]["error"]["code"] == "vf-not-quarantined"


# --- foreign VFs ----------------------------------------------------------------------------------

def states(daemon):
    return [vf["state"] for vf in daemon.request("GET", f"/v1/pfs/{PF}")[1]["vfs"]]


@pytest.fixture
def foreign(pf, stopped_daemon):
    """Two VFs that somebody else has made."""
    assert stopped_daemon.cli("pf", "apply", PF, "--vfs", "0").returncode == 0
    assert eventually(lambda: not (pf / "virtfn0").exists())
    (pf / "sriov_numvfs").write_text("2\n")
    assert eventually(lambda: (pf / "virtfn1").exists())
    assert states(stopped_daemon) == ["foreign"] * 2
    return pf


def test_foreign_vfs_are_taken_in_and_wiped(foreign, stopped_daemon):
    error = refused(stopped_daemon, {"vfs": 3}, "vf-foreign")
    assert error["hint"].startswith(f"viaduct pf apply {PF} --adopt")
    (foreign / "sriov_drivers_autoprobe").write_text("1\n")
    done = stopped_daemon.cli("pf", "apply", PF, "--adopt")
    assert done.returncode == 0, done.stderr
    assert states(stopped_daemon) == ["free"] * 2 and steps(stopped_daemon)["clean"]
    assert (foreign / "sriov_drivers_autoprobe").read_text().strip() == "0"
    assert stopped_daemon.cli("vf", "alloc", "--pf", PF, "--name", "mine").returncode == 0
    again = stopped_daemon.cli("pf", "apply", PF, "--adopt")
    assert again.returncode == 1 and "no foreign VF" in again.stderr


def test_adoption_comes_before_a_change_of_the_count(foreign, stopped_daemon):
    assert stopped_daemon.cli("pf", "apply", PF, "--adopt", "--vfs", "3").returncode == 0
    assert states(stopped_daemon) == ["free"] * 3


def test_what_the_host_uses_is_not_taken_in(foreign, stopped_daemon):
    """Nor is any other VF of the PF."""
    vf = foreign.parent / daemonkit.vf_address(PF, 1)
    (vf / "driver").symlink_to("../../drivers/igbvf")
    done = stopped_daemon.request("POST", f"/v1/pfs/{PF}/adopt", {})
    assert done[0] == 409 and done[1]["error"]["code"] == "adopt-in-use", done
    assert "igbvf" in done[1]["error"]["text"] and states(stopped_daemon) == ["foreign"] * 2
    # A network device that is up is one more that is used.
    (vf / "class").write_text("0x020000\n")
    (vf / "net/v1").mkdir(parents=True)
    for name, text in {"ifindex": "999999", "flags": "0x1003", "address": "02:00:00:00:00:01", "mtu": "1500"}.items():
        (vf / "net/v1" / name).write_text(text + "\n")
    done = stopped_daemon.request("POST", f"/v1/pfs/{PF}/adopt", {})
    assert done[0] == 409 and "v1 is up" in done[1]["error"]["text"], done
    assert states(stopped_daemon) == ["foreign"] * 2


def test_a_foreign_vf_that_cannot_be_wiped_is_quarantined(foreign, stopped_daemon):
    (foreign.parent / daemonkit.vf_address(PF, 0) / "reset_method").write_text("\n")
    done = stopped_daemon.cli("pf", "apply", PF, "--adopt")
    assert done.returncode == 1 and "function-level reset" in done.stderr
    assert states(stopped_daemon) == ["quarantined", "free"]


# --- drift ----------------------------------------------------------------------------------------

def policy(pf, daemon, word):
    daemon.stop()
    (pf / "driver").symlink_to("../../drivers/pfdriver")
    daemon.config.write_text(f"pfs: [{{name: '{PF}', vfs: 2, drift: {word}}}]\nrescan_s: 1\n")
    daemon.start()


def drifted(daemon):
    return "vf-count-drift" in alarm_kinds(daemon)


@pytest.mark.parametrize("somebodys", [0, 1, 3])
def test_drift_is_repaired_where_the_policy_says_so(pf, stopped_daemon, somebodys):
    assert stopped_daemon.cli("vf", "alloc", "--pf", PF, "--name", "mine").returncode == 0
    stopped_daemon.stop()
    # As the kernel does it: through 0, so that all are others.
    for vfs in (0, somebodys):
        (pf / "sriov_numvfs").write_text(f"{vfs}\n")
        assert eventually(lambda n=vfs: len(list(pf.glob("virtfn*"))) == n)
    policy(pf, stopped_daemon, "repair")
    assert eventually(lambda: any("repaired" in text for text in texts(stopped_daemon)))
    assert eventually(lambda: not drifted(stopped_daemon)) and count(pf) == 2
    assert eventually(lambda: states(stopped_daemon) == ["leased", "free"]), states(stopped_daemon)
    assert stopped_daemon.request("GET", "/v1/vfs/mine")[1]["index"] == 0
    # The alarm was there before.
    page = stopped_daemon.request("GET", "/v1/events?since=0")[1]["events"]
    order = [e["to"] or e["text"] for e in page if "vf-count-drift" in (e["to"], e["from"]) or "repaired" in (e["text"] or "")]
    assert order[0] == "vf-count-drift" and any("repaired" in word for word in order[1:])


@pytest.mark.parametrize("word", ["alarm", "repair"])
def test_drift_is_an_alarm_and_no_more_where_it_must_be(pf, stopped_daemon, word):
    """By policy, or since somebody has one of the VFs."""
    policy(pf, stopped_daemon, word)
    (pf / "sriov_numvfs").write_text("3\n")
    assert eventually((pf / "virtfn2").exists)
    if word == "repair":
        (pf.parent / daemonkit.vf_address(PF, 2) / "driver").symlink_to("../../drivers/igbvf")
    assert eventually(lambda: drifted(stopped_daemon))
    time.sleep(1.5)
    if word == "alarm" or (pf / "virtfn2/driver").is_symlink():
        assert count(pf) == 3 and drifted(stopped_daemon)

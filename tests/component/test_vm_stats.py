# SPDX-License-Identifier: BSD-3-Clause
"""Exit accounting: the API with VMMs that know it, do not, or lie; and `viaduct vm stats`."""

import json
import os
import signal
import subprocess
import time

import daemonkit
import pytest


@pytest.fixture
def viaduct(host, program):
    def start(*args, **options):
        env = {**os.environ, "VIADUCT_RUN_DIR": str(host.run_dir), "LC_ALL": "C.UTF-8"}
        return subprocess.Popen([program("viaduct"), "vm", "stats", *args], env=env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    return start


def run(host, folder, cmdline="", name="vm1"):
    status, body = host.request("POST", "/v1/vms", {"yaml": daemonkit.vm_yaml(folder, name, cmdline)})
    assert status == 200, body
    return body


def stats(host, name="vm1", status=200):
    got, body = host.request("GET", f"/v1/vms/{name}/stats")
    assert got == status, body
    return body


def test_numbers_of_a_vm(host, short_tmp):
    run(host, short_tmp)
    first, second = stats(host), stats(host)
    assert first["name"] == "vm1" and first["state"] == "running" and first["ports"] == []
    assert first["kvm"]["total"] == {"exits": 100, "io_exits": 10, "halt_exits": 20}
    assert first["kvm"]["vm"] == {"pages_4k": 7} and first["kvm_absent"] is None
    assert first["returns"]["total"] == {"io": 1, "mmio": 0, "hlt": 0, "other": 0}
    assert first["regions"] == [{"space": "pio", "name": "COM1", "reads": 0, "writes": 1}]
    assert second["time_ns"] > first["time_ns"] and second["kvm"]["total"]["exits"] == 200


def test_a_host_whose_kvm_counts_nothing(host, short_tmp, viaduct):
    run(host, short_tmp, "nokvm")
    body = stats(host)
    assert body["kvm"] is None and "no binary statistics" in body["kvm_absent"]
    out, _ = viaduct("vm1").communicate(timeout=daemonkit.PATIENCE_S)
    assert "No exits by kind: this host's KVM has no binary statistics" in out
    assert "returns to viaduct-vmm" in out and "COM1" in out


def test_a_vmm_from_before_says_what_to_do(host, short_tmp, viaduct):
    run(host, short_tmp, "old")
    error = stats(host, status=409)["error"]
    assert error["code"] == "vmm-too-old" and "viaduct vm stop vm1" in error["hint"]
    process = viaduct("vm1")
    _, err = process.communicate(timeout=daemonkit.PATIENCE_S)
    assert process.returncode == 1 and "before statistics were there" in err and "try: viaduct vm stop vm1" in err


def test_a_lie_is_named_and_goes_nowhere(host, short_tmp):
    run(host, short_tmp, "liar")
    error = stats(host, status=500)["error"]
    assert "VM vm1" in error["text"] and "region 0: writes is not a number" in error["text"]
    assert error["code"] == "vmm-reply" and "vmm.log" in error["hint"]


def test_only_a_vm_that_runs_is_counted(host, short_tmp, viaduct):
    assert stats(host, status=404)["error"]["code"] == "no-such-vm"
    run(host, short_tmp)
    host.request("POST", "/v1/vms/vm1/pause", {})
    assert stats(host)["state"] == "paused"
    host.request("POST", "/v1/vms/vm1/kill", {})
    error = stats(host, status=409)["error"]
    assert error["code"] == "vm-state" and "stopped" in error["text"]
    process = viaduct("vm1", "--follow")
    assert process.communicate(timeout=daemonkit.PATIENCE_S)[0] == "" and process.returncode == 1


def test_tables_have_totals_and_rates(host, short_tmp, viaduct):
    run(host, short_tmp)
    begin = time.monotonic()
    process = viaduct("vm1", "--interval", "1")
    out, err = process.communicate(timeout=daemonkit.PATIENCE_S)
    assert process.returncode == 0 and err == "" and time.monotonic() - begin >= 1
    lines = {line.rsplit(maxsplit=2)[0]: line.split()[-2:] for line in out.splitlines() if line}
    total, rate = lines["all"]
    assert total == "200" and 0 < float(rate) <= 100
    assert lines["HLT"] == ["20", "0.0"] and lines["other (MSR, CPUID, ...)"][0] == "170"
    assert lines["returns to viaduct-vmm"][0] == "2"
    assert "MMIO" not in lines  # this KVM does not say
    assert len([line for line in out.splitlines() if line.startswith("pio") and "COM1" in line]) == 1


def test_json_is_the_apis_object(host, short_tmp, viaduct):
    run(host, short_tmp)
    out, _ = viaduct("vm1", "--json").communicate(timeout=daemonkit.PATIENCE_S)
    body = json.loads(out)
    assert set(body) == set(stats(host)) and body["kvm"]["total"]["exits"] == 100


def test_follow_ends_at_ctrl_c(host, short_tmp, viaduct):
    run(host, short_tmp)
    process = viaduct("vm1", "--follow", "--json")
    samples = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert samples[1]["kvm"]["total"]["exits"] == samples[0]["kvm"]["total"]["exits"] + 100
    assert 0.9e9 < samples[1]["time_ns"] - samples[0]["time_ns"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=daemonkit.PATIENCE_S)
    assert process.returncode == 0 and err == ""


def test_follow_ends_with_the_vm(host, short_tmp, viaduct):
    run(host, short_tmp)
    process = viaduct("vm1", "--follow")
    assert process.stdout.readline().startswith("VM vm1, running; totals since its start, rates over")
    host.request("POST", "/v1/vms/vm1/kill", {})
    _, err = process.communicate(timeout=daemonkit.PATIENCE_S)
    assert process.returncode == 0 and err.startswith("VM vm1 is stopped: killed by ")


def test_follow_ends_when_nobody_reads(host, short_tmp, viaduct):
    run(host, short_tmp)
    process = viaduct("vm1", "--follow", "--json", "--interval", "3600")
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(daemonkit.PATIENCE_S) == 0
    assert process.stderr.read() == ""


@pytest.mark.parametrize("seconds", ["0", "3601", "-1", "1.5", "x"])
def test_odd_intervals_are_refused(host, short_tmp, viaduct, seconds):
    process = viaduct("vm1", f"--interval={seconds}")
    _, err = process.communicate(timeout=daemonkit.PATIENCE_S)
    assert process.returncode == 2 and "interval" in err

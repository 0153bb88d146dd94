# SPDX-License-Identifier: BSD-3-Clause
"""The real daemon under requests made from its description. VIADUCT_API_FUZZ_SECONDS runs it longer, VIADUCT_API_FUZZ_SEED again."""

import os
import random
import time

import api_fuzz
import daemonkit
import pytest

SECONDS = int(os.environ.get("VIADUCT_API_FUZZ_SECONDS", "12"))
SEED = int(os.environ.get("VIADUCT_API_FUZZ_SEED") or random.randrange(1 << 32))


@pytest.mark.timeout(SECONDS + 300)
def test_api_fuzz(stopped_daemon, short_tmp):
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    daemonkit.pf_make(sysfs)
    fn = daemonkit.pf_make(sysfs, "0000:02:00.0")
    for name in ("sriov_totalvfs", "sriov_numvfs", "sriov_drivers_autoprobe"):
        (fn / name).unlink()
    stopped_daemon.config.write_text(api_fuzz.CONFIG)
    with daemonkit.PfDriver(sysfs, daemonkit.MACHINE):
        daemon = stopped_daemon.start()
        daemon.request("POST", f"/v1/pfs/{daemonkit.MACHINE}/apply", {"vfs": 2})
        fuzzer = api_fuzz.Fuzzer(daemon, short_tmp, SEED)
        findings = fuzzer.run(SECONDS)
        print(f"VIADUCT_API_FUZZ_SEED={SEED}: {fuzzer.count} requests in {SECONDS} s")
        assert daemon.proc.poll() is None, daemon.text()[-5000:]
        assert not findings, "\n".join(findings)
        assert fuzzer.count > 5 * SECONDS
        begin = time.monotonic()
        vms = daemon.request("GET", "/v1/vms")[1]["vms"]
        assert time.monotonic() - begin < 30
        for vm in vms:
            if vm["pid"]:
                daemon.request("POST", f"/v1/vms/{vm['name']}/kill", {})
        assert daemon.stop() == 0

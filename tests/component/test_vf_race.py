# SPDX-License-Identifier: BSD-3-Clause
"""Many clients, few VFs: nobody ever has what another one has."""

import asyncio
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import daemonkit
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/alloc"))
import load  # noqa: E402
import tree  # noqa: E402

PAIRS = int(os.environ.get("VIADUCT_RACE_PAIRS") or 2000)
VFS = 4


@pytest.fixture
def pool(daemon_on_files):
    daemon_on_files.request("POST", "/v1/pfs/0000:01:00.0/apply", {"vfs": VFS})
    return daemon_on_files


@pytest.fixture
def daemon_on_files(stopped_daemon, short_tmp):
    """State in memory: what is asked here is who has what, not what the disk takes."""
    state = pathlib.Path(tempfile.mkdtemp(prefix="viaduct-race-", dir="/dev/shm"))
    sysfs = daemonkit.setup(stopped_daemon, short_tmp)
    shutil.rmtree(sysfs / "bus")
    tree.build(sysfs, 1, VFS)
    stopped_daemon.state_dir = state
    stopped_daemon.start()
    yield stopped_daemon
    stopped_daemon.stop()
    shutil.rmtree(state)


class Held:
    """Which VF is whose, as the clients were told."""

    def __init__(self):
        self.owner, self.pairs, self.refused = {}, 0, 0

    async def pair(self, client, name):
        status, reply, _ = await client.ask("POST", "/v1/vfs/alloc", {"name": name})
        vf = json.loads(reply)
        if status == 409:
            assert vf["error"]["code"] == "no-free-vf", vf
            self.refused += 1
            return
        assert status == 200, vf
        assert vf["address"] not in self.owner, f"{name} and {self.owner[vf['address']]} have {vf['address']}"
        self.owner[vf["address"]] = name
        del self.owner[vf["address"]]  # from here on another one may be told that he has it
        status, reply, _ = await client.ask("POST", f"/v1/vfs/{name}/release", {"generation": vf["generation"]})
        assert status == 200, reply
        self.pairs += 1


def test_two_clients_race_for_vfs(pool):
    held = Held()

    async def work(i, client):
        for n in range(PAIRS // 2):
            await held.pair(client, f"r{i}-{n}")

    load.run(pool.socket, 2, work)
    print(f"{held.pairs} pairs")
    assert held.pairs == PAIRS and held.refused == 0
    vfs = pool.request("GET", "/v1/vfs")[1]["vfs"]
    assert len(vfs) == VFS and all(vf["state"] == "free" for vf in vfs), vfs
    assert pool.stop() == 0
    pool.start()
    assert all(vf["state"] == "free" for vf in pool.request("GET", "/v1/vfs")[1]["vfs"])


def test_more_clients_than_vfs(pool):
    """Who is refused has nothing; a lease that was acknowledged is there after kill -9."""
    held = Held()
    kept = {}

    async def work(i, client):
        for n in range(20):
            await held.pair(client, f"m{i}-{n}")
            await asyncio.sleep(0)
        status, reply, _ = await client.ask("POST", "/v1/vfs/alloc", {"name": f"keep{i}"})
        if status == 200:
            kept[f"keep{i}"] = json.loads(reply)["address"]

    load.run(pool.socket, 12, work)
    assert len(kept) == VFS == len(set(kept.values())), kept
    pool.stop(signal.SIGKILL)
    pool.start()
    vfs = pool.request("GET", "/v1/vfs")[1]["vfs"]
    assert {vf["lease"]: vf["address"] for vf in vfs} == kept


def test_late_release_of_an_old_generation(pool):
    """The one who was there before gives back once more what is another's by now."""
    _, first = pool.request("POST", "/v1/vfs/alloc", {"name": "a", "pf": "0000:01:00.0"})
    assert pool.request("POST", "/v1/vfs/a/release", {"generation": first["generation"]})[0] == 200
    _, second = pool.request("POST", "/v1/vfs/alloc", {"name": "b", "pf": "0000:01:00.0"})
    assert second["address"] == first["address"] and second["generation"] > first["generation"]
    path = f"/v1/vfs/{first['address']}/release"
    status, reply = pool.request("POST", path, {"generation": first["generation"]})
    assert status in (409, 410) and reply["error"]["code"] == "vf-stale", reply
    assert pool.request("GET", "/v1/vfs/b")[1]["state"] == "leased"
    assert pool.request("POST", path, {"generation": -1})[0] == 400
    assert pool.request("POST", path, {"generation": second["generation"]})[0] == 200

# SPDX-License-Identifier: BSD-3-Clause
"""A daemon of canned replies on a Unix socket, and the `viaduct` command run against it."""

import contextlib
import http.server
import json
import os
import pathlib
import socketserver
import subprocess
import threading
import time

PF = {
    "address": "0000:01:00.0", "name": "enp1s0", "kind": "network", "vendor": "8086",
    "device": "10c9", "driver": "igb", "numa_node": -1, "iommu_group": 17,
    "link": {"admin_up": True, "carrier": True, "speed_mbps": 1000, "mac": "52:54:00:00:00:01"},
    "sriov": {
        "total_vfs": 8, "max_vfs": 7, "initial_vfs": 8, "num_vfs": 2, "first_vf_offset": 384, "vf_stride": 2,
        "vf_device_id": "10ca", "supported_page_sizes": [4096, 65536], "system_page_size": 4096,
        "vf_enable": True, "vf_mse": True, "vf_migration_capable": False,
        "ari_capable_hierarchy": False,
        "vf_bars": [{"index": 0, "kind": "mem64", "prefetchable": True, "size": 16384}],
    },
    "capabilities": {
        "ari": None, "ats": None, "pri": None, "pasid": None, "flr": True, "msix_vectors": 10,
        "acs": {"capable": {"source_validation": True, "translation_blocking": False},
                "enabled": {"source_validation": False}},
    },
    "vfs_free": 1,
}
VF = {
    "address": "0000:01:10.0", "pf": "0000:01:00.0", "pf_name": "enp1s0", "index": 0,
    "id": "enp1s0#0", "vendor": "8086", "device": "10ca", "driver": "vfio-pci",
    "iommu_group": 26, "numa_node": 0, "netdev": None, "state": "assigned", "reason": None,
    "lease": "fw1-wan", "owner": "fw1/wan", "generation": 3,
    "attributes": {"mac": "02:00:00:00:00:01", "vlan": 100, "qos": 0, "proto": "802.1Q",
                   "spoofchk": True, "trust": False, "link_state": None, "min_tx_rate": None,
                   "max_tx_rate": 0},
}
VM = {
    "name": "fw1", "state": "running", "pid": 4711, "unit": "viaduct-vm-fw1.scope", "vcpus": 2, "memory": 536870912,
    "ports": [{"name": "wan", "engine": "vf", "vf": "0000:01:10.0", "vf_id": "enp1s0#0",
               "pf": "enp1s0", "iommu_group": 26, "mac": "02:00:00:00:00:01", "vlan": 100,
               "bus_mastering": True, "vectors": 3, "interrupts": 4242}],
    "dma_remapping": True, "interrupt_remapping": True, "started_at": 1780000000,
    "uptime_s": 93784, "start_seconds": 3.217,
    "start_steps": [{"step": "ram", "ns": 12300000}, {"step": "entry", "ns": 400000}],
    "console": "/run/viaduct/vm/fw1/console.sock", "log": "/run/viaduct/vm/fw1/vmm.log",
    "exit": None,
}

FUNCTION = {
    "address": "0000:03:00.0", "name": "nvme0", "kind": "nvme", "vendor": "1b36", "device": "0010",
    "driver": "nvme", "host_driver": "nvme", "numa_node": -1, "iommu_group": 11, "state": "host",
    "owner": None, "assignable": True, "in_use": None, "reason": None, "remedy": None,
}
VM_FUNCTION = {
    "name": "disk", "address": "0000:03:00.0", "kind": "nvme", "host_name": "nvme0", "host_driver": "nvme",
    "iommu_group": 11, "bus_mastering": True, "vectors": 3, "interrupts": 77,
    "traps": [{"bar": 0, "offset": 8192, "size": 4096, "table": True, "accesses": 12},
              {"bar": 2, "offset": 0, "size": 4096, "table": False, "accesses": 0}],
}


def error(code, text, hint="", errnum=5):
    return {"error": {"code": code, "errno": errnum, "text": text, "hint": hint}}


def ok(done):
    """What a command that went well wrote."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def answer(self):
        fake = self.server.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake.requests.append((self.command, self.path, json.loads(body) if body else None))
        status, reply, delay = fake.replies.get(
            (self.command, self.path), (404, error("no-such", f"there is no {self.path}"), 0))
        time.sleep(delay)
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)

    do_GET = do_POST = answer


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the client went away


class FakeDaemon:
    """reply("GET", "/v1/pfs", {...}) and a `viaduct` that talks to it."""

    def __init__(self, folder, viaduct):
        self.run_dir = pathlib.Path(folder)
        self.viaduct = str(viaduct)
        self.replies = {}
        self.requests = []
        self.server = None

    def start(self):
        self.server = Server(str(self.run_dir / "viaduct.sock"), Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def reply(self, method, path, reply, status=200, delay=0):
        self.replies[(method, path)] = (status, reply, delay)

    def env(self, **more):
        return {**os.environ, "VIADUCT_RUN_DIR": str(self.run_dir), "LC_ALL": "C.UTF-8",
                "http_proxy": "http://127.0.0.1:1", **more}

    def run(self, *args, stdin="", env=None, cwd=None):
        return subprocess.run([self.viaduct, *map(str, args)], capture_output=True, text=True,
                              input=stdin, env=self.env(**(env or {})), timeout=60, cwd=cwd,
                              check=False)

# SPDX-License-Identifier: BSD-3-Clause
"""Requests made from docs/openapi.yaml, right ones, nearly right ones and hostile ones, and what is no HTTP at all, for a
daemon that must neither die, nor hang, nor answer 5xx, nor answer otherwise than the description says."""

import contextlib
import json
import random
import re
import socket
import threading
import time
import urllib.parse

import daemonkit
from openapi import Api

ANSWER_S = 25  # a start of a VM under the sanitizers, with others before it
TEXTS = ["", "x", "vm1", "vm2", "lease1", "net", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "802.1Q", "auto", "up", "../x", "/etc/shadow",
         "/dev/zero", "/proc/self/mem", "%s%n", "a" * 64, "a" * 5000, "\u00e4\ud7ff\U0001f600", "a\nb", "a\u0000b", "'", "\"", "0", "-1", "*", "#",
         f"{daemonkit.MACHINE}#0", f"{daemonkit.MACHINE}#99999999999", daemonkit.MACHINE, "0000:02:00.0", "lease:lease1"]
NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 4094, 4095, 65535, 65536, -1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63)]
ANYTHING = [None, True, False, 1.5, 1e308, [], {}, [[]], {"a": 1}, ["x"] * 50, *NUMBERS, *TEXTS]
CONFIG = f'networks: [{{name: net, uplinks: ["{daemonkit.MACHINE}"]}}]\npfs: [{{name: "{daemonkit.MACHINE}", vfs: 2}}]\n'
# None that makes the VMM itself fail: that is a 500 by right.
WORDS = ["", "", "", "old", "nokvm", "end=oom-killed", "say=x"]
RAW = [
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/vfs\r\n\r\n", b"GET /v1/vfs HTTP/9.9\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET /v1/vfs HTTP/1.0\r\n\r\n", b"GET /v1/vfs HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/v1/vfs HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/vfs HTTP/1.1\r\nHost: x\r\n\r\n" * 40,
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}", b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n{}",
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/vfs/alloc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n{}", b"GET /%00%ff%zz%2e%2e/%2f HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 99999999999999999999\r\n\r\n",
    b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", b"GET /v1/vfs HTTP/1.1\nHost: x\n\n",
    b"GET /v1/vfs HTTP/1.1\r\nHost: x\r\n folded: y\r\n: z\r\nnocolon\r\n\r\n", b"GET /v1/vfs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    b"GET /v1/vfs?" + b"a=b&" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"a\"",
    b"HEAD /v1/vfs HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/vms/check HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/vfs HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b;" * 500 + b"\r\nAuthorization: Basic ////\r\n\r\n",
]
NOT_OURS = {501, 505}  # libmicrohttpd's, of what is no request of HTTP/1.1


class Finding(Exception):
    pass


class Worker(threading.Thread):
    def __init__(self, fuzzer, seed):
        super().__init__(daemon=True)
        self.f, self.rng = fuzzer, random.Random(seed)

    def run(self):
        while time.monotonic() < self.f.deadline and not self.f.findings:
            try:
                (self.raw if self.rng.random() < 0.15 else self.described)()
            except Finding as e:
                self.f.findings.append(str(e))
            self.f.count += 1

    def text(self):
        return self.rng.choice(TEXTS)

    def yaml(self, is_config):
        rng = self.rng
        text = CONFIG if is_config else rng.choice(self.f.files + [daemonkit.vm_yaml(
            self.f.folder, rng.choice(["vm1", "vm2", "vm3"]), rng.choice(WORDS), "ports: [{name: wan, network: net}]\n" * rng.randrange(2))] * 20)
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 5])):
            at = rng.randrange(len(text) + 1)
            text = rng.choice([
                lambda t, at: t[:at] + rng.choice(["{", "[", "&a ", "*a", "!!", "\t", "\n", "- ", ": ", "\"", "%", "\ufeff", "0x"]) + t[at:],
                lambda t, at: t[:at] + t[at + rng.randrange(20):], lambda t, at: t + t[at:], lambda t, at: t[:at],
                lambda t, at: t[:at] + "[" * rng.choice([10, 3000]) + t[at:],
                lambda t, at: re.sub(r"[0-9]+", lambda m: str(rng.choice(NUMBERS)), t, 1),
                lambda t, at: t.replace(": ", ": " + self.text() + " ", 1)])(text, at)[:40000]
        return text

    def value(self, member, schema):
        rng = self.rng
        if rng.random() < 0.08:
            return rng.choice(ANYTHING)
        if member == "yaml":
            return self.yaml(self.is_config)
        if member == "base_dir":
            return rng.choice([str(self.f.folder), "/", "x"])
        if member == "timeout_s":
            return rng.choice([0, 1, 1, 2])
        if "enum" in schema:
            return rng.choice(schema["enum"])
        if schema.get("type") == "integer":
            return rng.choice([rng.randrange(5), rng.choice(NUMBERS)])
        if schema.get("type") == "boolean":
            return rng.random() < 0.8
        if schema.get("type") == "array":
            return [self.value(member, schema["items"]) for _ in range(rng.randrange(3))]
        return self.text()

    def body(self, op):
        rng, members = self.rng, op.members()
        required = op.body.get("required", []) if op.body else []
        body = {m: self.value(m, s) for m, s in members.items() if m in required or rng.random() < 0.4}
        if rng.random() < 0.05:
            body[self.text()] = rng.choice(ANYTHING)
        if rng.random() < 0.05 and body:
            del body[rng.choice(list(body))]
        text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.08:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice([b"\x00", b"\xff", b"[" * 3000, b"1e999", b"\\ud800", b"{\"a\":", b""]) + text[at + rng.randrange(3):]
        return text

    def described(self):
        rng = self.rng
        op = rng.choice(self.f.operations)
        self.is_config = "config" in op.path
        names = {"pf": [daemonkit.MACHINE], "vf": ["lease1", f"{daemonkit.MACHINE}#0", f"{daemonkit.MACHINE}#1", "x"],
                 "operation": self.f.begun[-8:] or ["x"], "network": ["net"], "function": ["0000:02:00.0"], "name": ["vm1", "vm2", "vm3"]}
        path = re.sub(r"\{(\w+)\}", lambda m: urllib.parse.quote(
            rng.choice(names.get(m[1], TEXTS)) if rng.random() < 0.85 else self.text(), safe=rng.choice(["", "/#:"])), op.path)
        query = [(p["name"], str(rng.choice(NUMBERS + TEXTS))) for p in op.query() if p.get("required") or rng.random() < 0.5]
        if rng.random() < 0.03:
            query.append((self.text(), self.text()))
        if query:
            path += "?" + urllib.parse.urlencode(query)
        body = self.body(op) if op.verb != "GET" or rng.random() < 0.02 else b""
        prefer = "Prefer: respond-async\r\n" if rng.random() < 0.1 else ""
        head = (f"{op.verb} {path} HTTP/1.1\r\nHost: x\r\n{prefer}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                .encode("utf-8", "replace"))
        reply = self.exchange(head + body)
        status = self.status_of(reply, head + body)
        if status == 202:
            self.f.begun.append(json.loads(reply.partition(b"\r\n\r\n")[2])["operation"]["id"])
        if API_LESS.search(reply[:400]):  # the path, or what is no path, is not the one that was meant
            return
        try:
            if op.path != "/metrics" and status not in (413, 414, 431):
                real = self.f.api.operation(op.verb, urllib.parse.unquote(path.partition("?")[0]))
                self.f.api.check(real or op, status, json.loads(reply.partition(b"\r\n\r\n")[2]))
        except (AssertionError, ValueError) as e:
            raise Finding(f"{head + body!r}\nanswered otherwise than described: {e}") from None

    def raw(self):
        rng = self.rng
        data = rng.choice(RAW)
        for _ in range(rng.choice([0, 0, 1, 3])):
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.choice([rng.randbytes(3), b"\r\n", b"\x00", b""]) + data[at + rng.randrange(4):]
        self.status_of(self.exchange(data, is_whole=False), data)

    def exchange(self, data, is_whole=True):
        """The reply; of what may not be a whole request, what comes at once."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(ANSWER_S)
            s.connect(str(self.f.daemon.socket))
            got = b""
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                s.sendall(data)
                if not is_whole:
                    if self.rng.random() < 0.5:
                        s.shutdown(socket.SHUT_WR)
                    s.settimeout(0.2)
                while len(got) < 1 << 24 and (more := s.recv(1 << 16)):
                    got += more
        if is_whole and not got:
            raise Finding(f"{data!r}\nhas no answer within {ANSWER_S} s")
        return got

    def status_of(self, reply, data):
        if not reply.startswith(b"HTTP/1."):
            return None
        status = int(reply.split()[1])
        if status >= 500 and status != 503 and status not in NOT_OURS:
            raise Finding(f"{data!r}\n{reply.decode(errors='replace')}")
        return status


# Paths that are none, and errors that libmicrohttpd makes before ours begins.
API_LESS = re.compile(rb'"code":"(no-such-path|method)"|Content-Type: text/html|^HTTP/1.1 400 .*\r\n(?!.*application/json)', re.S)


class Fuzzer:
    def __init__(self, daemon, folder, seed, threads=4):
        self.daemon, self.folder = daemon, folder
        self.api = Api()
        self.operations = self.api.operations
        self.files = [p.read_text() for p in sorted(daemonkit.HERE.glob("fail-*.yaml"))]
        self.begun = []  # ids of operations
        self.findings, self.count, self.deadline = [], 0, 0
        self.workers = [Worker(self, f"{seed}.{i}") for i in range(threads)]

    def run(self, seconds):
        self.deadline = time.monotonic() + seconds
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.join(seconds + 3 * ANSWER_S)
            if worker.is_alive():
                self.findings.append("a request hangs")
        return self.findings

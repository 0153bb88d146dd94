# SPDX-License-Identifier: BSD-3-Clause
"""One case: all its processes, then its rounds."""

import contextlib
import dataclasses
import time

import figures
import machine
from processes import BenchError, Generator, StartError

WARM_MS = 100
UNSEEN_SECONDS = 0.05  # until all is taken that goes where nobody sees it
READY_SECONDS = 30


class Session:
    def __init__(self, place, case, backends):
        """backends: name -> maker, each called with the place."""
        self.case, self.place = case, place
        self.makers = backends
        self.gen, self.backends = None, []
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            place = self.place
            if self.case.uplink == "af-xdp":
                enter, wires = self.stack.enter_context(machine.wires(self.makers))
                place = dataclasses.replace(place, enter=enter, wires=wires)
            self.gen = Generator(place)
            self.backends = [make(place) for make in self.makers.values()]
            for process in (*self.backends, self.gen):
                self.stack.callback(process.stop)
            self.start()
        except BenchError as e:
            self.stack.close()
            raise StartError(f"{self.case.case}: {e}") from e
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self):
        self.gen.start(self.case.size)
        for backend in self.backends:
            backend.start(self.case, self.case.ports)
            self.ports_open(backend)
            backend.wait_for("its ports are not up", backend.is_ready, READY_SECONDS)
            self.learn(backend)
            backend.pause()

    def ports_open(self, backend):
        for i, path in enumerate(backend.paths):
            self.gen.ask("port", name=f"{backend.name}{i}", driver="virtio-user", path=path, packed=self.case.ring == "packed",
                         mergeable=self.case.mergeable, index=i)
        if self.case.uplink == "af-xdp":
            i, device = len(backend.paths), backend.place.wires[backend.name][1]
            self.gen.ask("port", name=f"{backend.name}{i}", driver="af-packet", path=device, index=i)

    def ports(self, backend):
        return [f"{backend.name}{i}" for i in range(self.case.ports + (self.case.uplink == "af-xdp"))]

    def learn(self, backend):
        """Each address is told from its port before any frame goes to it: none is ever flooded."""
        if backend.name == figures.CEILING:
            return
        receivers = {to for _, to in self.case.flows()}
        for i, port in enumerate(self.ports(backend)):
            self.gen.ask("learn", port=port, addresses=self.case.macs if i in receivers else 1)
            for other in self.ports(backend):
                self.gen.ask("drain", port=other)

    def traffic(self, backend, op, ms, is_warming=False):
        names = self.ports(backend)
        flows = [{"from": names[a], "to": None if b is None else names[b], "addresses": self.case.macs}
                 for a, b in self.case.flows()]
        reply = self.gen.ask(op, ports=names, flows=flows, dirty=self.case.dirty, ms=ms)
        reply["seen"] = all(flow["to"] is not None for flow in flows)
        # A backend that was kept off its CPU while addresses were learned floods the last of those frames now.
        wrong = reply["bad"] + (0 if is_warming else reply.get("stray", 0))
        if wrong and backend.name != figures.CEILING:  # which hands the head of each packet on, and no more
            raise BenchError(f"{self.case.case}: {backend.name} delivered {wrong} packets that are changed, out of order or "
                             f"of another port: {reply}")
        return reply

    def slice(self, backend, ms):
        backend.resume()
        try:
            self.traffic(backend, "run", WARM_MS, is_warming=True)
            if self.case.latency:
                return self.traffic(backend, "latency", ms)
            before = backend.read()
            reply = self.traffic(backend, "run", ms)
            if not reply["seen"]:
                time.sleep(UNSEEN_SECONDS)
            after = backend.read()
            backend.check()
            return figures.sample(reply, figures.cycles_between(before, after))
        finally:
            backend.pause()

    def rounds(self, count, ms):
        """The order moves on by one each round."""
        for number in range(count):
            first = number % len(self.backends)
            order = self.backends[first:] + self.backends[:first]
            yield {backend.name: self.slice(backend, ms) for backend in order}

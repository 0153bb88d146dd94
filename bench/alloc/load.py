# SPDX-License-Identifier: BSD-3-Clause
"""Many clients at once on the daemon's socket, each with one request under way."""

import asyncio
import json
import time


class Client:
    """One connection that stays open."""

    def __init__(self, socket):
        self.socket = str(socket)
        self.reader = self.writer = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_unix_connection(self.socket, limit=1 << 24)
        return self

    def close(self):
        self.writer.close()

    async def ask(self, method, path, body=None):
        """(status, body as bytes, seconds)."""
        data = b"" if body is None else json.dumps(body).encode()
        begin = time.perf_counter()
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: viaduct\r\nContent-Type: application/json\r\n"
                          f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:"))
        reply = await self.reader.readexactly(size)
        return int(head.split(b" ", 2)[1]), reply, time.perf_counter() - begin


async def _each(socket, number, work):
    clients = [await Client(socket).open() for _ in range(number)]
    try:
        return await asyncio.gather(*(work(i, client) for i, client in enumerate(clients)))
    finally:
        for client in clients:
            client.close()


def run(socket, number, work):
    """work(i, client) for each of `number` clients at once; their results."""
    return asyncio.run(_each(socket, number, work))

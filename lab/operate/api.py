# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's HTTP API without the `viaduct` command between: for what asks often."""

import http.client
import json
import os
import pathlib
import socket
import urllib.parse

from operate import OperateError

SOCKET = os.path.join(os.environ.get("VIADUCT_RUN_DIR") or "/run/viaduct", "viaduct.sock")


class Refused(OperateError):
    """An answer other than 2xx."""


class _Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def text(method, path, body=None, timeout=60):
    """One request on a connection of its own; returns what is answered. OSError: nobody answers."""
    conn = _Connection("localhost", timeout=timeout)
    try:
        conn.request(method, path, json.dumps(body) if body is not None else None)
        reply = conn.getresponse()
        said = reply.read().decode("utf-8", "replace")
    except http.client.HTTPException as e:
        raise ConnectionError(f"{method} {path}: {e!r}") from e
    finally:
        conn.close()
    if reply.status // 100 != 2:
        raise Refused(f"{method} {path}: {reply.status} {said[:2000]}")
    return said


def ask(*args, **kw):
    """The same, where the answer is JSON."""
    return json.loads(text(*args, **kw))


def get(path, **kw):
    return ask("GET", path, **kw)


def post(path, body=None, **kw):
    return ask("POST", path, body if body is not None else {}, **kw)


def at(*parts):
    """/v1/PART/PART, each part quoted."""
    return "/v1/" + "/".join(urllib.parse.quote(str(part), safe="") for part in parts)


def vm_body(file):
    """What `viaduct vm run` sends."""
    return {"yaml": pathlib.Path(file).read_text(encoding="utf-8")}

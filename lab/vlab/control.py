# SPDX-License-Identifier: BSD-3-Clause
"""The three verbs of lab/ctl, served to the machine (Unix socket) and to the host (virtio port).

A request is one line, VERB ARGUMENT..., the answer one line: "ok" or "error: TEXT". Nothing else
of QMP can be reached, whoever asks.
"""

import os
import socket
import threading

from vlab import LabError
from vlab.machine import DEVICES

MAX_REQUEST = 4096
# Taking the NVMe controller out, with or without VFs, ends QEMU 10 by an assertion.
UNPLUGGABLE = ("pf0", "pf1", "nic0")
PORTS = ("pf0", "pf1", "nic0", "nic1")
CABLE = ("pf0", "pf1")
# Injected at the root port above the card: the cards' own models (QEMU 10) cannot enable error
# messages, and none sends correctable ones. The kernel tells every driver below the port, so a VF's
# holder gets its ERR event.
AER_ERRORS = {"nonfatal": "COMP_ABORT", "fatal": "DLP"}

USAGE = ("usage: link pf0|pf1|nic0|nic1|cable up|down, unplug pf0|pf1|nic0, "
         "aer pf0|pf1|nvme0|nic0 [nonfatal|fatal]")


def perform(qmp, line):
    """Carry out one request; returns the answer."""
    words = line.split()
    try:
        if len(words) == 3 and words[0] == "link" and words[2] in ("up", "down"):
            _link(qmp, words[1], words[2] == "up")
        elif len(words) == 2 and words[0] == "unplug" and words[1] in UNPLUGGABLE:
            qmp.execute("device_del", id=words[1])
        elif len(words) in (2, 3) and words[0] == "aer" and words[1] in DEVICES:
            _aer(qmp, words[1], (words + ["nonfatal"])[2])
        else:
            raise LabError(USAGE)
    except LabError as e:
        return f"error: {e}"
    return "ok"


def _link(qmp, port, up):
    names = CABLE if port == "cable" else (port,)
    for name in names:
        if name not in PORTS:
            raise LabError(f"no port {name}; ports: {' '.join(PORTS)} cable")
        qmp.execute("set_link", name=name, up=up)


def _aer(qmp, dev, kind):
    if kind not in AER_ERRORS:
        raise LabError(f"no error {kind}; errors: {' '.join(AER_ERRORS)}")
    command = f"pcie_aer_inject_error rp-{dev} {AER_ERRORS[kind]}"
    text = qmp.execute("human-monitor-command", **{"command-line": command})
    # HMP has no status: success is "OK id: ...".
    if not text.startswith("OK"):
        raise LabError(text.strip().replace("\n", " "))


def serve_port(sock, qmp):
    """Serve the virtio port of the host."""
    threading.Thread(target=_serve, args=(sock, qmp), daemon=True).start()


def serve_socket(path, qmp):
    """Serve lab/ctl of this machine."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()

    def run():
        while True:
            conn = listener.accept()[0]
            threading.Thread(target=_serve, args=(conn, qmp), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()


def _serve(sock, qmp):
    """Answer each line until the other side closes. Of a line that is too long only the end is seen."""
    pending = b""
    with sock:
        try:
            while data := sock.recv(MAX_REQUEST):
                *lines, pending = (pending + data).split(b"\n")
                pending = pending[-MAX_REQUEST:]
                for line in lines:
                    answer = perform(qmp, line.decode("utf-8", "replace"))
                    sock.sendall(answer.encode() + b"\n")
        except OSError:
            pass  # It has gone without waiting for the answer.

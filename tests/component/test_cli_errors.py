# SPDX-License-Identifier: BSD-3-Clause
"""The `viaduct` command when something is wrong: bad words, bad replies, no daemon."""

import contextlib
import pathlib
import re
import shutil
import socket

import pytest

from cli_daemon import PF, VM, error, ok


# --- errors -------------------------------------------------------------------------------------

def test_error_and_hint(fake):
    fake.reply("POST", "/v1/vfs/x/release",
               error("vf-in-use", "VF 0000:01:10.0: in use by VM fw1", "viaduct vm show fw1"), 409)
    done = fake.run("vf", "release", "x")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == ("viaduct: VF 0000:01:10.0: in use by VM fw1\n"
                           "  try: viaduct vm show fw1\n")


@pytest.mark.parametrize("status, exit_status", [(400, 2), (403, 1), (404, 1), (500, 1), (503, 1)])
def test_exit_status_of_http_status(fake, status, exit_status):
    fake.reply("GET", "/v1/vms/a", error("x", "words"), status)
    done = fake.run("vm", "show", "a")
    assert done.returncode == exit_status and done.stderr == "viaduct: words\n"


@pytest.mark.parametrize("status, reply, words", [
    (200, b"", "no JSON object"), (200, b"[]", "no JSON object"), (200, b"{", "no JSON object"),
    (200, b'{"vms":[],"vms":[]}', "no JSON object"), (200, {"vms": {}}, "vms is not a list"),
    (200, {}, "vms is missing"), (500, b"oops", "HTTP 500 and no reason"),
    (500, {"error": {"text": 5}}, "HTTP 500 and no reason"), (302, {}, "HTTP 302 and no reason"),
    (200, b'{"a":"' + b"x" * (17 << 20) + b'"}', "longer than 16 MiB"),
    (200, b"[" * 100000, "no JSON object"),
], ids=range(11))
def test_bad_replies(fake, status, reply, words):
    if status == 302:
        reply = {"error": 1}
    fake.reply("GET", "/v1/vms", reply, status)
    done = fake.run("vm", "list")
    assert done.returncode == 1 and words in done.stderr, done.stderr


@pytest.mark.parametrize("hostile", ["\x1b]0;x\x07", "\u009b31m", "a\u202eb", "\x7f", "\u2028"])
def test_no_control_character_reaches_the_terminal(fake, hostile):
    fake.reply("GET", "/v1/vms", {"vms": [{**VM, "name": hostile, "ports": [{"name": hostile}]}]})
    fake.reply("GET", "/v1/vms/a", error("c" + hostile, "t" + hostile, "h" + hostile), 500)
    texts = [ok(fake.run("vm", "list")), fake.run("vm", "show", "a").stderr,
             fake.run("vm", "show", "a", "--json").stderr.replace("\x7f", "")]
    for text in texts:
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


@pytest.mark.parametrize("words, hint", [
    (("pff", "list"), "viaduct pf"), (("pf", "lst"), "viaduct pf list"),
    (("vm", "consle", "a"), "viaduct vm console"), (("console", "a"), "viaduct vm console NAME"),
    (("pf",), "viaduct pf list | show | plan | apply | confirm"), (("zzzzzz",), "viaduct help"),
    (("pf", "apply", "a", "--vsf", "2"), "--vfs"), (("pf", "apply", "a"), "viaduct pf apply a --vfs N"),
    (("pf", "apply"), "viaduct pf apply PF [--vfs N]"), (("pf", "list", "x"), "viaduct pf list"),
    (("vf", "set", "x", "trsut=on"), "trust=VALUE"), ((), "viaduct help"),
])
def test_usage_errors(fake, words, hint):
    done = fake.run(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[1].startswith(f"  try: {hint}"), done.stderr
    assert fake.requests == []


@pytest.mark.parametrize("words", [
    ("pf", "apply", "a", "--vfs"), ("pf", "apply", "a", "--vfs", "-1"), ("pf", "plan", "a"),
    ("pf", "apply", "a", "--vfs", "1", "--confirm-within", "0s"), ("pf", "confirm"),
    ("pf", "apply", "a", "--vfs", "1", "--confirm-within", "25h"),
    ("pf", "plan", "a", "--vfs", "x"), ("pf", "apply", "a", "--vfs", "1", "--disrupt", ","),
    ("pf", "apply", "a", "--vfs", "1", "--timeout", "3601"),
    ("pf", "apply", "a", "--vfs", "65536"), ("pf", "apply", "a", "--vfs", "2x"),
    ("pf", "apply", "", "--vfs", "2"), ("vf", "set", "x"), ("vf", "set", "x", "mac"),
    ("vf", "set", "x", "mac=1"), ("vf", "set", "x", "vlan=4095"), ("vf", "set", "x", "trust=2"),
    ("vf", "set", "x", "rate=9999999G"), ("vf", "set", "x", "vlan=1", "vlan=2"),
    ("vf", "alloc"), ("vf", "alloc", "--name", "Bad Name"), ("pf", "list", "--json=1"),
    ("vf", "alloc", "--name", "a", "--pf", "p", "--network", "n"), ("vm", "show", ".."),
    ("vm", "stop", "a", "--timeout", "x"), ("vm", "console", "../x"), ("vm", "show"), ("vm", "start", "a/b"), ("operation", "show", "../vms"),
])
def test_bad_input(fake, words):
    done = fake.run(*words)
    assert done.returncode == 2 and done.stderr.startswith("viaduct: ")
    assert fake.requests == []


@pytest.mark.parametrize("words, option", [
    (("pf", "apply", "a", "--vfs", "1", "--vfs=2"), "--vfs"), (("vm", "stop", "a", "--timeout", "1", "--timeout", "1"), "--timeout"),
    (("events", "--since", "1", "--since", "2"), "--since"), (("--socket", "a", "pf", "list", "--socket", "b"), "--socket"),
    (("pf", "list", "--run-dir", "a", "--run-dir", "b"), "--run-dir"),
    (("bench", "run", "x", "--json", "a", "--json", "b"), "--json"),
])
def test_a_value_is_given_once(fake, words, option):
    done = fake.run(*words)
    assert done.returncode == 2 and f"{option} is given twice" in done.stderr, done.stderr
    assert fake.requests == []


def test_options_without_a_value_may_be_repeated(fake):
    fake.reply("GET", "/v1/pfs", {"pfs": [PF]})
    ok(fake.run("--json", "pf", "list", "--json", "--json", "--run-dir", fake.run_dir))


@pytest.mark.parametrize("words, hint", [(("vm", "list", "extra"), "viaduct vm list"), (("check",), "viaduct host check")])
def test_a_hint_ends_with_a_word(fake, words, hint):
    assert fake.run(*words).stderr.splitlines()[1] == f"  try: {hint}"


@pytest.mark.parametrize("noun", ["port", "disk"])
def test_a_name_of_two_parts(fake, noun):
    done = fake.run(noun, "show", "vm1")
    assert done.returncode == 2 and f"VM/{noun.upper()}\n  try: viaduct {noun} list" in done.stderr, done.stderr


@pytest.mark.parametrize("words", [
    ("vm", "quarantine", "fw1/\udcff"), ("vm", "unquarantine", "fw1/\udcff"), ("vm", "run", "FILE", "--owner", "b\udcfcrgi"),
    ("vm", "create", "FILE", "--owner", "b\udcfcrgi"), ("vm", "run", "FILE", "--allow-unsafe-interrupts", "gepr\udcfcft"),
    ("iommu", "audit", "--vm", "\udcff"), ("host", "selftest", "--pf", "\udcff"),
])
def test_a_word_that_cannot_be_sent_is_not_left_out(fake, tmp_path, words):
    file = tmp_path / "fw1.yaml"
    file.write_text("name: fw1\n")
    done = fake.run(*(str(file) if word == "FILE" else word for word in words))
    assert done.returncode == 2 and "not UTF-8 text" in done.stderr, done.stderr
    assert fake.requests == []


# --- without a daemon -----------------------------------------------------------------------------

ONESHOT = """#!/usr/bin/python3
import os, socket, sys
assert sys.argv[1:4] == ["--oneshot", "--fd", "3"], sys.argv
assert not os.read(0, 1)
sys.stderr.write("some words\\n")
sys.stderr.flush()
s = socket.socket(fileno=3)
request = b""
while b"\\r\\n\\r\\n" not in request:
    request += s.recv(65536)
if b"/die" in request:
    sys.exit(1)
body = ('{"pfs":[{"address":"%s"}]}' % " ".join(sys.argv[4:])).encode()
s.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
s.recv(1)
"""


@pytest.fixture
def oneshot(no_daemon, tmp_path):
    script = tmp_path / "viaductd"
    script.write_text(ONESHOT)
    script.chmod(0o755)
    no_daemon.script = script
    return no_daemon


def test_reading_without_a_daemon_starts_a_oneshot(oneshot):
    env = {"VIADUCT_DAEMON": str(oneshot.script)}
    assert f"--run-dir {oneshot.run_dir}" in ok(oneshot.run("pf", "list", env=env))
    done = oneshot.run("pf", "show", "die", env=env)
    assert done.returncode == 1
    assert "viaductd --oneshot did not answer: some words" in done.stderr


def test_oneshot_on_path_of_another_copy(oneshot, tmp_path):
    copy = tmp_path / "bin" / "viaduct"
    copy.parent.mkdir()
    shutil.copy(oneshot.viaduct, copy)
    oneshot.viaduct = str(copy)
    assert "--run-dir" in ok(oneshot.run("pf", "list", env={"PATH": str(tmp_path)}))
    done = oneshot.run("pf", "list", env={"PATH": "/nowhere"})
    assert done.returncode == 1 and "neither beside this program nor on PATH" in done.stderr
    shutil.copy(oneshot.script, copy.parent / "viaductd")
    assert "--run-dir" in ok(oneshot.run("pf", "list", env={"PATH": "/nowhere"}))


@pytest.mark.parametrize("words", [
    ("pf", "apply", "a", "--vfs", "1"), ("vf", "alloc", "--name", "a"), ("vm", "list"),
    ("vm", "stop", "a"), ("vm", "console", "a"), ("version", "--json"),
])
def test_changes_need_the_daemon(oneshot, words):
    done = oneshot.run(*words, env={"VIADUCT_DAEMON": str(oneshot.script)})
    assert done.returncode == 1 and "viaductd is not running" in done.stderr
    assert "systemctl start viaductd" in done.stderr


def test_named_socket_is_that_daemon_or_none(oneshot):
    done = oneshot.run("pf", "list", "--socket", "/nowhere/s",
                       env={"VIADUCT_DAEMON": str(oneshot.script)})
    assert done.returncode == 1 and "viaductd is not running" in done.stderr


def test_a_daemon_with_too_many_callers_is_not_absent(no_daemon, tmp_path):
    path = pathlib.Path(no_daemon.run_dir) / "full.sock"
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                caller = sockets.enter_context(
                    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                caller.connect(str(path))
        done = no_daemon.run("pf", "list", "--socket", str(path))
    assert done.returncode == 1 and "has too many callers" in done.stderr

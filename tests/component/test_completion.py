# SPDX-License-Identifier: BSD-3-Clause
"""What the tab key does in bash and zsh: names from a daemon, and quiet where there is none."""

import os
import pathlib
import pty
import re
import select
import subprocess
import time

import pytest
from daemonkit import eventually

from cli_daemon import FUNCTION, PF, VF, VM, FakeDaemon

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "cli/completion"
# As readline would call it: the words cut at COMP_WORDBREAKS, the line whole.
BASH = r"""
. "$1"/viaduct.bash
compopt() { echo "compopt $*"; }
COMP_LINE=$2 COMP_POINT=${#2}
IFS=' ' read -r -a COMP_WORDS <<<"$2"
_viaduct "$3" "${COMP_WORDS[-1]}" ""
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def fake(program, short_tmp):
    daemon = FakeDaemon(short_tmp, program("viaduct")).start()
    daemon.reply("GET", "/v1/pfs", {"pfs": [PF]})
    daemon.reply("GET", "/v1/vfs", {"vfs": [VF]})
    daemon.reply("GET", "/v1/vms", {"vms": [VM, {**VM, "name": "$(touch /tmp/x)"}, {**VM, "name": "fw2"}]})
    daemon.reply("GET", "/v1/functions", {"functions": [FUNCTION]})
    yield daemon
    daemon.stop()


def bash(fake, line):
    done = subprocess.run(["bash", "--norc", "-c", BASH, "bash", FOLDER, f"viaduct {line}", fake.viaduct],
                          env=fake.env(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == ""
    return [word for word in done.stdout.split("\n") if word]


def test_bash_completes_words_and_names(fake):
    for line, wanted in {
        "vm sto": ["stop"], "netw": ["network"], "vm stop ": ["fw1", "fw2"], "vm stop fw1 --no-k": ["--no-kill"],
        "pf show e": ["enp1s0"],
        # readline replaces what follows the last colon
        "pf show 0000:0": ["01:00.0"],
        "vf set fw1-wan spo": ["spoofchk=", "compopt -o nospace"],
        "vf release ": ["fw1-wan", "enp1s0#0"], "vf alloc --name x --pf=enp": ["enp1s0"],
        "vf alloc --name x --pf enp": ["enp1s0"],
        "pf apply enp1s0 --disrupt fw2,lease:fw": ["fw1-wan"],
        "function show 0000:03": ["03:00.0"], "vm run ": ["compopt -o default"], "vm run x --owner roo": ["root"],
        "explain daemon-not-r": ["daemon-not-running"], "nonsense ": [], "vm stop nobody": [],
    }.items():
        assert sorted(bash(fake, line)) == sorted(wanted), line


def test_completion_without_an_answer_is_silent_and_soon_over(fake):
    fake.reply("GET", "/v1/vms", {"vms": [VM]}, delay=50)
    fake.reply("GET", "/v1/pfs", b"no JSON")
    began = time.monotonic()
    assert bash(fake, "vm stop ") == [] and bash(fake, "pf show ") == []
    assert time.monotonic() - began < 40
    fake.stop()
    assert bash(fake, "pf show ") == [] and bash(fake, "pf sh") == ["show"]


def until(terminal, pattern):
    seen = []

    def look():
        if select.select([terminal], [], [], 0.2)[0]:
            seen.append(os.read(terminal, 4096).decode(errors="replace"))
        return re.search(pattern, "".join(seen))

    assert eventually(look), seen
    return "".join(seen)


def test_zsh_completes_words_and_names(fake):
    where = f"{pathlib.Path(fake.viaduct).parent}:{os.environ['PATH']}"
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("zsh", ["zsh", "-f", "-i"], fake.env(PATH=where, TERM="dumb", HOME=str(fake.run_dir)))

    def typed(keys, line):
        """Types them on an empty line; zsh has that line then, unless the daemon's answer took too long to be waited for."""
        def look():
            os.write(terminal, b"\x15" + keys.encode() + b"\x18")
            return f"<{line}>" in until(terminal, r"<viaduct [^>]*>")

        assert eventually(look), line

    try:
        os.write(terminal, f"fpath=({FOLDER} $fpath); autoload -U compinit && compinit -u -D; PS1=\n".encode())
        os.write(terminal, b"show() { print -r \"<$BUFFER>\" }; zle -N show; bindkey '^X' show; echo rea''dy\n")
        until(terminal, "ready")
        typed("viaduct netw\t", "viaduct network ")
        typed("viaduct network sh\t", "viaduct network show ")
        typed("viaduct pf show 0000:0\t", "viaduct pf show 0000:01:00.0 ")
        typed("viaduct vf set fw1-wan spo\t", "viaduct vf set fw1-wan spoofchk=")
        typed("viaduct vm stop \t", "viaduct vm stop fw")
        os.write(terminal, b"\t")
        assert "touch" not in until(terminal, r"fw2 .*running")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)

# SPDX-License-Identifier: BSD-3-Clause
"""What the virtual host is told to run: a small archive behind its initramfs."""

import os
import shlex

from vlab.cpio import Archive

# The environment goes along, without what belongs to the caller's session.
LEFT_OUT = ("SSH_", "DBUS_", "XDG_", "LISTEN_", "SUDO_")
LEFT_OUT_NAMES = {"HOME", "USER", "LOGNAME", "MAIL", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR",
                  "NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "DISPLAY"}


def environment(extra):
    env = {name: value for name, value in os.environ.items()
           if name.isidentifier() and name not in LEFT_OUT_NAMES
           and not name.startswith(LEFT_OUT)}
    path = env.get("PATH", "").split(":")
    path += [p for p in ("/usr/sbin", "/usr/bin", "/sbin", "/bin") if p not in path]
    env.update(extra, PATH=":".join(p for p in path if p), HOME="/root", USER="root",
               LOGNAME="root")
    return env


def job_script(command, cwd, env):
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(env.items())]
    lines += [f"cd {shlex.quote(cwd)} || exit 126", f"exec {shlex.join(command)}"]
    return "\n".join(lines) + "\n"


def job_archive(script, config):
    archive = Archive()
    archive.add_file("viaduct-lab/job", script.encode("utf-8", "surrogateescape"), 0o700)
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in config.items())
    archive.add_file("viaduct-lab/config", text.encode("utf-8", "surrogateescape"), 0o600)
    return archive.to_bytes()

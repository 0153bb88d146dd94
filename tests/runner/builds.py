# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of build that the suites run on, each in a folder of its own under build/."""

import concurrent.futures
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import time

from .results import Result

TOP = pathlib.Path(__file__).resolve().parents[2]

# A newer compiler's new warnings must not stop an operator's build: they are errors where we look.
WERROR = ["--werror"] if os.environ.get("CI") else []

# kind: environment, meson options
KINDS = {
    # Unit tests run in `asan`: here they would be half of what there is to compile and link.
    "release": ({}, ["--buildtype=debugoptimized", "-Dunit_tests=false", *WERROR]),
    "asan": (
        {},
        ["--buildtype=debug", "--werror", "-Db_sanitize=address,undefined", "-Db_lundef=false"],
    ),
    "fuzz": (
        {"CC": "clang"},
        [
            "--buildtype=debugoptimized",
            *WERROR,
            "-Db_sanitize=address,undefined",
            "-Db_lundef=false",
            "-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined",
        ],
    ),
    # GCC's runtime reads debug information itself; clang's starts a program for it, which a sandboxed process cannot.
    # -Wtsan says at each fence that it is not modelled (tests/fake/tsan_dpdk.c).
    "tsan": (
        {},
        [
            "--buildtype=debugoptimized",
            *WERROR,
            "-Db_sanitize=thread",
            "-Db_lundef=false",
            "-Dc_args=-Wno-tsan",
        ],
    ),
    # The counters live in mapped files: what dies, or may open nothing at its end, is counted too.
    "coverage": (
        # The compiler checks of the set-up run programs, too.
        {"CC": "clang", "LLVM_PROFILE_FILE": "/dev/null"},
        [
            "--buildtype=debug",
            "-Db_lundef=false",
            "-Dc_args=-fprofile-instr-generate -fcoverage-mapping"
            " -mllvm -runtime-counter-relocation=true",
            "-Dc_link_args=-fprofile-instr-generate",
        ],
    ),
}

# What a suite runs of a build, where that is not everything: half of a fuzz build would be unit tests.
TARGETS = {"fuzz": ["fuzzers"], "tsan": ["pmd-backends/viaduct-pmd", "pmd-backends/viaduct-pmd-unquiet"]}


class BuildError(Exception):
    """Carries the compiler's output."""


def root():
    return pathlib.Path(os.environ.get("VIADUCT_BUILD_ROOT") or TOP / "build")


def path(kind):
    return root() / kind


def _run(argv, env):
    done = subprocess.run(
        argv,
        cwd=TOP,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.returncode, done.stdout


def _stamp(kind):
    """What a configured folder depends on. The top meson.build takes the folders that exist, which
    ninja cannot see, so their names are part of it."""
    found = sorted(str(p.parent.relative_to(TOP)) for p in TOP.glob("*/**/meson.build"))
    return json.dumps({"options": KINDS[kind], "folders": found})


def _configure(kind, first):
    env, options = KINDS[kind]
    build, stamp = path(kind), path(kind) / "viaduct-stamp"
    old = stamp.read_text() if stamp.exists() else ""
    if (build / "build.ninja").exists() and old == _stamp(kind):
        return
    # Other options: from nothing. Other folders: meson looks again.
    again = old and json.loads(old)["options"] == json.loads(_stamp(kind))["options"]
    if build.exists() and not again:
        shutil.rmtree(build)
    argv = [*first, "meson", "setup", *(["--reconfigure"] if build.exists() else []), str(build), str(TOP)]
    status, output = _run([*argv, *options], env)
    if status:
        shutil.rmtree(build, ignore_errors=True)
        raise BuildError(output)
    stamp.write_text(_stamp(kind))


def ensure(kind, polite=False):
    """Configures the build of that kind where needed and builds what is run of it; politely: with what processor time is left over."""
    try:
        root().mkdir(parents=True, exist_ok=True)
        lock = open(root() / f".{kind}.lock", "w")
    except OSError as e:
        raise BuildError(
            f"{e}\n{root()} is not yours to write. Remove it, or set VIADUCT_BUILD_ROOT to a"
            " folder of your own."
        ) from e
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        first = ["nice", "-n", "19"] if polite else []
        _configure(kind, first)
        status, output = _run([*first, "ninja", "-C", str(path(kind)), *TARGETS.get(kind, [])], KINDS[kind][0])
    if status:
        raise BuildError(_only_errors(output))
    return path(kind)


class Coming:
    """Builds of those kinds, one after the other, beside whoever does not need them yet. The first is waited for; the others are polite."""

    def __init__(self, kinds, tally):
        self.tally, self.told = tally, set()
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.builds = {kind: self.pool.submit(self._build, kind, n > 0) for n, kind in enumerate(kinds)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def _build(self, kind, polite):
        begin = time.monotonic()
        try:
            ensure(kind, polite)
        except BuildError as e:
            return str(e) or "failed"
        self.tally.say(f"build {kind}: {time.monotonic() - begin:.0f} s")
        return ""

    def failed(self, kinds):
        """Waits for those kinds; which of them failed. Each is told once."""
        bad = [kind for kind in kinds if self.builds[kind].result()]
        for kind in bad:
            if kind not in self.told:
                self.tally.add(Result("build", kind, "failed", 0, self.builds[kind].result()))
        self.told.update(bad)
        return bad


def _only_errors(output):
    """From the first failed job on; without ninja's progress and what meson found."""
    lines = output.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("FAILED:")), 0)
    return "\n".join([line for line in lines[first:] if not line.startswith("[")][-200:])


def introspect(kind, what):
    status, output = _run(["meson", "introspect", str(path(kind)), f"--{what}"], {})
    if status:
        raise BuildError(output)
    return json.loads(output)

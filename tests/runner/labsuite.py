# SPDX-License-Identifier: BSD-3-Clause
"""Cases that run inside the virtual host (tests/lab, tests/long), grouped by the host they need, one
boot per host.

A host that did not come up or died (exit 125 of lab/run: the emulator's fault, not a result) is
booted again for the cases that have no outcome yet, and that is said. What a case already said
stands. A host in deterministic time that ends by its time-out (124) is booted once more, too (tests/lab/hosts.py, BOOTS).
Cases that failed have a second go (again.py), those of a host in one boot of their own. Anything else that keeps a case
from having an outcome is a failure of that case.

Two hosts run side by side where the machine has processors and memory for both, the longest first, but for those that run alone (tests/lab/hosts.py,
ALONE). VIADUCT_LAB_STREAMS says how many. A host with most of the cases boots once for each stream. A second go has the machine for itself.
"""

import collections
import concurrent.futures
import importlib.util
import os
import shutil
import subprocess
import sys
import time

from . import builds
from .again import SecondGo
from .suites import (
    TESTS, collect, end_group, how_it_ended, pytest_again, pytest_argv, pytest_results, quiet_env, read_rows,
    results_of,
)

BOOTS = {125: 3}  # exit status of lab/run -> the most boots of a host that ends with it before each case has an outcome
CASE_SECONDS = 300  # as in pytest.ini
HOST_SECONDS = {"lab": 3600, "long": 4 * 3600}  # the most that one boot may last
LAB = TESTS / "lab"
PROCESSORS = 1  # that a host keeps busy: it has two, and most of its guests have one and wait half of their time
PART_CASES = 50  # a host with twice as many is worth a second boot
STREAM_MEMORY = 6 << 30  # bytes free for each host: its own, and what its files take in the page cache


def hosts_table():
    spec = importlib.util.spec_from_file_location("hosts", LAB / "hosts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def group(rows, table):
    """host -> collected rows, in the order of the table."""
    hosts = {name: [] for name in table.HOSTS}
    for row in rows:
        if row["kind"] == "collected" and not row["outside"]:
            for name in row["hosts"] or [table.DEFAULT]:
                hosts[name].append(row)
    return {name: cases for name, cases in hosts.items() if cases}


def streams():
    """How many hosts run at a time."""
    wish = os.environ.get("VIADUCT_LAB_STREAMS", "")
    if wish.isascii() and wish.isdigit() and int(wish) > 0:
        return int(wish)
    with open("/proc/meminfo", encoding="ascii") as lines:
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    return max(1, min(2, (os.cpu_count() or 1) // PROCESSORS, free // STREAM_MEMORY))


class Boots:
    """The hosts that run now, so that an interrupted suite leaves none."""

    def __init__(self):
        self.running, self.is_over = set(), False

    def begin(self, argv, **more):
        if self.is_over:
            raise KeyboardInterrupt
        proc = subprocess.Popen(argv, **more)
        self.running.add(proc)
        if self.is_over:
            end_group(proc)
        return proc

    def end(self, proc):
        self.running.discard(proc)

    def end_all(self):
        self.is_over = True
        for proc in list(self.running):
            if proc.poll() is None:
                end_group(proc)


BOOTED = Boots()


def boot(host, options, names, seconds, ctx, scratch):
    """One boot; returns (exit status of lab/run, what it printed)."""
    argv = [
        str(builds.TOP / "lab/run"), *options, "--timeout", str(seconds),
        "--scratch", str(scratch), "--",
        *pytest_argv("", scratch / "rows", "-v", "--viaduct-host", host)[:-1],
        *(str(TESTS / name) for name in names),
    ]
    log = scratch.with_suffix(".log")
    env = quiet_env(VIADUCT_BUILD=str(builds.path("release")))
    with open(log, "w", encoding="utf-8") as out:
        proc = BOOTED.begin(argv, cwd=builds.TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        try:
            for line in proc.stdout:
                out.write(line)
                out.flush()
                if ctx.verbose:
                    sys.stdout.write(f"  {host} | {line}")
                    sys.stdout.flush()
            status = proc.wait()
        except BaseException:
            end_group(proc)
            raise
        finally:
            BOOTED.end(proc)
    return status, log.read_text(encoding="utf-8", errors="replace")


def run_boots(suite, label, options, cases, ctx, boots=BOOTS):
    """One boot of the host unless it dies. `label` is the host's name, with "+2" behind it for its second part, "-again" for a second go."""
    host = label.split("+")[0].removesuffix("-again")
    names = [case["name"] for case in cases]
    seconds = min(60 + most_seconds(cases), HOST_SECONDS[suite])
    results = []
    for attempt in range(1, max(boots.values()) + 1):
        scratch = builds.root() / f"{suite}-tests" / f"{label}-{attempt}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        begin = time.monotonic()
        status, output = boot(host, options, names, seconds, ctx, scratch)
        rows = [row for row in read_rows(scratch / "rows") if row["kind"] == "result"]
        done = {row["name"].removesuffix(" (teardown)") for row in rows}
        left = [name for name in names if name not in done]
        ctx.tally.say(f"{suite}: host {label}: {len(names) - len(left)} of {len(names)} cases,"
                      f" {time.monotonic() - begin:.0f} s, {how_it_ended(status)}")
        retry = left and attempt < boots.get(status, 1)
        if not retry:
            rows += [{"kind": "collected", "name": name} for name in left]
            return results + results_of(suite, rows, status, output)
        results += results_of(suite, rows, 0, output)
        tail = "\n".join(output.splitlines()[-25:])
        ctx.tally.say(f"{suite}: host {host} did not come up, died or stood still; booting it again for"
                      f" {len(left)} cases (attempt {attempt + 1} of {boots[status]}). It said:\n{tail}")
        names = left
    return results


def labelled(name, host):
    return name if host == hosts_table().DEFAULT else f"{name} [{host}]"


def run_host(suite, host, cases, ctx, suffix=""):
    table = hosts_table()
    results = run_boots(suite, host + suffix, table.HOSTS[host], cases, ctx, table.BOOTS.get(host, BOOTS))
    for result in results:
        result.name = labelled(result.name, host)
    return results


def most_seconds(cases):
    return sum(case["timeout"] or CASE_SECONDS for case in cases)


def parts(cases, count):
    """The cases in so many lots of much the same length, in their order. Those of a file stay together: they share fixtures."""
    files = collections.defaultdict(list)
    for case in cases:
        files[case["name"].split("::")[0]].append(case)
    lots = [[] for _ in range(min(count, len(files)))]
    for file in sorted(files.values(), key=most_seconds, reverse=True):
        min(lots, key=most_seconds).extend(file)
    return [sorted(lot, key=cases.index) for lot in lots]


def run_hosts(suite, hosts, ctx, outside=None):
    """Yields the results of each boot as they come, and those of outside(), which boots hosts itself, one at a time."""
    alone = [host for host in hosts if host in hosts_table().ALONE]
    boots = [(host, lot, f"+{n}" if n > 1 else "") for host in hosts if host not in alone
             for n, lot in enumerate(parts(hosts[host], max(1, min(streams(), len(hosts[host]) // PART_CASES))), 1)]
    with concurrent.futures.ThreadPoolExecutor(streams()) as pool:
        try:
            runs = [pool.submit(run_host, suite, host, lot, ctx, suffix)
                    for host, lot, suffix in sorted(boots, key=lambda boot: -most_seconds(boot[1]))]
            runs += [pool.submit(outside)] if outside else []
            for run in concurrent.futures.as_completed(runs):
                yield run.result()
            for host in alone:
                yield pool.submit(run_host, suite, host, hosts[host], ctx).result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            BOOTED.end_all()
            raise


def run_folder(suite, folder, ctx):
    """The cases of a folder that keeps tests/lab's conventions."""
    more = ("-k", ctx.pattern) if ctx.pattern else ()
    rows, status, output = collect(folder, "--viaduct-host=all", *more)
    if ctx.list_only:
        for row in rows:
            if row["kind"] == "collected":
                ctx.tally.say(f"{suite}: {row['name']}")
        return
    go = SecondGo(suite, ctx)
    go.take(results_of(suite, [r for r in rows if r["kind"] == "result"], status, output))
    hosts = group(rows, hosts_table())
    outside, env = ("--viaduct-host=outside",), {"VIADUCT_BUILD": str(builds.path("release"))}
    names = {row["name"] for row in rows if row["kind"] == "collected" and row["outside"]}

    def run_outside():
        return pytest_results(suite, folder, HOST_SECONDS[suite], *outside, *more, popen=BOOTED.begin, **env)

    for results in run_hosts(suite, hosts, ctx, run_outside if names else None):
        go.take(results)

    def again(wanted):
        results = []
        for host, cases in hosts.items():
            left = [case for case in cases if labelled(case["name"], host) in wanted]
            results += run_host(suite, host, left, ctx, "-again") if left else []
        return results + pytest_again(suite, [n for n in wanted if n in names], HOST_SECONDS[suite], *outside, **env)

    go.finish(again)


def run_lab(ctx):
    run_folder("lab", LAB, ctx)

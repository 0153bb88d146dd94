# SPDX-License-Identifier: BSD-3-Clause
"""How each suite's cases are found, run and counted. Every runner adds to the tally; none prints."""

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import xml.etree.ElementTree

from . import builds
from .again import SecondGo
from .results import Result, Tally

TESTS = pathlib.Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"  # Debian's, which has pytest; another python3 may come first in PATH
FUZZ_SECONDS = 120
UNIT_SECONDS = 120
COLLECT_SECONDS = 300
COMPONENT_WORKERS = 2 * (os.cpu_count() or 1)
TSAN_CASES = (
    "component/test_pmd_races.py",
    *(f"component/test_pmd.py::test_{name}" for name in (
        "a_network_moves_to_another_lcore_under_load", "two_guests_talk", "a_bond_comes_and_goes",
        "a_rate_holds_while_lcores_sleep", "kicks_of_rings_that_are_gone_wake_nobody")),
    *(f"component/test_disk.py::test_{name}" for name in (
        "a_larger_image_is_a_larger_disk_at_once", "memory_changes_and_rings_stop_under_load",
        "a_vmm_that_goes_away_under_load_comes_back", "limits_hold_and_can_be_lifted")),
)

SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


@dataclasses.dataclass
class Context:
    tally: Tally
    pattern: str = ""
    list_only: bool = False
    verbose: bool = False
    fuzz_seconds: int = 900  # of each target, in the long suite
    once: bool = False  # no second go for cases that failed
    kind: str = ""  # run on this kind of build instead of the suite's own
    env: dict = dataclasses.field(default_factory=dict)

    def wants(self, name):
        return self.pattern.lower() in name.lower()


def quiet_env(**more):
    env = {**os.environ, **SANITIZERS, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    env["PYTHONPATH"] = str(TESTS / "runner")
    env.update(more)
    return env


def end_group(proc):
    """Ends what start_new_session began; SIGTERM first, for those who clean up behind themselves."""
    for sig, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(proc.pid, sig)
            proc.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    return proc.communicate()[0]


def run_program(argv, seconds, env, cwd=None, popen=subprocess.Popen):
    """Runs argv in a process group of its own; returns (status, output), status None on time-out."""
    proc = popen(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )
    try:
        output, _ = proc.communicate(timeout=seconds)
        return proc.returncode, output
    except subprocess.TimeoutExpired:
        return None, (end_group(proc) or "") + f"\n[killed after {seconds} s]"
    except BaseException:
        end_group(proc)
        raise


def how_it_ended(status):
    if status is None:
        return "timed out"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit {status}"


# --- unit: cmocka programs ------------------------------------------------------------------

def unit_programs(kind):
    """(name, argv, env, seconds) of every test that meson knows in that build."""
    for test in builds.introspect(kind, "tests"):
        name = test["name"]
        yield name, test["cmd"], test["env"], max(test["timeout"], UNIT_SECONDS)


def _could_match(ctx, name, argv):
    """cmocka keeps each case's name as a string, so a program without the pattern has no such case."""
    if ctx.wants(name):
        return True
    try:
        return ctx.pattern.lower().encode() in pathlib.Path(argv[0]).read_bytes().lower()
    except OSError:
        return True


def parse_cmocka(suite, program, folder):
    """Results from the XML files that one cmocka program left in folder."""
    results = []
    for file in sorted(pathlib.Path(folder).glob("*.xml")):
        for case in xml.etree.ElementTree.parse(file).iter("testcase"):
            failure = case.find("failure")
            if failure is None:
                failure = case.find("error")
            outcome, detail = "passed", ""
            if failure is not None:
                outcome, detail = "failed", failure.text or "failed"
            elif case.find("skipped") is not None:
                outcome, detail = "skipped", "the case skipped itself"
            results.append(
                Result(suite, f"{program}::{case.get('name')}", outcome,
                       float(case.get("time") or 0), detail)
            )
    return results


def run_cmocka(program, argv, env, seconds):
    """All results of one program; a crash or a leak after the last case is a failed case too."""
    with tempfile.TemporaryDirectory() as folder:
        status, output = run_program(
            argv, seconds,
            quiet_env(CMOCKA_MESSAGE_OUTPUT="xml", CMOCKA_XML_FILE=f"{folder}/%g.xml", **env),
        )
        try:
            results = parse_cmocka("unit", program, folder)
        except xml.etree.ElementTree.ParseError as e:
            results, output = [], f"{output}\ncmocka's XML cannot be read: {e}"
            status = status or 1
    failed = any(r.outcome == "failed" for r in results)
    if failed and output.strip():
        next(r for r in results if r.outcome == "failed").detail += "\n" + output
    if (status != 0 and not failed) or not results:
        why = how_it_ended(status) if status != 0 else "ran no case"
        results.append(Result("unit", f"{program} ({why})", "failed", 0, output))
    return results


def run_unit(ctx):
    programs = [p for p in unit_programs(ctx.kind or "asan") if _could_match(ctx, p[0], p[1])]
    if ctx.list_only:
        for name, *_ in programs:
            ctx.tally.say(f"unit: {name}")
        return
    # Those that may take longest first, so that none of them is left alone at the end.
    programs.sort(key=lambda program: -program[3])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(run_cmocka, n, argv, {**env, **ctx.env}, secs) for n, argv, env, secs in programs]
        for job in jobs:
            for result in job.result():
                if ctx.wants(result.name) or result.outcome == "failed":
                    ctx.tally.add(result)


# --- fuzz: replay of the corpora --------------------------------------------------------------

def fuzz_targets(kind="fuzz"):
    """name -> executable; those of a clang build can fuzz, the others replay alone."""
    found = {}
    for target in builds.introspect(kind, "targets"):
        if target["type"] == "executable" and target["name"].startswith("fuzz_"):
            found[target["name"].removeprefix("fuzz_")] = target["filename"][0]
    return found


def replay(name, executable, files, **env):
    """Replays files one by one in one process; when one brings it down, goes on with the next."""
    left = list(files)
    while left:
        status, output = run_program([executable, *map(str, left)], FUZZ_SECONDS, quiet_env(**env))
        done = {pathlib.Path(m) for m in re.findall(r"^Executed (\S+) in", output, re.M)}
        for file in [f for f in left if f in done]:
            yield Result("fuzz", f"{name}/{file.name}", "passed")
        left = [f for f in left if f not in done]
        if left:
            yield Result("fuzz", f"{name}/{left[0].name}", "failed", 0,
                         f"{how_it_ended(status)}\n{output}")
            left = left[1:]
        elif status != 0:
            yield Result("fuzz", f"{name} ({how_it_ended(status)} at the end)", "failed", 0, output)


def run_fuzz(ctx):
    """As many targets at a time as there are processors."""
    found = {}
    for name, executable in sorted(fuzz_targets(ctx.kind or "asan").items()):
        files = sorted(f for f in (TESTS / "fuzz/corpus" / name).glob("*") if f.is_file())
        if not files:
            ctx.tally.add(Result("fuzz", name, "failed", 0, f"no corpus in fuzz/corpus/{name}/"))
        files = [f for f in files if ctx.wants(f"{name}/{f.name}")]
        if ctx.list_only:
            for file in files:
                ctx.tally.say(f"fuzz: {name}/{file.name}")
            continue
        found[name] = executable, files
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for results in pool.map(lambda name: list(replay(name, *found[name], **ctx.env)), found):
            for result in results:
                ctx.tally.add(result)


# --- pytest: style, component, and what the lab's suites share ---------------------------------

def pytest_argv(folder, results, *more):
    return [PYTHON, "-m", "pytest", "-c", str(TESTS / "pytest.ini"), "--rootdir", str(TESTS),
            "-q", "--no-header", "--tb=short", "-p", "viaduct_report",
            "--viaduct-results", str(results), *more, str(folder)]


def read_rows(file):
    """The plugin's lines; a last line cut short by a dying host is dropped."""
    rows = []
    try:
        lines = pathlib.Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return rows
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def results_of(suite, rows, status, output):
    """Every collected case has a result, or is failed for want of one."""
    results = [
        Result(suite, r["name"], r["outcome"], r.get("seconds", 0), r.get("detail", ""))
        for r in rows if r["kind"] == "result"
    ]
    seen = {r.name for r in results} | {r.name.removesuffix(" (teardown)") for r in results}
    for row in rows:
        if row["kind"] == "collected" and row["name"] not in seen:
            results.append(Result(suite, row["name"], "failed", 0,
                                  f"no result: pytest's {how_it_ended(status)}\n{output[-3000:]}"))
    if status not in (0, 5) and not any(r.outcome == "failed" for r in results):
        results.append(Result(suite, f"pytest ({how_it_ended(status)})", "failed", 0, output))
    return results


def collect(folder, *more):
    """(rows of collected cases, error results' rows, status, output) without running anything."""
    with tempfile.TemporaryDirectory() as tmp:
        file = pathlib.Path(tmp) / "rows"
        status, output = run_program(
            pytest_argv(folder, file, "--collect-only", *more), COLLECT_SECONDS, quiet_env(), TESTS)
        return read_rows(file), status, output


def run_pytest(suite, folder, ctx, seconds, *more, **env):
    if ctx.pattern:
        more += ("-k", ctx.pattern)
    if ctx.list_only:
        for row in collect(folder, *more)[0]:
            if row["kind"] == "collected":
                ctx.tally.say(f"{suite}: {row['name']}")
        return
    for result in pytest_results(suite, folder, seconds, *more, **env):
        ctx.tally.add(result)


def pytest_results(suite, where, seconds, *more, popen=subprocess.Popen, **env):
    with tempfile.TemporaryDirectory() as tmp:
        file = pathlib.Path(tmp) / "rows"
        status, output = run_program(pytest_argv(where, file, *more), seconds, quiet_env(**env), TESTS, popen)
        return results_of(suite, read_rows(file), status, output)


def pytest_again(suite, names, seconds, *more, **env):
    """Each case in a process of its own, one after the other."""
    return [result for name in names for result in pytest_results(suite, TESTS / name, seconds, *more, **env)]


def run_style(ctx):
    run_pytest("style", TESTS / "style", ctx, 600)


def run_component(ctx):
    """Each file of cases in a process of its own, some at a time: they wait for daemons more than they work."""
    folder, env = TESTS / "component", {"VIADUCT_BUILD": str(builds.path(ctx.kind or "asan")), **ctx.env}
    if ctx.list_only:
        run_pytest("component", folder, ctx, 900, **env)
        return
    more = ("-k", ctx.pattern) if ctx.pattern else ()
    rows, status, output = collect(folder, *more)
    files = collections.Counter(r["name"].split("::")[0] for r in rows if r["kind"] == "collected")
    # A file that cannot be read has no cases, but an outcome.
    first = results_of("component", [r for r in rows if r["kind"] == "result"], status, output)
    # The largest first, so that none is left alone at the end.
    run_files("component", [name for name, _ in files.most_common()], first, ctx, *more, **env)


def run_files(suite, names, first, ctx, *more, **env):
    """Files of cases (or some of a file), some at a time; `first`: results that there are already."""
    go = SecondGo(suite, ctx)
    go.take(first)
    with concurrent.futures.ThreadPoolExecutor(COMPONENT_WORKERS) as pool:
        jobs = [pool.submit(pytest_results, suite, TESTS / name, 900, *more, **env) for name in names]
        for job in jobs:
            go.take(job.result())
    go.finish(lambda names: pytest_again(suite, names, 900, **env))


def run_tsan(ctx):
    """Cases of the component suite that are about viaduct-pmd's threads, with the thread sanitizer in it."""
    env = {"VIADUCT_BUILD": str(builds.path("tsan")), **ctx.env}
    more = ("-k", ctx.pattern) if ctx.pattern else ()
    if ctx.list_only:
        for name in TSAN_CASES:
            run_pytest("tsan", TESTS / name, ctx, 900, **env)
        return
    run_files("tsan", TSAN_CASES, [], ctx, *more, **env)


def run_release(ctx):
    """Cases of the component suite that are about what a sanitizer takes itself."""
    run_pytest("release", TESTS / "component", ctx, 900, "-m", "release", VIADUCT_BUILD=str(builds.path("release")))

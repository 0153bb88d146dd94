# SPDX-License-Identifier: BSD-3-Clause
"""The test runner itself: what fails, dies or says nothing must never count as passed."""

import io
import json
import pathlib
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from runner import again, builds, labsuite, longsuite, suites  # noqa: E402
from runner.results import TRIPLE_FAULT, Result, Tally  # noqa: E402


def tally(*outcomes):
    t = Tally(io.StringIO())
    for n, outcome in enumerate(outcomes):
        t.add(Result("s", f"case{n}", outcome, 0, "because"))
    return t


@pytest.mark.parametrize("outcomes, line, status", [
    (["passed"], "1 passed, 0 failed", 0),
    (["passed", "failed"], "1 passed, 1 failed", 1),
    (["passed", "skipped"], "1 passed, 0 failed, 1 skipped", 0),
    (["skipped"], "0 passed, 0 failed, 1 skipped", 1),
    ([], "0 passed, 0 failed", 1),
])
def test_last_line(outcomes, line, status):
    t = tally(*outcomes)
    assert (t.summary(), t.exit_status()) == (line, status)


def test_skip_names_its_reason():
    assert "case0: because" in tally("skipped").out.getvalue()


def script(folder, text):
    path = folder / "program"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return [str(path)]


XML = ('<testsuites><testsuite><testcase name="a" time="0.1"/>{}</testsuite></testsuites>')


def cmocka(folder, body, end=""):
    return suites.run_cmocka("p", script(
        folder, f"echo '{XML.format(body)}' > $(echo $CMOCKA_XML_FILE | sed s/%g/g/)\n{end}\n"),
        {}, 5)


def outcomes(results):
    return [(r.name, r.outcome) for r in results]


def test_cmocka_counts(tmp_path):
    got = cmocka(tmp_path, '<testcase name="b"><failure>x != y</failure></testcase>'
                           '<testcase name="c"><skipped/></testcase>', "exit 1")
    assert outcomes(got) == [("p::a", "passed"), ("p::b", "failed"), ("p::c", "skipped")]
    assert "x != y" in got[1].detail


def test_cmocka_leak_at_exit(tmp_path):
    got = cmocka(tmp_path, "", "echo LeakSanitizer; exit 23")
    assert outcomes(got) == [("p::a", "passed"), ("p (exit 23)", "failed")]
    assert "LeakSanitizer" in got[1].detail


@pytest.mark.parametrize("text, words", [
    ("kill -SEGV $$", "SIGSEGV"), ("exit 0", "ran no case"), ("exit 3", "exit 3"),
    ("echo '<bad' > $(echo $CMOCKA_XML_FILE | sed s/%g/g/)", "exit 1"),
])
def test_cmocka_without_report(tmp_path, text, words):
    got = suites.run_cmocka("p", script(tmp_path, text), {}, 5)
    assert [r.outcome for r in got] == ["failed"]
    assert words in got[0].name


def test_cmocka_time_out(tmp_path):
    got = suites.run_cmocka("p", script(tmp_path, "sleep 60"), {}, 1)
    assert outcomes(got) == [("p (timed out)", "failed")]


def test_replay_goes_on_after_a_crash(tmp_path):
    files = [tmp_path / name for name in "abc"]
    argv = script(tmp_path, 'for f; do case $f in */b) echo boom; exit 77;; esac;'
                            ' echo "Executed $f in 1 ms"; done')
    got = list(suites.replay("t", argv[0], files))
    assert outcomes(got) == [("t/a", "passed"), ("t/b", "failed"), ("t/c", "passed")]
    assert "boom" in got[1].detail


def test_targets_are_replayed_side_by_side(tmp_path, monkeypatch):
    """Each of two targets ends once the other one has begun."""
    targets = {}
    for name, other in ("ab", "ba"):
        (tmp_path / "fuzz/corpus" / name).mkdir(parents=True)
        (tmp_path / "fuzz/corpus" / name / "input").touch()
        (tmp_path / f"{name}.d").mkdir()
        targets[name] = script(tmp_path / f"{name}.d", f"touch {tmp_path}/{name}; until [ -e {tmp_path}/{other} ]; do sleep 0.1; done\n"
                                                       'for f; do echo "Executed $f in 1 ms"; done')[0]
    monkeypatch.setattr(suites, "TESTS", tmp_path)
    monkeypatch.setattr(suites, "fuzz_targets", lambda _: targets)
    monkeypatch.setattr(suites.os, "cpu_count", lambda: 2)
    t = Tally(io.StringIO())
    suites.run_fuzz(suites.Context(t))
    assert outcomes(t.results) == [("a/input", "passed"), ("b/input", "passed")]


def test_a_build_comes_beside_the_suites_that_do_not_need_it(monkeypatch):
    needed, polite, t = threading.Event(), {}, Tally(io.StringIO())

    def ensure(kind, politely):
        polite[kind] = politely
        if kind == "release":
            assert needed.wait(60)
            raise builds.BuildError("no such header")

    monkeypatch.setattr(builds, "ensure", ensure)
    with builds.Coming(["asan", "release"], t) as coming:
        assert coming.failed([]) == coming.failed(["asan"]) == []
        needed.set()  # whoever waited for all builds would still wait
        assert coming.failed(["asan", "release"]) == coming.failed(["release"]) == ["release"]
    assert polite == {"asan": False, "release": True}
    assert [(r.suite, r.name, r.outcome, r.detail) for r in t.results] == [("build", "release", "failed", "no such header")]


def pytest_results(tmp_path, text):
    (tmp_path / "test_x.py").write_text(text)
    t = Tally(io.StringIO())
    suites.run_pytest("s", tmp_path, suites.Context(t), 30)
    return {r.name.split("::")[-1]: r for r in t.results}


def test_pytest_outcomes(tmp_path):
    got = pytest_results(tmp_path, """
import pytest

@pytest.fixture
def bad():
    yield
    raise RuntimeError("late")

def test_good(): pass
def test_bad(): assert 1 == 2
def test_late(bad): pass
@pytest.mark.skip(reason="no such card")
def test_skip(): pass
@pytest.mark.timeout(1)
def test_slow():
    import time
    time.sleep(30)
""")
    assert {n: r.outcome for n, r in got.items()} == {
        "test_good": "passed", "test_bad": "failed", "test_late": "passed",
        "test_late (teardown)": "failed", "test_skip": "skipped", "test_slow": "failed"}
    assert got["test_skip"].detail == "no such card"
    assert "1 == 2" in got["test_bad"].detail


def test_pytest_dies(tmp_path):
    got = pytest_results(tmp_path, "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\n")
    assert got["test_a"].outcome == "passed" and got["test_b"].outcome == "failed"


def test_pytest_does_not_load(tmp_path):
    got = pytest_results(tmp_path, "import no_such_module\n")
    assert [r.outcome for r in got.values()] == ["failed"]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """run_host() with a script of boots: each (names with an outcome, exit status)."""

    def run(*boots, most=None):
        left, log = list(boots), []

        def boot(host, options, names, seconds, ctx, scratch):
            log.append(names)
            done, status = left.pop(0)
            rows = "".join(json.dumps({"kind": "result", "name": n, "outcome": o.split(": ")[0], "detail": o}) + "\n"
                           for n, o in done.items())
            (scratch / "rows").write_text(rows + '{"kind":"resu')
            return status, "console says"

        monkeypatch.setattr(labsuite, "boot", boot)
        monkeypatch.setenv("VIADUCT_BUILD_ROOT", str(tmp_path))
        cases = [{"name": n, "timeout": None} for n in "ab"]
        ctx = suites.Context(Tally(io.StringIO()))
        return labsuite.run_boots("lab", "h", [], cases, ctx, most or labsuite.BOOTS), log, ctx.tally.out.getvalue()

    return run


def test_lab_good(lab):
    got, log, _ = lab(({"a": "passed", "b": "passed"}, 0))
    assert outcomes(got) == [("a", "passed"), ("b", "passed")] and log == [["a", "b"]]


def test_lab_boots_again_on_125_and_says_so(lab):
    got, log, said = lab(({"a": "failed"}, 125), ({"b": "passed"}, 0))
    assert outcomes(got) == [("a", "failed"), ("b", "passed")]
    assert log == [["a", "b"], ["b"]]
    assert "booting it again" in said and "console says" in said


def test_lab_gives_up(lab):
    got, log, _ = lab(({}, 125), ({}, 125), ({}, 125))
    assert outcomes(got) == [("a", "failed"), ("b", "failed")] and len(log) == 3


def test_lab_boots_again_on_a_timeout_where_the_table_says_so(lab):
    most = {124: 2, 125: 3}
    got, log, said = lab(({"a": "passed"}, 124), ({"b": "passed"}, 0), most=most)
    assert outcomes(got) == [("a", "passed"), ("b", "passed")] and log == [["a", "b"], ["b"]]
    assert "booting it again" in said and "attempt 2 of 2" in said
    got, log, _ = lab(({}, 124), ({"a": "passed"}, 124), most=most)
    assert outcomes(got) == [("a", "passed"), ("b", "failed")] and len(log) == 2


@pytest.mark.parametrize("status", [0, 1, 124])
def test_lab_boots_once_otherwise(lab, status):
    got, log, _ = lab(({"a": "passed"}, status))
    assert outcomes(got) == [("a", "passed"), ("b", "failed")] and len(log) == 1


def test_lab_odd_exit_is_a_failure(lab):
    got, _, _ = lab(({"a": "passed", "b": "passed"}, 3))
    assert [r.outcome for r in got] == ["passed", "passed", "failed"]


@pytest.fixture
def goes(tmp_path, monkeypatch):
    """Both goes of a component suite of one file; (tally, what it said). once(name) is true the first time."""
    for name in ("runner", "pytest.ini"):
        (tmp_path / name).symlink_to(suites.TESTS / name)
    (tmp_path / "component").mkdir()
    monkeypatch.setattr(suites, "TESTS", tmp_path)

    def run(text, **context):
        (tmp_path / "component/test_x.py").write_text(f"""
import pathlib, pytest

def once(name):
    mark = pathlib.Path({str(tmp_path)!r}, name)
    return not mark.exists() and mark.touch() is None
{text}""")
        t = Tally(io.StringIO())
        suites.run_component(suites.Context(t, **context))
        t.say_unsteady()
        return t, t.out.getvalue()

    return run


UNSTEADY = """
@pytest.mark.parametrize("n", range({}))
def test_unsteady(n): assert not once(str(n)), "not yet"
"""


def test_a_case_that_fails_once_is_unsteady(goes):
    t, said = goes(UNSTEADY.format(1) + "def test_good(): assert once('good')\n")
    assert (t.summary(), t.exit_status()) == ("2 passed, 0 failed", 0)
    assert "not yet" in said and "--- FAILED" not in said
    assert said.endswith("\nunsteady: component: component/test_x.py::test_unsteady[0] (failed once, passed when run again)\n")


def test_a_case_that_fails_twice_has_failed(goes):
    t, said = goes("def test_bad(): assert False, 'at first' if once('x') else 'at last'\n")
    assert (t.summary(), t.exit_status()) == ("0 passed, 1 failed", 1)
    assert "unsteady" not in said and "at first" in said and "at last" in said.split("--- FAILED")[1]


def test_a_teardown_that_fails_once_is_one_unsteady_case(goes):
    t, said = goes("""
@pytest.fixture
def bad():
    yield
    assert not once("late")

def test_late(bad): pass
""")
    assert t.summary() == "1 passed, 0 failed" and said.count("unsteady: ") == 1


@pytest.mark.parametrize("count, summary", [(3, "3 passed, 0 failed"), (4, "0 passed, 4 failed"), (9, "0 passed, 9 failed")])
def test_few_may_be_unsteady(goes, count, summary):
    t, said = goes(UNSTEADY.format(count))
    assert t.summary() == summary and t.exit_status() == (count > 3)
    assert said.count("unsteady: ") == (count if count <= again.MOST else 0)
    assert ("too many" in said) == (count == 4) and ("none of them is run again" in said) == (count == 9)


def test_the_second_go_can_be_switched_off(goes):
    t, said = goes(UNSTEADY.format(1), once=True)
    assert t.summary() == "0 passed, 1 failed" and "--- FAILED" in said


def test_what_a_sanitizer_says_once_is_true(goes):
    t, _ = goes("def test_odd(): assert not once('x'), 'ERROR: AddressSanitizer: heap-use-after-free'\n")
    assert t.summary() == "0 passed, 1 failed"


def test_what_is_skipped_when_run_again_has_failed(goes):
    t, _ = goes("def test_odd():\n    if not once('x'): pytest.skip('now')\n    assert False\n")
    assert (t.count("failed"), t.exit_status()) == (1, 1)


def odd(detail, count):
    t = Tally(io.StringIO())
    for n in range(count):
        t.add(Result("lab", str(n), "passed", 0, "", detail))
    return t.summary()


def test_the_emulators_triple_faults_are_counted_by_themselves():
    assert (odd(TRIPLE_FAULT, 4), odd("x", 4)) == ("4 passed, 0 failed", "0 passed, 4 failed")
    assert odd(TRIPLE_FAULT, 5) == "0 passed, 5 failed"


def test_lab_cases_that_failed_are_run_again_in_a_boot_of_their_host(tmp_path, monkeypatch):
    log = []

    def boot(host, options, names, seconds, ctx, scratch):
        log.append((scratch.name, names))
        bad = {"l::b"} if "again" not in scratch.name else set()
        (scratch / "rows").write_text("".join(
            json.dumps({"kind": "result", "name": n, "outcome": "failed" if n in bad else "passed", "detail": "odd"}) + "\n" for n in names))
        return (1 if bad else 0), ""

    rows = [{"kind": "collected", "name": n, "outside": False, "timeout": None, "hosts": hosts}
            for n, hosts in (("l::a", None), ("l::b", ["default", "numa"]))]
    monkeypatch.setattr(labsuite, "boot", boot)
    monkeypatch.setattr(labsuite, "collect", lambda *_: (rows, 0, ""))
    monkeypatch.setenv("VIADUCT_BUILD_ROOT", str(tmp_path))
    t = Tally(io.StringIO())
    labsuite.run_folder("lab", labsuite.LAB, suites.Context(t))
    assert sorted(log[:2]) == [("default-1", ["l::a", "l::b"]), ("numa-1", ["l::b"])]  # side by side
    assert log[2:] == [("default-again-1", ["l::b"]), ("numa-again-1", ["l::b"])]
    assert t.summary() == "3 passed, 0 failed"
    assert sorted(r.name for r in t.unsteady()) == ["l::b", "l::b [numa]"] and {r.first for r in t.unsteady()} == {"odd"}


def test_a_host_with_most_of_the_cases_boots_once_for_each_stream(tmp_path, monkeypatch):
    log = []

    def boot(host, options, names, seconds, ctx, scratch):
        log.append((host, scratch.name, names))
        (scratch / "rows").write_text("".join(json.dumps({"kind": "result", "name": n, "outcome": "passed"}) + "\n" for n in names))
        return 0, ""

    names = [f"{file}::{n}" for file, count in (("a", 20), ("b", 60), ("c", 30)) for n in range(count)]
    rows = [{"kind": "collected", "name": n, "outside": False, "timeout": None, "hosts": None} for n in names]
    monkeypatch.setattr(labsuite, "boot", boot)
    monkeypatch.setattr(labsuite, "collect", lambda *_: (rows, 0, ""))
    monkeypatch.setenv("VIADUCT_BUILD_ROOT", str(tmp_path))
    for streams, boots in (("1", {"default-1": 110}), ("2", {"default-1": 60, "default+2-1": 50})):
        monkeypatch.setenv("VIADUCT_LAB_STREAMS", streams)
        t = Tally(io.StringIO())
        labsuite.run_folder("lab", labsuite.LAB, suites.Context(t))
        assert {name: len(lot) for _, name, lot in log} == boots and {host for host, *_ in log} == {"default"}
        assert sorted(n for *_, lot in log for n in lot) == sorted(names) == sorted(r.name for r in t.results)
        assert all(lot == sorted(lot, key=names.index) for *_, lot in log)
        log.clear()


def test_cases_outside_run_beside_a_host(tmp_path, monkeypatch):
    """Neither ends before the other one has begun."""
    met = threading.Barrier(2)

    def boot(host, options, names, seconds, ctx, scratch):
        met.wait(60)
        (scratch / "rows").write_text(json.dumps({"kind": "result", "name": "l::a", "outcome": "passed"}) + "\n")
        return 0, ""

    def outside(*_, **__):
        met.wait(60)
        return [Result("lab", "l::out", "passed")]

    rows = [{"kind": "collected", "name": n, "outside": n == "l::out", "timeout": None, "hosts": None} for n in ("l::a", "l::out")]
    monkeypatch.setattr(labsuite, "boot", boot)
    monkeypatch.setattr(labsuite, "pytest_results", outside)
    monkeypatch.setattr(labsuite, "collect", lambda *_: (rows, 0, ""))
    monkeypatch.setenv("VIADUCT_BUILD_ROOT", str(tmp_path))
    monkeypatch.setenv("VIADUCT_LAB_STREAMS", "2")
    t = Tally(io.StringIO())
    labsuite.run_folder("lab", labsuite.LAB, suites.Context(t))
    assert sorted(outcomes(t.results)) == [("l::a", "passed"), ("l::out", "passed")]


FINAL = "echo 'stat::number_of_executed_units: 7'"


@pytest.fixture
def fuzzers(tmp_path, monkeypatch):
    """run_fuzzers() with shell scripts as targets; FOUND is where an input of theirs goes."""

    def run(*bodies, width=2):
        monkeypatch.setenv("VIADUCT_BUILD_ROOT", str(tmp_path))
        targets = []
        for n, body in enumerate(bodies):
            (tmp_path / str(n)).mkdir()
            targets.append((f"t{n}", script(
                tmp_path / str(n),
                f"for a; do case $a in -artifact_prefix=*) FOUND=${{a#*=}};; esac; done\n{body}")[0]))
        ctx = suites.Context(Tally(io.StringIO()), fuzz_seconds=1)
        longsuite.run_fuzzers(ctx, targets, width)
        return sorted(ctx.tally.results, key=lambda r: r.name), ctx.tally.out.getvalue()

    return run


def test_fuzzer_that_finds_nothing_passes(fuzzers):
    got, said = fuzzers(FINAL, f"echo slow > ${{FOUND}}slow-unit-1; {FINAL}")
    assert outcomes(got) == [("fuzz/t0", "passed"), ("fuzz/t1", "passed")]
    assert "fuzz/t0: 7 executions" in said


def test_fuzzer_says_where_its_input_is_and_what_to_do(fuzzers, tmp_path):
    got, said = fuzzers(f"echo x > ${{FOUND}}crash-1; echo boom; {FINAL}; exit 77", FINAL)
    assert outcomes(got) == [("fuzz/t0", "failed"), ("fuzz/t1", "passed")]
    file = tmp_path / "long-tests/fuzz/t0/found/crash-1"
    for words in ("exit 77", "boom", f"replay: {tmp_path}/0/program {file}", f"cp {file} "):
        assert words in got[0].detail and words in said


@pytest.mark.parametrize("body", [
    "true", "echo 'stat::number_of_executed_units: 0'", f"{FINAL}; kill -SEGV $$", f"{FINAL}; exit 1",
    f"echo x > ${{FOUND}}leak-1; {FINAL}",
])
def test_fuzzer_that_did_no_work_or_ended_oddly_fails(fuzzers, body):
    assert [r.outcome for r in fuzzers(body)[0]] == ["failed"]


def test_fuzzer_that_does_not_end_is_ended(fuzzers, monkeypatch):
    monkeypatch.setattr(longsuite, "GRACE_SECONDS", 0)
    got, _ = fuzzers("sleep 60", FINAL)
    assert outcomes(got) == [("fuzz/t0", "failed"), ("fuzz/t1", "passed")]
    assert "timed out" in got[0].detail


def test_fuzzers_run_so_many_at_once(fuzzers, tmp_path):
    one = f"mkdir {tmp_path}/busy || exit 1; sleep 0.3; rmdir {tmp_path}/busy; {FINAL}"
    assert {r.outcome for r in fuzzers(one, one, one, width=1)[0]} == {"passed"}


@pytest.mark.parametrize("text", ["0", "-5", "soon", "1.5", ""])
def test_fuzz_seconds_are_checked(text):
    got = subprocess.run(
        [suites.PYTHON, suites.TESTS / "run.py", "--suite", "long", "--list", f"--fuzz-seconds={text}"],
        capture_output=True, text=True, check=False)
    assert got.returncode == 2 and "is no number of seconds" in got.stderr

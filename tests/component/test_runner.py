# SPDX-License-Identifier: BSD-3-Clause
"""The test runner itself: what fails, dies or says nothing must never count as passed."""

import io
import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from runner import labsuite, longsuite, suites  # noqa: E402
from runner.results import Result, Tally  # noqa: E402


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
        return labsuite.run_host("lab", "h", [], cases, ctx, most or labsuite.BOOTS), log, ctx.tally.out.getvalue()

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


def test_lab_repeats_a_triple_fault_once_and_says_so(lab):
    got, log, said = lab(({"a": "failed: " + labsuite.TRIPLE_FAULT, "b": "passed"}, 1), ({"a": "passed"}, 0))
    assert sorted(outcomes(got)) == [("a", "passed"), ("b", "passed")] and log == [["a", "b"], ["a"]]
    assert "a: its guest had a triple fault" in said
    got, log, _ = lab(({"a": "failed: " + labsuite.TRIPLE_FAULT, "b": "failed"}, 1),
                      ({"a": "failed: " + labsuite.TRIPLE_FAULT}, 1))
    assert sorted(outcomes(got)) == [("a", "failed"), ("b", "failed")] and log == [["a", "b"], ["a"]]


def test_lab_odd_exit_is_a_failure(lab):
    got, _, _ = lab(({"a": "passed", "b": "passed"}, 3))
    assert [r.outcome for r in got] == ["passed", "passed", "failed"]


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

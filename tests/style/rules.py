# SPDX-License-Identifier: BSD-3-Clause
"""The style rules beside those on includes. Each yields "file:line: what is wrong"."""

import ast
import concurrent.futures
import os
import re
import subprocess

from tree import functions

FILE_LINES = 600
LONG = ("docs/openapi.yaml",)  # a table that programs read, and look for in one file
FUNCTION_LINES = 100
PARAMETERS = 5
README_LINES = 40
FOLDERS = ("base", "iommu", "sriov", "vmm", "pmd-backends", "vf-manager", "cli", "lab", "bench")
LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
CODE = (".c", ".h", ".py", ".sh", ".awk", ".build", ".ini", ".yaml", ".yml", ".asl", ".bench",
        ".clang-format", ".gitignore")
PACKAGES = ("jansson", "pciaccess", "libmnl", "libseccomp", "libcap-ng", "sqlite3", "libcyaml",
            "libmicrohttpd", "libcurl", "smartcols", "libsystemd", "libdpdk")
# A callback whose shape a library dictates.
FOREIGN_SHAPE = re.compile(r"\bMHD_Result\b|\b__wrap_\w+\(")
FORBIDDEN = (
    ("#if 0", re.compile(r"^\s*#\s*if\s+0\b"), (".c", ".h"), None),
    ("#pragma once (use include guards)", re.compile(r"^\s*#\s*pragma\s+once"), (".h",), None),
    ("TODO without an issue number", re.compile(r"\b(TODO|FIXME|XXX)\b(?!.*#\d)"),
     (".c", ".h", ".py"), None),
    ("exit or abort in a library", re.compile(r"(?<![\w.>])(exit|abort)\s*\("),
     (".c", ".h"), ("base/", "iommu/", "sriov/")),
    ("fstat (fd_stat() is what the sandbox lets through)", re.compile(r"(?<!\w)fstat\s*\("),
     (".c", ".h"), ("vmm/",)),
    ("printing in a library", re.compile(r"(?<!\w)(perror|[fv]*printf|f?puts)\s*\("),
     (".c", ".h"), ("base/", "iommu/", "sriov/")),
)
# No registry's host and no folder of one machine is written into the tree.
MACHINE = (
    re.compile(r"\b(deb|security|snapshot|ftp[\w.]*)\.debian\.org\b"),
    re.compile(r"\b(pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org)\b"),
    re.compile(r"(?<![\w./])/(work/(main|shared)|farm|tmp/w|root/[.\w]+)\b"),
    re.compile(r"(?<![\w./])/tmp/build-"),
)


def is_code(tree, name):
    return name.endswith(CODE) or tree.first_line(name).startswith("#!")


def spdx_problems(tree):
    for name in tree.sources():
        if not is_code(tree, name):
            continue
        head = tree.lines(name)[:3]
        if name.endswith(".c"):
            good = head[:1] == [f"// {LICENCE}"]
        elif name.endswith(".h"):
            good = head[:1] == [f"/* {LICENCE} */"]
        else:
            good = any(line.strip(" #/*;") == LICENCE for line in head)
        if not good:
            yield f"{name}:1: no line '{LICENCE}' at the top"


def size_problems(tree):
    for name in tree.sources():
        if is_code(tree, name) and name not in LONG and len(tree.lines(name)) > FILE_LINES:
            yield f"{name}: {len(tree.lines(name))} lines, more than {FILE_LINES}"


def count_parameters(text):
    depth, count = 0, 1
    for c in text:
        depth += (c == "(") - (c == ")")
        count += c == "," and depth == 0
    return count


def function_problems(tree):
    for file in tree.c_files():
        for name, start, end, params, body, head in functions(tree.text(file)):
            if end - start + 1 > FUNCTION_LINES:
                yield f"{file}:{start}: {name}() has {end - start + 1} lines, at most {FUNCTION_LINES}"
            if count_parameters(params) > PARAMETERS and not FOREIGN_SHAPE.search(head):
                yield f"{file}:{start}: {name}() has {count_parameters(params)} parameters"
            for offset, line in enumerate(body):
                if re.match(r"\s*#\s*(if|ifdef|ifndef)\b", line):
                    yield f"{file}:{end - len(body) + 1 + offset}: #if inside {name}()"


def forbidden_problems(tree):
    for name in tree.sources():
        for what, pattern, endings, folders in FORBIDDEN:
            if not name.endswith(endings) or name.startswith("tests/style/"):
                continue
            if folders and not name.startswith(folders):
                continue
            for number, line in enumerate(tree.lines(name), 1):
                code = re.sub(r'"(\\.|[^"\\])*"', '""', line) if "TODO" not in what else line
                if folders:
                    code = re.sub(r"/?\*.*|//.*|__attribute__.*", "", code)
                if pattern.search(code):
                    yield f"{name}:{number}: {what}"


def guard_problems(tree):
    for name in tree.c_files(".h"):
        want = "VIADUCT_" + re.sub(r"\W", "_", name).upper()
        match = re.search(r"^#ifndef (\w+)\n#define (\w+)", tree.text(name), re.M)
        if not match or match.group(1) != match.group(2):
            yield f"{name}: no include guard (#ifndef {want})"


def pkg_config_flags():
    flags = []
    for package in PACKAGES:
        done = subprocess.run(["pkg-config", "--cflags", package], capture_output=True, text=True,
                              check=False)
        if done.returncode == 0:
            flags += done.stdout.split()
    return flags


def header_problems(tree):
    """Each header compiles alone, and twice."""
    flags = pkg_config_flags()

    def compile_alone(name):
        return subprocess.run(
            ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-Wall", "-Werror",
             "-fsyntax-only", "-I", str(tree.top), *flags, "-x", "c", "-"],
            input=f'#include "{name}"\n#include "{name}"\n', capture_output=True, text=True,
            cwd=tree.top, check=False)

    headers = tree.c_files(".h")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for name, done in zip(headers, pool.map(compile_alone, headers)):
            if done.returncode:
                yield f"{name}: does not compile alone:\n{done.stderr}"


def clang_format_version():
    """The major version, or None."""
    try:
        done = subprocess.run(["clang-format", "--version"], capture_output=True, text=True,
                              check=False)
    except FileNotFoundError:
        return None
    match = re.search(r"version (\d+)", done.stdout)
    return int(match.group(1)) if match else None


def format_problems(tree):
    files = tree.c_files()
    for at in range(0, len(files), 50):
        done = subprocess.run(
            ["clang-format", "--style=file", "--dry-run", "--Werror", *files[at:at + 50]],
            cwd=tree.top, capture_output=True, text=True, check=False)
        for line in done.stderr.splitlines():
            if "error:" in line or "warning:" in line:
                yield line + " (scripts/format mends it)"


def shell_problems(tree):
    for name in tree.shell_files():
        done = subprocess.run(["shellcheck", "-x", "-f", "gcc", name], cwd=tree.top,
                              capture_output=True, text=True, check=False)
        yield from done.stdout.splitlines()
        if done.returncode and not done.stdout:
            yield f"{name}: shellcheck: {done.stderr}"


def python_problems(tree):
    for name in tree.python_files():
        try:
            ast.parse(tree.text(name), name)
        except SyntaxError as e:
            yield f"{name}:{e.lineno}: {e.msg}"


def readme_problems(tree):
    for folder in FOLDERS:
        if not any(n.startswith(folder + "/") for n in tree.files):
            continue
        name = f"{folder}/README.md"
        if name not in tree.files:
            yield f"{name}: missing"
        elif len(tree.lines(name)) > README_LINES:
            yield f"{name}: {len(tree.lines(name))} lines, more than {README_LINES}"


CODE_LITERAL = re.compile(r'\b(?:err_code|posture_set)\((?:[^()"]|\([^()]*\))*?"([\w-]+)"(?:\s*:\s*"([\w-]+)")?\s*\)')
CODE_ROW = re.compile(r'\{ E\w+, "([a-z]+(?:-[a-z]+)+)",|\{ 0, "([a-z]+(?:-[a-z]+)+)",'
                      r'|\{ AUDIT_\w+, "([a-z]+(?:-[a-z]+)+)" \}')
ALARM_ROW = re.compile(r'^\t\{ "([a-z-]+)", "(?:critical|major|minor)",', re.M)
EXPLAINED = "cli/explain_table.c"


def explain_problems(tree):
    """Every stable code, and every alarm, has its row of `viaduct explain`; no row is a code of nobody's."""
    used = {}
    for file in tree.c_files(".c"):
        if file.startswith("tests/") or file == EXPLAINED:
            continue
        found = set()
        for pattern in (CODE_LITERAL, CODE_ROW, ALARM_ROW):
            found |= {code for groups in pattern.finditer(tree.text(file)) for code in groups.groups() if code}
        if "CLI_CODE_USAGE" in tree.text(file):
            found.add("usage")
        for code in found:
            used.setdefault(code, file)
    rows = re.findall(r'^\t\{ "([\w-]+)",', tree.text(EXPLAINED), re.M) if EXPLAINED in tree.files else []
    for code in sorted(set(used) - set(rows)):
        yield f"{used[code]}: the code {code} has no row in {EXPLAINED}"
    for code in sorted(set(rows) - set(used)):
        yield f"{EXPLAINED}: nothing uses the code {code}"
    if rows != sorted(set(rows)):
        yield f"{EXPLAINED}: not sorted, or a code is there twice"


def machine_problems(tree):
    for name in tree.sources():
        if name.startswith("tests/style/"):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            for pattern in MACHINE:
                if pattern.search(line):
                    yield f"{name}:{number}: {pattern.search(line).group(0)}: no host or machine here"

# SPDX-License-Identifier: BSD-3-Clause
"""What documents name is there, and what programs take is in their manuals."""

import fnmatch
import os
import re

TOPS = ("base", "bench", "cli", "docs", "image", "iommu", "lab", "pmd-backends", "scripts", "sriov", "tests",
        "vf-manager", "vmm")
NAMED = re.compile(r"(?<![\w/.$-])((?:%s)/[\w./*-]+)|\]\(([^)#:]+)\)" % "|".join(TOPS))
PLACEHOLDER = re.compile(r"(^|[/_.])[A-Z]+\b(?!\.md)")
OPTION = re.compile(r'\{ "([a-z][a-z-]+)", (?:\'\w\'|\w+(?: \+ \w+)?), ("[^"]*"|NULL), 0,')
KEY = re.compile(r'(?:CYAML_FIELD_\w+|PORT_TEXT)\("(\w+)"')
CONFIG = ("vf-manager/config.c", "vf-manager/config_backend.c", "vf-manager/config_hugepages.c")
# file of options or keys -> the texts that name each of them
OPTIONS = {"cli/options.c": "docs/viaduct.1.scd", "vf-manager/options.c": "docs/viaductd.8.scd"}
KEYS = {file: ("docs/viaductd.yaml.5.scd", "docs/viaductd.yaml") for file in CONFIG}
KEYS["vf-manager/vmfile.c"] = ("docs/viaduct-vm.5.scd",)
GUIDE = "docs/guide.md"
ALARM_ROW = re.compile(r'^\t\{ "([a-z-]+)", "(critical|major|minor)",', re.M)


def path_problems(tree):
    """A file, folder or pattern that a document names."""
    folders = {os.path.dirname(n) for n in tree.files}
    there = set(tree.files) | {f[:at] for f in (n + "/" for n in folders) for at, c in enumerate(f) if c == "/"}
    for name in (n for n in tree.sources() if n.endswith((".md", ".scd"))):
        beside = os.path.dirname(name)
        for number, line in enumerate(tree.lines(name), 1):
            for match in NAMED.finditer(line):
                path = (match.group(1) or match.group(2)).rstrip("./")
                places = {path, os.path.normpath(os.path.join(beside, path))}
                # `base/control`: both files of a module
                if PLACEHOLDER.search(path) or places & there or path + ".c" in there:
                    continue
                if not any(fnmatch.filter(there, place) for place in places):
                    yield f"{name}:{number}: {path} is not in the tree"


def missing(tree, file, pattern, texts, form):
    if file not in tree.files:
        return
    words = sorted({match.group(1) for match in pattern.finditer(tree.text(file))})
    for text in texts:
        there = tree.text(text)
        for word in words:
            if not re.search(form % re.escape(word), there):
                yield f"{text}: does not name {word} of {file}"


def manual_problems(tree):
    """Every option and every key, in each of its texts; every alarm in the guide, with its severity."""
    for file, manual in OPTIONS.items():
        yield from missing(tree, file, OPTION, (manual,), r"\*--%s\*")
    for file, texts in KEYS.items():
        yield from missing(tree, file, KEY, texts, r"(?<![\w-])%s(?![\w-])")
    if GUIDE not in tree.files:
        return
    rows = set(re.findall(r"^\| `([\w-]+)` \| (critical|major|minor) \|", tree.text(GUIDE), re.M))
    raised = {row for n in tree.c_files(".c") if n.startswith("vf-manager/")
              for row in ALARM_ROW.findall(tree.text(n))}
    for code, severity in sorted(rows ^ raised):
        said = "nobody's" if (code, severity) in rows else "not in the table"
        yield f"{GUIDE}: the alarm {code} is {said} as {severity}"

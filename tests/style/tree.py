# SPDX-License-Identifier: BSD-3-Clause
"""The tree as the style rules see it: its tracked files, and what each kind of file is."""

import functools
import os
import pathlib
import re
import subprocess

C_FOLDERS = ("base", "iommu", "sriov", "image", "vmm", "pmd-backends", "vf-manager", "cli", "bench", "tests")
DATA = re.compile(r"(^|/)(corpus|data)/")


class Tree:
    """Files that git tracks or would track, below top; every path is relative to it."""

    def __init__(self, top):
        self.top = pathlib.Path(top)

    @functools.cached_property
    def files(self):
        git = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(self.top), "ls-files", "-z", "--cached",
             "--others", "--exclude-standard"],
            capture_output=True, text=True, check=False,
        )
        if git.returncode == 0 and git.stdout:
            names = set(git.stdout.split("\0")) - {""}
        else:
            names = {
                os.path.relpath(os.path.join(folder, file), self.top)
                for folder, _, files in os.walk(self.top) for file in files
            }
            names = {n for n in names if not n.startswith(("build/", ".git/"))}
        return sorted(n for n in names if (self.top / n).is_file())

    def text(self, name):
        return (self.top / name).read_text(encoding="utf-8", errors="replace")

    def lines(self, name):
        return self.text(name).splitlines()

    def sources(self):
        """All files but data."""
        return [n for n in self.files if not DATA.search(n)]

    def c_files(self, *endings):
        endings = endings or (".c", ".h")
        return [n for n in self.sources() if n.endswith(endings) and n.split("/")[0] in C_FOLDERS]

    def first_line(self, name):
        try:
            with open(self.top / name, encoding="utf-8") as f:
                return f.readline(200)
        except UnicodeDecodeError:
            return ""

    def shell_files(self):
        shebang = re.compile(r"#!.*\b(ba|da|)sh\b")
        return [
            n for n in self.sources()
            if n.endswith(".sh") or shebang.match(self.first_line(n))
        ]

    def python_files(self):
        return [
            n for n in self.sources()
            if n.endswith(".py") or re.match(r"#!.*python", self.first_line(n))
        ]


# What may stand right above a function without being of it.
NOT_A_HEAD = re.compile(r"^(}|#|/[*/]| \*)|(\*/|;)$")


def functions(text):
    """(name, first line, last line, parameters' text, body lines, head) of each function in kernel style:
    its brace opens and closes in the first column."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line != "{":
            continue
        start = at
        while start > 0 and lines[start - 1].strip() and not NOT_A_HEAD.search(lines[start - 1]):
            start -= 1
        head = " ".join(part.strip() for part in lines[start:at])
        match = re.search(r"(\w+)\s*\((.*)\)", head)
        end = next((i for i in range(at, len(lines)) if lines[i] == "}"), None)
        if match and end is not None:
            yield match.group(1), start + 1, end + 1, match.group(2), lines[at:end + 1], head

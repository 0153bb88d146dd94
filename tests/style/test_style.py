# SPDX-License-Identifier: BSD-3-Clause
"""Every rule holds in the tree; and every rule finds the fault in a sample made to break it."""

import pathlib
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import includes  # noqa: E402
import manuals  # noqa: E402
import rules  # noqa: E402
from tree import Tree  # noqa: E402

TOP = HERE.parents[1]
FORMATTER = 14
C = "// SPDX-License-Identifier: BSD-3-Clause\n"
H = "/* SPDX-License-Identifier: BSD-3-Clause */\n"


def long_function(lines):
    return C + "int f(void)\n{\n" + "\tg();\n" * lines + "}\n"


def header(body):
    return H + f"#ifndef VIADUCT_X\n#define VIADUCT_X\n{body}\n#endif\n"


# rule -> [(files of a bad sample, words its finding must have)]
RULES = {
    includes.layer_problems: [
        ({"sriov/a.c": C + '#include "iommu/b.h"\n', "iommu/b.h": H}, "sriov/a.c:2"),
        ({"base/a.c": C + '#include "sriov/b.h"\n', "sriov/b.h": H}, "base/ must not"),
        ({"cli/a.c": C + '#include "vf-manager/b.h"\n', "vf-manager/b.h": H}, "cli/ must not"),
        ({"vf-manager/a.c": C + '#include "vmm/b.h"\n', "vmm/b.h": H}, "must not include vmm/b.h"),
        ({"vmm/a.c": C + '#include "tests/b.h"\n', "tests/b.h": H}, "must not include tests/b.h"),
        ({"vmm/a.c": C + '#include "../tests/b.h"\n', "tests/b.h": H}, "tests/b.h"),
        ({"vmm/a.c": C + '#include "vmm/gone.h"\n'}, "not in the tree"),
        ({"vmm/a.c": C + "#include <sriov/b.h>\n", "sriov/b.h": H}, "quotes"),
    ],
    includes.message_header_problems: [
        ({"vmm/vmm_msg.h": H + '#include "vmm/pci.h"\n', "vmm/pci.h": H}, "vmm_msg.h:2"),
    ],
    includes.owner_problems: [
        ({"vmm/a.c": C + "#include <linux/vfio.h>\n"}, "belongs to iommu/"),
        ({"vf-manager/a.c": C + "#include <linux/iommufd.h>\n"}, "belongs to iommu/"),
        ({"vf-manager/a.c": C + "#include <pciaccess.h>\n"}, "belongs to sriov/"),
        ({"cli/a.c": C + "#include <libmnl/libmnl.h>\n"}, "belongs to sriov/"),
        ({"iommu/a.c": C + "#include <linux/kvm.h>\n"}, "belongs to vmm/"),
        ({"vmm/a.c": C + "#include <rte_mbuf.h>\n"}, "belongs to bench/, pmd-backends/"),
        ({"vf-manager/a.c": C + 'f("%s/sriov_numvfs", x);\n'}, "only sriov/ opens sriov_numvfs"),
        ({"vmm/a.c": C + 'f("driver_override");\n'}, "only sriov/ opens driver_override"),
    ],
    includes.link_problems: [
        ({"vmm/meson.build": "x = [base_dep, sriov_dep]\n"}, "vmm/ must not link sriov_dep"),
        ({"cli/meson.build": "x = [vf_manager_dep]\n"}, "must not link vf_manager_dep"),
    ],
    includes.order_problems: [
        ({"vmm/a.c": C + "#include <errno.h>\n\n#include \"vmm/b.h\"\n"}, "own folder after libc"),
        ({"vmm/a.c": C + "#include <errno.h>\n#include <jansson.h>\n"}, "mixes"),
        ({"vmm/a.c": C + "#include <stdio.h>\n#include <errno.h>\n"}, "not sorted"),
        ({"vmm/a.c": C + '#include "base/b.h"\n\n#include "vmm/c.h"\n'}, "after other folders"),
        ({"vmm/a.h": header("#include <errno.h>\n\n#include <jansson.h>\n")}, "after libc"),
    ],
    rules.explain_problems: [
        ({"vmm/a.c": C + 'int f(void)\n{\n\treturn err_code(e, "no-luck");\n}\n'}, "no-luck has no row"),
        ({"vmm/a.c": C + '\terr_code(e, g(x) == 1 ? "a-one" : "a-two");\n',
          "cli/explain_table.c": C + '\t{ "a-one", "b",\n'}, "a-two has no row"),
        ({"cli/explain_table.c": C + '\t{ "gone", "b",\n'}, "nothing uses the code gone"),
        ({"vmm/a.c": C + 'err_code(e, "b"); err_code(e, "a");\n',
          "cli/explain_table.c": C + '\t{ "b", "x",\n\t{ "a", "x",\n'}, "not sorted"),
    ],
    manuals.path_problems: [
        ({"vmm/README.md": "see `vmm/gone.c`\n"}, "vmm/README.md:1: vmm/gone.c is not"),
        ({"docs/a.md": "see [it](../docs/b.md)\n"}, "docs/a.md:1: ../docs/b.md is not"),
    ],
    manuals.manual_problems: [
        ({"vf-manager/options.c": C + '\t{ "odd-path", OPT_ODD, "FILE", 0, "x", 0 },\n',
          "docs/viaductd.8.scd": "*--odd*\n"}, "docs/viaductd.8.scd: does not name odd-path"),
        ({"vf-manager/vmfile.c": C + '\tPORT_TEXT("colour", x),\n', "docs/viaduct-vm.5.scd": "discolour\n"},
         "does not name colour"),
        ({"docs/guide.md": "| `no-luck` | major | x |\n"}, "the alarm no-luck is nobody's as major"),
        ({"docs/guide.md": "", "vf-manager/a.c": C + '\t{ "no-luck", "major", x },\n'}, "no-luck is not in the table"),
        ({"docs/guide.md": "| `no-luck` | minor | x |\n",
          "vf-manager/a.c": C + '\t{ "no-luck", "major", x },\n'}, "no-luck is"),
    ],
    rules.spdx_problems: [
        ({"vmm/a.c": "int a;\n"}, "vmm/a.c:1"),
        ({"vmm/a.c": H}, "vmm/a.c:1"),
        ({"vmm/a.h": C}, "vmm/a.h:1"),
        ({"lab/x": "#!/bin/sh\ntrue\n"}, "lab/x:1"),
        ({"lab/x.py": "pass\n"}, "lab/x.py:1"),
        ({"meson.build": "project()\n"}, "meson.build:1"),
    ],
    rules.size_problems: [
        ({"vmm/a.c": C + "\n" * 600}, "601 lines"),
        ({"lab/a.py": "#\n" * 700}, "700 lines"),
    ],
    rules.function_problems: [
        ({"vmm/a.c": long_function(101)}, "f() has 104 lines"),
        ({"vmm/a.c": C + "int f(int a, int b, int c,\n      int d, int e, int g)\n{\n}\n"},
         "6 parameters"),
        ({"vmm/a.c": C + "int f(void)\n{\n#ifdef X\n\tg();\n#endif\n}\n"}, "a.c:4: #if inside f()"),
    ],
    rules.forbidden_problems: [
        ({"vmm/a.c": C + "#if 0\n#endif\n"}, "#if 0"),
        ({"vmm/a.h": H + "#pragma once\n"}, "#pragma once"),
        ({"vmm/a.c": C + "/* TODO: more */\n"}, "TODO"),
        ({"iommu/a.c": C + "\texit(1);\n"}, "exit"),
        ({"sriov/a.c": C + '\tperror("x");\n'}, "printing"),
        ({"base/a.c": C + '\tfprintf(stdout, "x");\n'}, "printing"),
        ({"vmm/a.c": C + "\tr = fstat(0, &st);\n"}, "fstat"),
    ],
    rules.guard_problems: [({"vmm/a.h": H + "int f(void);\n"}, "no include guard")],
    rules.header_problems: [
        ({"vmm/a.h": header("uint64_t f(void);")}, "vmm/a.h: does not compile alone"),
        ({"vmm/a.h": H + "struct a { int b; };\n"}, "redefinition"),
    ],
    rules.format_problems: [
        ({"vmm/a.c": C + "int f( void ){\n  return 0;\n}\n"}, "vmm/a.c:2"),
        ({"vmm/a.c": C + "#include <stdio.h>\n#include <errno.h>\n"}, "vmm/a.c:2"),
    ],
    rules.shell_problems: [({"scripts/a": "#!/bin/sh\nrm $1/x\n"}, "scripts/a:2")],
    rules.python_problems: [({"lab/a.py": "def f(:\n"}, "lab/a.py:1")],
    rules.readme_problems: [
        ({"vmm/a.c": C}, "vmm/README.md: missing"),
        ({"lab/README.md": "x\n" * 41}, "41 lines"),
    ],
    rules.machine_problems: [
        ({"scripts/a": "#!/bin/sh\ncurl http://deb.debian.org/debian\n"}, "scripts/a:2"),
        ({"docs/a.md": "see /work/main/x\n"}, "docs/a.md:1"),
        ({"docs/a.md": "meson setup /tmp/build-x\n"}, "docs/a.md:1"),
    ],
}
SAMPLES = [(rule, files, words) for rule, samples in RULES.items() for files, words in samples]


def name_of(rule):
    return rule.__name__.removesuffix("_problems")


def skip_other_formatters(rule):
    version = rules.clang_format_version()
    if rule is rules.format_problems and version != FORMATTER:
        pytest.skip(f"the tree is formatted with clang-format {FORMATTER}, here is {version}")


def plant(folder, files):
    shutil.copy(TOP / ".clang-format", folder)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(folder)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_tree(rule):
    skip_other_formatters(rule)
    problems = list(rule(Tree(TOP)))
    assert not problems, f"{len(problems)} found:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "rule, files, words", SAMPLES, ids=[f"{name_of(r)}-{w}" for r, _, w in SAMPLES])
def test_rule_finds(rule, files, words, tmp_path):
    skip_other_formatters(rule)
    problems = list(rule(plant(tmp_path, files)))
    assert any(words in p for p in problems), problems


GOOD = {
    "vmm/README.md": "x\n",
    "base/README.md": "x\n",
    "vf-manager/README.md": "x\n",
    "base/err.h": H + "#ifndef VIADUCT_BASE_ERR_H\n#define VIADUCT_BASE_ERR_H\n\n"
                      "#include <stdint.h>\n\nuint64_t g(void);\n\n#endif\n",
    "vmm/vmm_msg.h": H + "#ifndef VIADUCT_VMM_MSG_H\n#define VIADUCT_VMM_MSG_H\n#endif\n",
    "vmm/a.h": H + "#ifndef VIADUCT_VMM_A_H\n#define VIADUCT_VMM_A_H\nint f(void);\n#endif\n",
    "vmm/a.c": C + '#include "vmm/a.h"\n\n#include "vmm/vmm_msg.h"\n\n#include "base/err.h"\n\n'
                   "#include <jansson.h>\n\n#include <errno.h>\n#include <linux/kvm.h>\n\n"
                   "/* Says f(a, b, c), which\n * has (with, five, commas, in, it, all): none. */\n"
                   "int f(void)\n{\n\treturn 0;\n}\n",
    "vf-manager/b.c": C + '#include "vmm/vmm_msg.h"\n\nconst char *hint = '
                          '"echo 0 > sriov_numvfs first";\n',
    "scripts/ok": "#!/bin/sh\n# SPDX-License-Identifier: BSD-3-Clause\ntrue\n",
}


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_rule_leaves_good_alone(rule, tmp_path):
    skip_other_formatters(rule)
    assert not list(rule(plant(tmp_path, GOOD)))


def test_ordered_mends(tmp_path):
    bad = (C + '#include "vmm/a.h"\n\n#include <stdio.h>\n#include <jansson.h>\n\n'
               '#include "base/err.h"\n#include "vmm/c.h"\n#include <errno.h>\n\nint x;\n')
    assert includes.ordered("vmm/a.c", bad) == (
        C + '#include "vmm/a.h"\n\n#include "vmm/c.h"\n\n#include "base/err.h"\n\n'
            "#include <jansson.h>\n\n#include <errno.h>\n#include <stdio.h>\n\nint x;\n")

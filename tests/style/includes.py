# SPDX-License-Identifier: BSD-3-Clause
"""Rules about #include: layers, owners of dangerous headers, order of blocks (and its mending)."""

import os
import re

# folder -> folders it may include from (design.md, "Folders = layers")
LAYERS = {
    "base": {"base"},
    "iommu": {"iommu", "base"},
    "sriov": {"sriov", "base"},
    "image": {"image", "base"},
    "vmm": {"vmm", "base", "iommu"},
    "pmd-backends": {"pmd-backends", "base"},
    "vf-manager": {"vf-manager", "base", "image", "iommu", "sriov"},
    "cli": {"cli", "base", "image"},
    "bench": {"bench", "base"},
}
# Processes share message structs, never functions: these headers may be included from afar.
MESSAGE_HEADERS = {
    "vf-manager": (r"vmm/\w*_msg\.h", r"pmd-backends/\w*_msg\.h"),
    "vmm": (r"pmd-backends/\w*_msg\.h",),
    "cli": (r"vf-manager/api\.h",),
    "image": (r"pmd-backends/\w*_msg\.h",),
}
OWNERS = (
    (r"linux/(vfio|iommufd)\.h", {"iommu"}),
    (r"(pciaccess\.h|libmnl/.*)", {"sriov"}),
    (r"linux/kvm\.h", {"vmm"}),
    (r"rte_\w+\.h", {"pmd-backends", "bench"}),
)
# A string that ends in one of these names the attribute to open it; prose may mention it.
ATTRIBUTES = re.compile(r'"(?:[^"\n]*/)?(sriov_numvfs|sriov_drivers_autoprobe|driver_override)"')
LIBRARIES = re.compile(
    r"(cap-ng|cmocka|curses|jansson|liburing|microhttpd|numa|pciaccess|seccomp|sqlite3|yaml)\.h"
    r"|rte_\w+\.h|(curl|cyaml|libmnl|libsmartcols|systemd|uuid)/.*"
)
INCLUDE = re.compile(r'\s*#\s*include\s+(["<])([^">]+)[">]')
OWN_HEADER, OWN_FOLDER, OTHER_FOLDERS, LIBRARY, LIBC = range(5)
CLASS_NAMES = ("own header", "own folder", "other folders", "libraries", "libc")


def includes(text):
    """(line number, quoted?, name) of each #include."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def resolve(tree, file, name):
    """The path below the tree that a quoted include means, or None."""
    for folder in (os.path.dirname(file), ""):
        path = os.path.normpath(os.path.join(folder, name))
        if not path.startswith("..") and (tree.top / path).is_file():
            return path
    return None


def role(file):
    """The folder whose rules a file follows; a unit test follows those of what it tests."""
    parts = file.split("/")
    if parts[:2] == ["tests", "unit"] and len(parts) > 3:
        return parts[2]
    return parts[0]


def layer_problems(tree):
    for file in tree.c_files():
        mine = file.split("/")[0]
        allowed = LAYERS.get(mine)
        for number, quoted, name in includes(tree.text(file)):
            if not quoted:
                if tree.top.joinpath(name).is_file():
                    yield f"{file}:{number}: <{name}> is ours: write it in quotes"
                continue
            path = resolve(tree, file, name)
            if path is None:
                yield f"{file}:{number}: \"{name}\" is not in the tree"
                continue
            folder = path.split("/")[0]
            if allowed is None or folder in allowed:
                continue
            if any(re.fullmatch(p, path) for p in MESSAGE_HEADERS.get(mine, ())):
                continue
            yield f"{file}:{number}: {mine}/ must not include {path}"


def message_header_problems(tree):
    """What is included from afar must bring nothing of its own folder along."""
    patterns = [p for row in MESSAGE_HEADERS.values() for p in row]
    for file in tree.c_files(".h"):
        if not any(re.fullmatch(p, file) for p in patterns):
            continue
        for number, quoted, name in includes(tree.text(file)):
            if quoted and not (resolve(tree, file, name) or "").startswith("base/"):
                yield f"{file}:{number}: a message header includes nothing but base/ and libc"


def owner_problems(tree):
    for file in tree.c_files():
        if file.startswith(("tests/fuzz/", "tests/fake/")):
            continue
        me = role(file)
        for number, _, name in includes(tree.text(file)):
            for pattern, owners in OWNERS:
                if re.fullmatch(pattern, name) and me not in owners:
                    yield f"{file}:{number}: <{name}> belongs to {'/, '.join(sorted(owners))}/"
        if me == "sriov" or file.startswith("tests/"):
            continue
        for number, line in enumerate(tree.lines(file), 1):
            if ATTRIBUTES.search(line):
                yield f"{file}:{number}: only sriov/ opens {ATTRIBUTES.search(line).group(1)}"


def link_problems(tree):
    """A folder's meson.build names the libraries of lower folders only."""
    variables = {folder.replace("-", "_") + "_dep": folder for folder in LAYERS}
    variables["pmd_dep"] = "pmd-backends"
    for folder, allowed in LAYERS.items():
        name = f"{folder}/meson.build"
        if name not in tree.files:
            continue
        for number, line in enumerate(tree.lines(name), 1):
            for word in re.findall(r"\b\w+_dep\b", line.split("#")[0]):
                if variables.get(word, folder) not in allowed:
                    yield f"{name}:{number}: {folder}/ must not link {word}"


def include_class(file, quoted, name, first):
    if not quoted:
        return LIBRARY if LIBRARIES.fullmatch(name) else LIBC
    stem = os.path.splitext(os.path.basename(file))[0]
    if first and file.endswith(".c") and os.path.basename(name) == stem + ".h":
        return OWN_HEADER
    folder = name.split("/")[0] if "/" in name else file.split("/")[0]
    return OWN_FOLDER if folder == file.split("/")[0] else OTHER_FOLDERS


def leading_blocks(text):
    """The blocks of #include lines at the file's head: [[(line number, quoted, name, line)]].
    Ends at the first line that is none of: empty, comment, guard, #include."""
    blocks, block, comment = [], [], False
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        bare = line.strip()
        if match and not comment:
            block.append((number, match.group(1) == '"', match.group(2), line))
            continue
        if block:
            blocks.append(block)
            block = []
        if comment or bare.startswith("/*"):
            comment = "*/" not in bare
        elif bare and not bare.startswith(("//", "#ifndef", "#define", "#pragma")):
            break
    if block:
        blocks.append(block)
    return blocks


def order_problems(tree):
    for file in tree.c_files():
        highest, first = OWN_HEADER, True
        for block in leading_blocks(tree.text(file)):
            if any(name == "cmocka.h" for _, _, name, _ in block):
                continue  # wants four libc headers before it
            kinds = []
            for _, quoted, name, _ in block:
                kinds.append(include_class(file, quoted, name, first))
                first = False
            where = f"{file}:{block[0][0]}"
            if len(set(kinds)) > 1:
                names = ", ".join(CLASS_NAMES[k] for k in sorted(set(kinds)))
                yield f"{where}: one block mixes {names}; scripts/format mends it"
            elif kinds[0] < highest:
                yield (f"{where}: {CLASS_NAMES[kinds[0]]} after {CLASS_NAMES[highest]};"
                       " scripts/format mends it")
            names = [name for _, _, name, _ in block]
            if names != sorted(names):
                yield f"{where}: block is not sorted; scripts/format mends it"
            highest = max(highest, *kinds)


def ordered(file, text):
    """The text with the includes at its head in the order of the rules."""
    blocks = leading_blocks(text)
    if not blocks or any(name == "cmocka.h" for b in blocks for _, _, name, _ in b):
        return text
    lines = text.splitlines(keepends=True)
    begin, end = blocks[0][0][0] - 1, blocks[-1][-1][0]
    if any(not INCLUDE.match(line) and line.strip() for line in lines[begin:end]):
        return text  # a comment or a condition between: for a person to mend
    kinds, first = [set() for _ in CLASS_NAMES], True
    for block in blocks:
        for _, quoted, name, line in block:
            kinds[include_class(file, quoted, name, first)].add((name, line))
            first = False
    new = "\n".join("".join(line + "\n" for _, line in sorted(kind)) for kind in kinds if kind)
    return "".join(lines[:begin]) + new + "".join(lines[end:])

# SPDX-License-Identifier: BSD-3-Clause
"""One unpacked Debian kernel: where its files are, its modules in load order, its vmlinux."""

import glob
import lzma
import os
import struct
import subprocess

from vlab import LabError

# First bytes of the compressed kernel inside a bzImage, and the program that unpacks it.
DECOMPRESSORS = {
    b"\x28\xb5\x2f\xfd": ["zstd", "-dc"],
    b"\xfd7zXZ\x00": ["xz", "-dc"],
    b"\x1f\x8b": ["gzip", "-dc"],
    b"\x02\x21\x4c\x18": ["lz4", "-dc"],
}


class Kernel:
    def __init__(self, root):
        images = glob.glob(os.path.join(root, "boot", "vmlinuz-*"))
        if len(images) != 1:
            raise LabError(f"{root}: {len(images)} kernels in its boot folder, expected 1; "
                           "run: lab/setup-cache --refresh")
        self.bzimage = images[0]
        self.release = os.path.basename(images[0]).removeprefix("vmlinuz-")
        base = "usr/lib" if os.path.isdir(os.path.join(root, "usr/lib/modules")) else "lib"
        self.modules_dir = os.path.join(root, base, "modules", self.release)

    def modules(self, names):
        """[(name, bytes)] of the modules and what they need, in load order, built-in ones left out."""
        deps = self._read_deps()
        builtin = {_module_name(line) for line in self._lines("modules.builtin")}
        order = []
        for name in names:
            if name not in builtin:
                self._visit(name, deps, order)
        return [(name, self._module_data(deps[name][0])) for name in order]

    def extract_vmlinux(self, out):
        """The ELF kernel out of the bzImage (boot protocol >= 2.08: payload_offset, payload_length)."""
        with open(self.bzimage, "rb") as f:
            image = f.read()
        if image[0x202:0x206] != b"HdrS":
            raise LabError(f"{self.bzimage} is no bzImage")
        sectors = image[0x1f1] or 4
        offset, length = struct.unpack_from("<II", image, 0x248)
        start = (sectors + 1) * 512 + offset
        payload = image[start:start + length]
        for magic, program in DECOMPRESSORS.items():
            if payload.startswith(magic):
                break
        else:
            raise LabError(f"{self.bzimage}: unknown compression {payload[:4].hex()}")
        # The last four bytes are the unpacked size: gzip's own, in the others not part of the stream.
        end = len(payload) if program[0] == "gzip" else -4
        with open(out, "wb") as f:
            subprocess.run(program, input=payload[:end], stdout=f, check=True)

    def _lines(self, name):
        with open(os.path.join(self.modules_dir, name), encoding="utf-8") as f:
            return f.read().splitlines()

    def _read_deps(self):
        deps = {}
        for line in self._lines("modules.dep"):
            path, _, needs = line.partition(":")
            deps[_module_name(path)] = (path, [_module_name(n) for n in needs.split()])
        return deps

    def _visit(self, name, deps, order):
        if name not in deps:
            raise LabError(f"kernel {self.release} has no module {name}")
        # modules.dep lists every need, the deepest last.
        for need in reversed(deps[name][1]):
            if need not in order:
                self._visit(need, deps, order)
        if name not in order:
            order.append(name)

    def _module_data(self, path):
        with open(os.path.join(self.modules_dir, path), "rb") as f:
            data = f.read()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if path.endswith(".ko"):
            return data
        program = {".zst": "zstd", ".gz": "gzip"}[os.path.splitext(path)[1]]
        return subprocess.run([program, "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def _module_name(path):
    return os.path.basename(path).partition(".")[0].replace("-", "_")

# SPDX-License-Identifier: BSD-3-Clause
"""VM files for the virtual host's guests."""

from operate.console import guest_initrd
from operate.host import guest_kernel

CMDLINE = "console=ttyS0 quiet mitigations=off"


def write(folder, name, ports=(), **options):
    """Write folder/NAME.yaml and return its path. ports: lines such as 'name: wan, pf: enp1s0';
    options: memory, cpus, kernel, initrd, cmdline, firmware, extra (further lines)."""
    initrd = options.get("initrd") or shared_initrd(folder)
    lines = [
        f"name: {name}",
        f"memory: {{size: {options.get('memory', '384M')}}}",
        f"cpus: {{count: {options.get('cpus', 1)}}}",
        "boot:",
        f"  kernel: {options.get('kernel') or guest_kernel()}",
        f"  initrd: {initrd}",
        f'  cmdline: "{options.get("cmdline", CMDLINE)}"',
    ]
    if options.get("firmware"):
        lines.append(f"  firmware: {options['firmware']}")
    if ports:
        lines.append("ports:")
        lines += [f"  - {{{port}}}" for port in ports]
    lines += options.get("extra", [])
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def shared_initrd(folder):
    """The initrd whose init takes commands from the console, made once per folder."""
    path = folder / "guest.cpio"
    return path if path.exists() else guest_initrd(path)

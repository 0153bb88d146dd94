# SPDX-License-Identifier: BSD-3-Clause
"""A kernel of the lab's own: Debian's source package, configured by lab/kernels/NAME.config."""

import glob
import os
import re
import shutil
import subprocess

from vlab import LabError

CONFIGS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "kernels")
PACKAGE = "linux-source-6.12"


def names():
    return sorted(f.removesuffix(".config") for f in os.listdir(CONFIGS) if f.endswith(".config"))


def config_path(name):
    return os.path.join(CONFIGS, f"{name}.config")


def build(name, out, command, say):
    """Puts boot/vmlinuz-RELEASE and lib/modules/RELEASE into out, an empty folder. Takes a quarter of an hour.

    command(argv, cwd) raises LabError if argv fails."""
    work = os.path.join(out, "work")
    os.makedirs(work)
    command(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE], work)
    debs = glob.glob(os.path.join(work, "*.deb"))
    if len(debs) != 1:
        raise LabError(f"apt-get download {PACKAGE} left {len(debs)} packages, expected 1")
    command(["dpkg-deb", "-x", debs[0], work], None)
    command(["tar", "-xf", os.path.join(work, f"usr/src/{PACKAGE}.tar.xz")], work)
    tree = os.path.join(work, PACKAGE)
    _configure(name, tree, command)
    say(f"building the kernel {name} from {PACKAGE}: a quarter of an hour, once")
    command(["make", "-s", f"-j{os.cpu_count() or 1}", "bzImage", "modules"], tree)
    release = subprocess.run(["make", "-s", "kernelrelease"], cwd=tree, stdout=subprocess.PIPE, check=True,
                             text=True).stdout.strip()
    command(["make", "-s", "modules_install", f"INSTALL_MOD_PATH={out}"], tree)
    os.makedirs(os.path.join(out, "boot"))
    shutil.copyfile(os.path.join(tree, "arch/x86/boot/bzImage"), os.path.join(out, "boot", f"vmlinuz-{release}"))
    shutil.rmtree(work)


def _configure(name, tree, command):
    """What the configuration asks for and does not get is an error: it would be missed later, and less clearly."""
    command(["make", "-s", f"KCONFIG_ALLCONFIG={config_path(name)}", "allnoconfig"], tree)
    command(["scripts/config", "--set-str", "LOCALVERSION", f"-viaduct-{name}"], tree)
    command(["make", "-s", "olddefconfig"], tree)
    with open(config_path(name), encoding="utf-8") as f:
        wanted = re.findall(r"^CONFIG_\w+=[ym]$", f.read(), re.M)
    with open(os.path.join(tree, ".config"), encoding="utf-8") as f:
        got = set(f.read().splitlines())
    missing = [line for line in wanted if line not in got]
    if missing:
        raise LabError(f"{PACKAGE} does not take {' '.join(missing)} of {config_path(name)}")

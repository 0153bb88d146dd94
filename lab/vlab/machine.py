# SPDX-License-Identifier: BSD-3-Clause
"""The virtual host as a QEMU command line: a function from options to arguments, no side effect.

q35 with a VT-d unit; two 82576 ports with 7 VFs each on one cable, an NVMe controller with 4 VFs
and an 82574L without SR-IOV, each behind a root port of its own, so that each can be unplugged.
"""

import re
import subprocess

from vlab import LabError

QEMU = "qemu-system-x86_64"

# Older ones have no igb. Before SAFE_QEMU, VF BARs that the kernel puts above 4 GiB are not
# decoded, which happens as soon as RAM reaches above the PCI hole.
MIN_QEMU = (8, 0, 0)
SAFE_QEMU = (10, 0, 13)
VF_MEM_LIMIT_MIB = 2815

# lab/ctl's names, in the order of their root ports: their PCI buses are 01 to 04.
DEVICES = ("pf0", "pf1", "nvme0", "nic0")
MAC = {"pf0": "52:54:00:10:00:00", "pf1": "52:54:00:10:01:00", "nic0": "52:54:00:10:02:00",
       "nic1": "52:54:00:10:03:00"}
# At the far end of nic0's cable: what is sent to this port comes back.
ECHO = "10.0.2.100:7"
# With NUMA nodes each PF sits in a root complex of its node: name -> (node, first bus).
NODE_OF = {"pf0": (0, 0x40), "pf1": (1, 0x80)}


def cpu_has_virtualization():
    """Whether the CPU says it can run guests. /dev/kvm alone proves nothing (nested, emulated)."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = re.search(r"^flags\s*:(.*)$", f.read(), re.M)
    return bool(flags) and bool({"vmx", "svm"} & set(flags.group(1).split()))


def kvm_usable():
    if not cpu_has_virtualization():
        return False
    try:
        with open("/dev/kvm", "r+b", buffering=0):
            return True
    except OSError:
        return False


def emulates(options):
    """Whether the host's processors are the emulator's, not the machine's."""
    return options.icount or not kvm_usable()


def qemu_version():
    try:
        done = subprocess.run([QEMU, "--version"], stdout=subprocess.PIPE, check=True, text=True)
        return tuple(int(n) for n in re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout).groups())
    except (OSError, subprocess.CalledProcessError, AttributeError) as e:
        raise LabError(f"{QEMU} does not run: {e}; run: scripts/setup") from e


def mem_mib(text):
    match = re.fullmatch(r"(\d+)([MGmg]?)", text)
    if not match:
        raise LabError(f"--mem {text}: expected a number with M or G, as in 2800M")
    return int(match.group(1)) * (1024 if match.group(2) in ("g", "G") else 1)


def slots(options):
    """The devices in the order of their slots."""
    names = ("pf1", "pf0", *DEVICES[2:]) if options.swap_pfs else DEVICES
    return (*names, "nic1") if options.second_nic else names


def port_addresses(options):
    """NAME=PCI-ADDRESS of the network ports, as the host's kernel will number them."""
    addresses = {}
    bus = 1
    for name in slots(options):
        if options.numa > 1 and name in NODE_OF:
            addresses[name] = f"0000:{NODE_OF[name][1] + 1:02x}:00.0"
        else:
            addresses[name] = f"0000:{bus:02x}:00.0"
            bus += 1
    return [f"{name}={addresses[name]}" for name in MAC if name in addresses]


def kernel_cmdline(options):
    words = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check", "tsc=reliable", "random.trust_cpu=on",
             "cgroup_no_v1=all", "mitigations=off", "rdinit=/init"]
    if not options.no_iommu:
        words += ["intel_iommu=on", "iommu=pt"]
    return " ".join(words + options.boot_arg)


def arguments(options, files):
    """options: of lab/run; files: cache (Cache), initrd, console, disk, state, scratch, fds (name -> fd)."""
    return ([QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-name", "viaduct-lab"]
            + _platform(options) + _boot(options, files) + _folders(files) + _ports(files)
            + _cards(options, files) + (_state_disk(files) if options.disk else []))


def _platform(options):
    args = ["-machine", "q35,kernel-irqchip=split,smbus=off,sata=off,vmport=off,hpet=off"]
    if options.icount:
        args += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]
    else:
        args += ["-accel", "tcg,thread=multi" if emulates(options) else "kvm"]
    args += ["-cpu", "EPYC-v4" if emulates(options) else "host", "-m", f"{mem_mib(options.mem)}M",
             "-smp", f"{options.cpus},sockets={options.numa},cores={options.cpus // options.numa}"]
    if not options.no_iommu:
        intremap = "off" if options.no_intremap else "on"
        args += ["-device", f"intel-iommu,intremap={intremap},aw-bits=48"]
    if options.numa > 1:
        args += _numa(options)
    return args


def _numa(options):
    nodes = options.numa
    share = mem_mib(options.mem) // nodes
    args = []
    for node in range(nodes):
        size = share if node else mem_mib(options.mem) - share * (nodes - 1)
        args += ["-object", f"memory-backend-ram,id=ram{node},size={size}M",
                 "-numa", f"node,nodeid={node},memdev=ram{node}",
                 "-numa", f"cpu,node-id={node},socket-id={node}"]
    return args


def _boot(options, files):
    return ["-kernel", files.cache.vmlinux, "-initrd", files.initrd,
            "-append", kernel_cmdline(options),
            "-chardev", f"file,id=console,path={files.console}", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={files.fds['qmp']}", "-mon", "chardev=qmp,mode=control"]


def _folders(files):
    """The machine's root, read-only, and the scratch folder."""
    scratch = files.scratch.replace(",", ",,")
    return ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=viaduct-root,addr=0x8",
            "-fsdev", f"local,id=scratch,path={scratch},security_model=none,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=scratch,mount_tag=viaduct-scratch,addr=0x9"]


def _ports(files):
    args = ["-device", "virtio-serial-pci,id=ports,max_ports=8,addr=0xa"]
    for number, (name, fd) in enumerate(files.fds.items()):
        if name == "qmp":
            continue
        args += ["-chardev", f"socket,id={name},fd={fd}"]
        # Port 0 is reserved for a console.
        kind = "virtconsole,nr=0" if name == "terminal" else f"virtserialport,nr={number + 1}"
        args += ["-device", f"{kind},bus=ports.0,chardev={name},name=viaduct.{name}"]
    return args


def _cards(options, files):
    args = []
    for slot, name in enumerate(slots(options), 1):
        where = f"bus=pcie.0,addr={slot + 1:#x}"
        if options.numa > 1 and name in NODE_OF:
            node, bus = NODE_OF[name]
            args += ["-device", f"pxb-pcie,id=node{node},bus_nr={bus},numa_node={node},{where}"]
            where = f"bus=node{node}"
        args += ["-device", f"pcie-root-port,id=rp-{name},chassis={slot},slot={slot},{where}"]
    for name in ("pf0", "pf1"):
        args += ["-netdev", f"hubport,id=cable-{name},hubid=1",
                 "-device", f"igb,id={name},bus=rp-{name},netdev=cable-{name},"
                            f"mac={MAC[name]},romfile="]
    args += ["-drive", f"file={files.disk},format=raw,if=none,id=disk,cache=unsafe",
             "-device", "nvme-subsys,id=subsys,nqn=viaduct-lab",
             "-device", "nvme,id=nvme0,bus=rp-nvme0,serial=viaduct0,subsys=subsys,sriov_max_vfs=4,"
                        "sriov_vq_flexible=16,sriov_vi_flexible=8",
             "-device", "nvme-ns,drive=disk,bus=nvme0,nsid=1,shared=on",
             "-netdev", f"user,id=outside,restrict=on,guestfwd=tcp:{ECHO}-cmd:cat"]
    return args + _nics(options)


def _nics(options):
    """The 82574Ls: one at the emulator's network, or two that share its cable."""
    if not options.second_nic:
        return ["-device", f"e1000e,id=nic0,bus=rp-nic0,netdev=outside,mac={MAC['nic0']},romfile="]
    args = ["-netdev", "hubport,id=hub-outside,hubid=2,netdev=outside"]
    for name in ("nic0", "nic1"):
        args += ["-netdev", f"hubport,id=cable-{name},hubid=2",
                 "-device", f"e1000e,id={name},bus=rp-{name},netdev=cable-{name},"
                            f"mac={MAC[name]},romfile="]
    return args


def _state_disk(files):
    return ["-drive", f"file=nbd+unix:///?socket={files.state},format=raw,if=none,id=state,"
                      "cache=writeback",
            "-device", "virtio-blk-pci,drive=state,addr=0xb"]


def check(options):
    """Refuse or warn about what cannot work. Returns the warnings."""
    version = qemu_version()
    if version < MIN_QEMU:
        raise LabError(f"{QEMU} {'.'.join(map(str, version))} has no SR-IOV card (igb); "
                       "run: scripts/setup, which installs it from the release's backports")
    if options.swap_pfs and options.numa > 1:
        raise LabError("--numa gives each PF a place of its own: leave out --swap-pfs")
    if options.cpus % options.numa:
        raise LabError(f"--numa {options.numa} needs as many --cpus on each node: "
                       f"{options.numa}, {2 * options.numa}, ...")
    if mem_mib(options.mem) > VF_MEM_LIMIT_MIB and version < SAFE_QEMU:
        return [f"with QEMU {'.'.join(map(str, version))} and more than {VF_MEM_LIMIT_MIB}M of "
                "memory the network VFs do not answer"]
    return []

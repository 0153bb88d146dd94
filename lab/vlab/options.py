# SPDX-License-Identifier: BSD-3-Clause
"""Options of lab/run and lab/shell."""

import argparse
import os

from vlab import kernelbuild


def parse(argv, program, interactive):
    parser = argparse.ArgumentParser(
        prog=program, usage=f"{program} [OPTION]... " + ("[-- SHELL...]" if interactive
                                                         else "-- COMMAND..."),
        description="Boot the virtual SR-IOV host and run COMMAND in it as root, in this folder, "
                    "with its output here.",
        epilog="Exit status: that of COMMAND; 124 when --timeout ends it; 125 when the host did not "
               "come up or died.")
    parser.add_argument("--mem", default="2800M", metavar="SIZE", help="memory (2800M)")
    parser.add_argument("--cpus", type=int, metavar="N", help="processors (2; 1 with --icount)")
    parser.add_argument("--numa", type=int, default=1, metavar="N",
                        help="NUMA nodes (1); with 2 or more, pf1 is on node 1")
    parser.add_argument("--icount", action="store_true",
                        help="deterministic time: time = instructions executed, the processors take turns")
    parser.add_argument("--turn", type=int, default=0, metavar="NS",
                        help="with --icount and several processors: from the first guest on they all take a turn in NS "
                             "nanoseconds (as long as no timer ends it: up to some ms)")
    parser.add_argument("--kernel", choices=kernelbuild.names(), metavar="NAME",
                        help="the host's kernel is that of lab/kernels/NAME.config, built once from Debian's source "
                             "(a quarter of an hour), not Debian's own")
    remapping = parser.add_mutually_exclusive_group()
    remapping.add_argument("--no-iommu", action="store_true", help="leave the VT-d unit out")
    remapping.add_argument("--no-intremap", action="store_true",
                           help="VT-d without interrupt remapping")
    parser.add_argument("--boot-arg", action="append", default=[], metavar="X",
                        help="add X to the host's kernel command line")
    parser.add_argument("--timeout", type=float, default=0, metavar="S",
                        help="kill the host S seconds after the command started")
    parser.add_argument("--boot-timeout", type=float, metavar="S",
                        help="give up when the host is not up after S seconds (90; 600 with --icount)")
    parser.add_argument("--boots", type=int, default=2, metavar="N", choices=(1, 2),
                        help="how often a host is booted that does not come up (2)")
    parser.add_argument("--life-timeout", type=float, metavar="S",
                        help="the host counts as dead after S seconds without a sign of life (90; it "
                             "gives one every 5 of its own; 600 with --icount)")
    parser.add_argument("--scratch", metavar="DIR",
                        help="writable folder that survives the run, VIADUCT_LAB_SCRATCH inside "
                             "(build/lab/scratch-PID)")
    parser.add_argument("--swap-pfs", action="store_true",
                        help="pf0 and pf1 have changed slots, and with them their addresses")
    parser.add_argument("--second-nic", action="store_true",
                        help="another card without SR-IOV, nic1, 05:00.0, at nic0's cable")
    parser.add_argument("--systemd", action="store_true",
                        help="the host's own systemd is PID 1, and COMMAND runs beside its units")
    parser.add_argument("--disk", metavar="FILE",
                        help="a disk that survives the run, /dev/vda inside; what the host has not "
                             "flushed is lost when the run is killed, as in a power cut")
    parser.add_argument("--verbose", action="store_true", help="say when the command starts")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.command:
        if not interactive:
            parser.error("no command; usage: lab/run [OPTION]... -- COMMAND...")
        options.command = [os.environ.get("SHELL", "/bin/bash"), "-i"]
    if options.cpus is None:
        options.cpus = 1 if options.icount else 2
    if options.cpus < 1 or options.numa < 1 or options.timeout < 0 or options.turn < 0:
        parser.error("--cpus, --numa, --turn and --timeout must be positive")
    if options.boot_timeout is None:
        options.boot_timeout = 600 if options.icount else 90
    if options.life_timeout is None:
        # A busy host's 5 seconds of deterministic time may be minutes.
        options.life_timeout = 600 if options.icount else 90
    options.terminal = interactive
    options.on_started = None
    return options

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaduct-vmm gives up, in this order, each from the main thread while it is the only one:
 * sandbox_process() first thing in main, sandbox_filter(SANDBOX_SETUP) before the first byte of the
 * launch message, sandbox_filter(SANDBOX_RUN) before the first guest instruction (for all threads).
 * A system call outside the list kills the process (SIGSYS).
 */
#ifndef VIADUCT_VMM_SANDBOX_H
#define VIADUCT_VMM_SANDBOX_H

#include "base/err.h"

/* Bits: a row of the list is allowed in those that it names. Beside SANDBOX_RUN: SANDBOX_VSOCK, of a VM that has one. */
enum sandbox_phase { SANDBOX_SETUP = 1, SANDBOX_RUN = 2, SANDBOX_VSOCK = 4 };

/* No new privileges, no capabilities, no core dump, no /proc access by others, no fds but 0-2 and
 * `keep_fd`, and by landlock (where the kernel has it) no file, TCP port or abstract socket. */
int sandbox_process(int keep_fd, struct err *e);

/* From now on no file can be made larger than max_bytes: writing beyond is EFBIG (SIGXFSZ is the caller's
 * to ignore). After the last memfd has its size, before SANDBOX_RUN. */
int sandbox_files(uint64_t max_bytes, struct err *e);

/* Restricts system calls to those of the phases, bits. */
int sandbox_filter(unsigned int phases, struct err *e);

#endif

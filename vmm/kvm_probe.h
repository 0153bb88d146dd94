/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether KVM is usable on this host: not only there, but able to run a vCPU (`viaduct-vmm
 * --check-kvm`, for `viaduct host check`).
 */
#ifndef VIADUCT_VMM_KVM_PROBE_H
#define VIADUCT_VMM_KVM_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a VM with one vCPU and runs one instruction. `detail` says what was found. */
bool kvm_probe(const char *path, char *detail, size_t cap);

/* Prints {"usable","detail"} in one line; the exit status: 0 usable, 1 not. */
int kvm_probe_print(const char *path);

#endif

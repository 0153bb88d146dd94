/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host with one PF that outlives the daemons that work on it: sysfs and the ledger on disk, the PF
 * driver's attributes in memory that processes share. For cmocka programs with crash_sweep.
 */
#ifndef VIADUCT_TESTS_FAKE_CRASH_HOST_H
#define VIADUCT_TESTS_FAKE_CRASH_HOST_H

#include "vf-manager/pool.h"

#define HOST_PF "0000:01:00.0"
#define HOST_VM "fw1"

extern const struct pci_addr host_pf;

/* New, with an empty ledger; the former one goes. */
void host_make(void);
void host_remove(void);

/* The daemon as main() brings it up, before it serves; host_recover() is what it does next. */
struct daemon *host_up(void);
void host_down(struct daemon *d);
void host_recover(struct daemon *d);

/* What somebody else does. */
void host_vfs_write(unsigned int vfs);
void host_vm_add(struct daemon *d, bool is_alive);
void host_vf_driver(unsigned int vf, const char *driver);
void host_guest_runs(unsigned int vf); /* bus mastering on */
bool host_master(unsigned int vf);
void host_pf_driver(const char *driver);
bool host_is_quarantined(
	void); /* what the VMM, which outlives the daemons, was told of port "wan" */

/* BIT(enum vf_attr): the PF's driver accepts these and keeps what it had. */
void host_attrs_stick(uint32_t attrs);
void host_attrs_refuse(uint32_t unsupported,
		       uint32_t refused); /* it has no such operation; it says no, today */

struct vf_attrs host_attrs(unsigned int vf);
void host_attrs_lose(unsigned int vf); /* as a PF does that forgets them */
const struct vf_row *host_row(struct daemon *d, unsigned int vf);
unsigned int host_vf_count(void);

/* For host_check(): VFs of others may be there, or not. */
void host_may_be_foreign(bool may_be);

/* Asserts that ledger and machine agree about every VF and that nothing is half done; recovers, which must
 * change nothing. */
void host_check(struct daemon **d);

/* For the process that will die: what fails ends it. */
void host_must(int r, const struct err *e);

#endif

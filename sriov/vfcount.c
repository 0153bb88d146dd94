// SPDX-License-Identifier: BSD-3-Clause
#include "sriov/vfcount.h"

#include "sriov/fnread.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define POLL_NS 10000000L /* 10 ms */

/*
 * Sources: sriov_numvfs_store() and sriov_enable() of the kernel, the sriov_configure() of the
 * common PF drivers, and the reports of operators who met the number without the words.
 */
static const struct numvfs_cause causes[] = {
	{ EPERM, "vf-count-not-allowed",
	  "the PF's driver does not allow it now: VFs are held by virtual machines, or the caller lacks privilege or kernel lockdown forbids it",
	  "viaduct vf list   shows who holds VFs; dmesg shows the driver's reason" },
	{ EACCES, "vf-count-not-allowed", "only root may change the number of VFs",
	  "run viaductd as root" },
	{ EBUSY, "vf-count-busy",
	  "the PF already has another number of VFs that somebody else just made, or the driver is in a mode (switchdev, DCB, bonding, XDP) in which the number is fixed",
	  "viaduct pf show PF; then try again with nobody else writing sriov_numvfs" },
	{ ENOSPC, "vf-count-no-vectors",
	  "the device has not enough interrupt vectors or queues left for so many VFs: the PF's own queues took them",
	  "ask for fewer VFs, or give the PF fewer queues first: ethtool -L NETDEV combined N" },
	{ ENOMEM, "vf-count-no-space",
	  "the host's firmware gave the PF no room for its VFs (memory for VF BARs or bus numbers): mostly SR-IOV is off in the firmware's set-up",
	  "switch SR-IOV and \"Above 4G decoding\" on in the firmware's set-up; else boot with pci=realloc,assign-busses; dmesg names what is missing" },
	{ EINVAL, "vf-count-refused",
	  "the PF's driver refuses this number of VFs in its present mode",
	  "dmesg shows the driver's reason; try fewer VFs" },
	{ ERANGE, "vf-count-too-many", "the PF cannot have so many VFs",
	  "viaduct pf show PF   says how many it can have" },
	{ ENODEV, "vf-count-gone",
	  "the device or its driver is going away, or the PF that it depends on has no VFs",
	  "viaduct pf list" },
	{ ENOENT, "vf-count-no-driver",
	  "the PF has no driver, or its driver cannot make VFs (vfio-pci does only with enable_sriov)",
	  "bind the PF to its own driver" },
	{ ENOSYS, "vf-count-no-driver",
	  "the PF's driver cannot make VFs, or the kernel was built without CONFIG_PCI_IOV",
	  "bind the PF to its own driver; see /boot/config-* for CONFIG_PCI_IOV" },
	{ EOPNOTSUPP, "vf-count-unsupported",
	  "SR-IOV is switched off in the device's own stored configuration, or the driver's mode excludes it",
	  "switch it on with the vendor's tool (such as mlxconfig SRIOV_EN=1 NUM_OF_VFS=N), then reset the device" },
	{ EIO, "vf-count-io",
	  "the device's SR-IOV capability is inconsistent (no initial VFs) or the device does not answer",
	  "update the device's firmware; switch SR-IOV on in the firmware's set-up; dmesg" },
	{ EAGAIN, "vf-count-again", "the PF's driver is resetting the device", "try again" },
	{ ETIMEDOUT, "vf-count-timeout", "the device's firmware did not answer the PF's driver",
	  "dmesg; reset the PF or power the host off and on" },
	{ EROFS, "vf-count-read-only", "/sys is mounted read-only, as in most containers",
	  "run viaductd on the host, or mount /sys writable for it" },
	{ 0, "vf-count-failed", "the kernel gives no reason", "dmesg" },
};

const struct numvfs_cause *numvfs_cause_find(int errnum)
{
	size_t i = 0;

	while (causes[i].errnum != 0 && causes[i].errnum != errnum)
		i++;
	return &causes[i];
}

/* What the PF's driver link says beats the table's guess for ENOENT. */
static int cause_set(const struct sysfs *sys, const struct pci_addr *pf, unsigned n, int errnum,
		     struct err *e)
{
	const struct numvfs_cause *c = numvfs_cause_find(errnum);
	const char *cause = c->cause;
	char driver[64], text[160];
	int r;

	if (errnum == ENOENT && sysfs_fn_link(sys, pf, "driver", driver, sizeof(driver)) < 0) {
		cause = "the PF has no driver";
	} else if (errnum == ENOENT) {
		snprintf(text, sizeof(text), "the PF's driver %s cannot make VFs", driver);
		cause = text;
	}
	r = err_set(e, errnum, "set the number of VFs to %u: %s (%s)", n, cause, strerror(errnum));
	err_code(e, c->code);
	err_hint(e, "%s", c->remedy);
	return r;
}

static int numvfs_write(const struct sysfs *sys, const struct pci_addr *pf, unsigned n,
			struct err *e)
{
	char text[16];
	int r;

	snprintf(text, sizeof(text), "%u", n);
	r = sysfs_fn_write(sys, pf, "sriov_numvfs", text);
	return r < 0 ? cause_set(sys, pf, n, -r, e) : 0;
}

static int numvfs_read(const struct sysfs *sys, const struct pci_addr *pf, unsigned *out,
		       struct err *e)
{
	uint64_t v;
	int r = sysfs_fn_read_u64(sys, pf, "sriov_numvfs", UINT16_MAX, &v);

	if (r < 0)
		return err_set(e, r, "read sriov_numvfs: %s", strerror(-r));
	*out = (unsigned)v;
	return 0;
}

/* NULL if VF `index` is complete, else what it lacks. */
static const char *vf_lack(const struct sysfs *sys, const struct pci_addr *pf, unsigned index,
			   bool need_group)
{
	char attr[24], text[64];
	struct pci_addr vf;

	snprintf(attr, sizeof(attr), "virtfn%u", index);
	if (sysfs_fn_link(sys, pf, attr, text, sizeof(text)) < 0 || parse_pci_addr(text, &vf) < 0)
		return "the kernel made no function for it";
	if (fn_probe_config(sys, &vf) < 0)
		return "its configuration space does not answer";
	if (need_group && sysfs_fn_link(sys, &vf, "iommu_group", text, sizeof(text)) < 0)
		return "it is in no IOMMU group";
	return NULL;
}

static int wait_all(const struct sysfs *sys, const struct pci_addr *pf, unsigned n,
		    uint64_t deadline_ns, struct err *e)
{
	char group[32];
	const bool need_group = sysfs_fn_link(sys, pf, "iommu_group", group, sizeof(group)) == 0;
	const struct timespec pause = { .tv_nsec = POLL_NS };
	unsigned index = 0, there = 0;
	const char *lack = NULL;
	int r;

	for (;;) {
		while (index < n && (lack = vf_lack(sys, pf, index, need_group)) == NULL)
			index++;
		if (index == n)
			return 0;
		if (now_ns() >= deadline_ns)
			break;
		nanosleep(&pause, NULL);
	}
	for (unsigned i = 0; i < n; i++)
		there += vf_lack(sys, pf, i, need_group) == NULL;
	r = err_set(e, ETIMEDOUT, "VF %u did not come up: %s (%u of %u did)", index, lack, there,
		    n);
	err_code(e, "vf-missing");
	err_hint(e, "dmesg shows what the kernel and the PF's driver say; try fewer VFs");
	return r;
}

/* Up from 0 to n; verified. */
static int vfs_make(const struct sysfs *sys, const struct pci_addr *pf, unsigned n,
		    uint64_t deadline_ns, struct err *e)
{
	unsigned have;
	int r = numvfs_write(sys, pf, n, e);

	if (r < 0)
		return r;
	r = wait_all(sys, pf, n, deadline_ns, e);
	if (r < 0)
		return r;
	r = numvfs_read(sys, pf, &have, e);
	if (r < 0)
		return r;
	if (have != n) {
		r = err_set(e, EIO, "asked for %u VFs, the kernel says there are %u", n, have);
		err_code(e, "vf-count-short");
		err_hint(e, "somebody else may be writing sriov_numvfs; dmesg");
	}
	return r;
}

/* Drivers of the host must not take the new VFs. *former: what it was, for the way back. */
static int autoprobe_off(const struct sysfs *sys, const struct pci_addr *pf, uint64_t *former,
			 struct err *e)
{
	int r = sysfs_fn_read_u64(sys, pf, "sriov_drivers_autoprobe", 1, former);

	if (r < 0)
		return err_set(e, r, "read sriov_drivers_autoprobe: %s", strerror(-r));
	if (*former == 0)
		return 0;
	r = sysfs_fn_write(sys, pf, "sriov_drivers_autoprobe", "0");
	if (r < 0)
		return err_set(e, r, "switch sriov_drivers_autoprobe off: %s", strerror(-r));
	return 0;
}

int sriov_autoprobe_off(const struct sysfs *sys, const struct pci_addr *pf, struct err *e)
{
	uint64_t former;

	return autoprobe_off(sys, pf, &former, e);
}

static int count_check(const struct sysfs *sys, const struct pci_addr *pf, unsigned n,
		       struct err *e)
{
	uint64_t total;
	int r = sysfs_fn_read_u64(sys, pf, "sriov_totalvfs", UINT16_MAX, &total);

	if (r == -ENOENT) {
		r = err_set(e, EINVAL, "the function has no SR-IOV");
		err_code(e, "no-sriov");
		err_hint(e, "viaduct pf list   shows the functions that have SR-IOV");
		return r;
	}
	if (r < 0)
		return err_set(e, r, "read sriov_totalvfs: %s", strerror(-r));
	if (n > total) {
		r = err_set(e, ERANGE, "%u VFs asked for, the PF can have %u", n, (unsigned)total);
		err_code(e, numvfs_cause_find(ERANGE)->code);
		err_hint(e, "ask for at most %u", (unsigned)total);
		return r;
	}
	return 0;
}

int sriov_vfs_set(const struct sysfs *sys, const struct pci_addr *pf, uint16_t n,
		  uint64_t deadline_ns, struct err *e)
{
	uint64_t autoprobe = 0;
	unsigned have;
	int r = count_check(sys, pf, n, e);

	if (r < 0)
		return r;
	r = numvfs_read(sys, pf, &have, e);
	if (r < 0)
		return r;
	if (n > 0) {
		r = autoprobe_off(sys, pf, &autoprobe, e);
		if (r < 0)
			return r;
	}
	/* As many as wanted, and whole: nobody needs to lose one. */
	if (have == n && wait_all(sys, pf, n, 0, NULL) == 0)
		return 0;
	if (have != 0) {
		r = numvfs_write(sys, pf, 0, e);
		if (r < 0)
			return r;
	}
	if (n == 0)
		return 0;
	r = vfs_make(sys, pf, n, deadline_ns, e);
	if (r < 0) {
		/* Some are worse than none; the first error is the one to tell. */
		if (numvfs_read(sys, pf, &have, NULL) == 0 && have != 0)
			(void)numvfs_write(sys, pf, 0, NULL);
		if (autoprobe != 0)
			(void)sysfs_fn_write(sys, pf, "sriov_drivers_autoprobe", "1");
	}
	return r;
}

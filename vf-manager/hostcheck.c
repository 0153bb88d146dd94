// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/hostcheck.h"

#include "vf-manager/dmachoice.h"
#include "vf-manager/hostkvm.h"
#include "vf-manager/hugepools.h"
#include "vf-manager/pool.h"
#include "vf-manager/posture.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"
#include "iommu/vtd_regs.h"
#include "sriov/bind.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define NODES_MAX 64

static void result(struct check_result *out, enum check_status status, const char *remedy)
{
	out->status = status;
	snprintf(out->remedy, sizeof(out->remedy), "%s", status == CHECK_PASS ? "" : remedy);
}

static void check_kvm(const struct check_input *in, struct check_result *out)
{
	snprintf(out->detail, sizeof(out->detail), "%s", in->kvm_detail);
	result(out,
	       in->kvm_is_usable  ? CHECK_PASS
	       : in->kvm_is_known ? CHECK_FAIL
				  : CHECK_WARN,
	       "switch virtualization (VT-x, SVM) on in the firmware set-up, then modprobe kvm_intel "
	       "or kvm_amd; in a VM, switch nested virtualization on");
}

static void check_iommu(const struct check_input *in, struct check_result *out)
{
	bool is_on = in->has_iommu && in->iommu.dma_remapping == IOMMU_ON;

	snprintf(out->detail, sizeof(out->detail), "%s, %u units, %u groups",
		 in->has_iommu ? in->iommu.kind : "not known", in->iommu.units, in->iommu.groups);
	result(out, is_on ? CHECK_PASS : CHECK_FAIL,
	       "switch VT-d or AMD-Vi on in the firmware set-up, boot with intel_iommu=on (Intel; AMD "
	       "needs none)");
}

static void check_intremap(const struct check_input *in, struct check_result *out)
{
	enum iommu_tristate on = in->has_iommu ? in->iommu.interrupt_remapping : IOMMU_UNKNOWN;

	snprintf(out->detail, sizeof(out->detail), "%s (%s)",
		 on == IOMMU_ON	   ? "on"
		 : on == IOMMU_OFF ? "off: a guest could send any interrupt to the host"
				   : "not known",
		 in->iommu.evidence);
	result(out, on == IOMMU_ON ? CHECK_PASS : CHECK_FAIL,
	       "switch interrupt remapping (and x2APIC) on in the firmware set-up; boot without "
	       "intremap=off and nointremap; a machine without it cannot isolate guests");
}

static void check_unsafe(const struct check_input *in, struct check_result *out)
{
	bool of_type1 = in->has_iommu && in->iommu.unsafe_interrupts_allowed;
	bool of_iommufd = in->has_iommu && in->iommu.iommufd_unsafe_allowed;
	bool is_set = of_type1 || of_iommufd;

	snprintf(out->detail, sizeof(out->detail), "allow_unsafe_interrupts is %s%s",
		 is_set ? "set; viaduct does not honour it" : "not set",
		 of_type1     ? ""
		 : of_iommufd ? " (iommufd's)"
			      : "");
	result(out, is_set ? CHECK_WARN : CHECK_PASS,
	       "remove allow_unsafe_interrupts from /etc/modprobe.d and the kernel command line");
}

static void check_vfio(const struct check_input *in, struct check_result *out)
{
	bool is_there = in->has_iommu && in->iommu.vfio_driver_loaded;

	snprintf(out->detail, sizeof(out->detail), "the driver vfio-pci is %s",
		 is_there ? "loaded" : "not loaded");
	result(out, is_there ? CHECK_PASS : CHECK_FAIL,
	       "modprobe vfio-pci; echo vfio-pci > /etc/modules-load.d/viaduct.conf");
}

static void check_vsock(const struct check_input *in, struct check_result *out)
{
	bool is_there = priv_vsock_is_there(in->d);

	snprintf(out->detail, sizeof(out->detail), "the kernel's vsock device is %s",
		 is_there ? "there" : "not there: no VM can have a vsock");
	result(out, is_there ? CHECK_PASS : CHECK_WARN,
	       "modprobe vhost_vsock; echo vhost_vsock > /etc/modules-load.d/viaduct-vsock.conf");
}

static void check_dma(const struct check_input *in, struct check_result *out)
{
	bool is_well = dma_foresee(in->d, out->detail, sizeof(out->detail));

	result(out, is_well ? CHECK_PASS : CHECK_FAIL,
	       "dma: auto in viaductd.yaml; or modprobe iommufd, in a kernel with CONFIG_IOMMUFD and "
	       "CONFIG_VFIO_DEVICE_CDEV");
}

static void check_pfs(const struct check_input *in, struct check_result *out)
{
	unsigned int pfs = 0, vfs = 0, unused = 0;

	for (size_t i = 0; i < inventory_count(in->d->inv); i++) {
		const struct pci_fn *fn = inventory_at(in->d->inv, i);

		if (!fn->is_pf)
			continue;
		pfs++;
		vfs += fn->num_vfs;
		unused += pool_pf_free(in->d, fn);
	}
	snprintf(out->detail, sizeof(out->detail), "%u PFs, %u VFs, %u of them free", pfs, vfs,
		 unused);
	if (pfs == 0)
		result(out, CHECK_WARN,
		       "switch SR-IOV on in the firmware set-up and in the card's own; the card's PF "
		       "needs its kernel driver");
	else
		result(out, unused > 0 ? CHECK_PASS : CHECK_WARN,
		       "viaduct pf apply PF --vfs N   creates VFs");
}

static void check_groups(const struct check_input *in, struct check_result *out)
{
	unsigned int vfs = 0, shared = 0, without = 0;

	for (size_t i = 0; i < inventory_count(in->d->inv); i++) {
		const struct pci_fn *vf = inventory_at(in->d->inv, i);
		bool is_shared = false;

		if (!vf->is_vf)
			continue;
		vfs++;
		without += vf->iommu_group < 0;
		for (size_t k = 0; vf->iommu_group >= 0 && k < inventory_count(in->d->inv); k++)
			is_shared |= k != i &&
				     inventory_at(in->d->inv, k)->iommu_group == vf->iommu_group;
		shared += is_shared;
	}
	snprintf(out->detail, sizeof(out->detail), "%u VFs: %u share a group, %u have none", vfs,
		 shared, without);
	result(out, shared + without == 0 ? CHECK_PASS : CHECK_WARN,
	       "a VF that shares its group cannot be given away alone: use a slot whose root port "
	       "has ACS; without groups the IOMMU is off");
}

static void check_units(const struct check_input *in, struct check_result *out)
{
	const struct iommu_units *units = &in->posture->units;
	size_t len = 0;

	for (size_t i = 0; i < units->count && len < sizeof(out->detail); i++) {
		const struct iommu_unit *u = &units->units[i];

		len += (size_t)snprintf(
			out->detail + len, sizeof(out->detail) - len,
			u->has_registers ? "%s%s: %u bits, %sposted interrupts, %ssnoop control"
					 : "%s%s",
			len > 0 ? "; " : "", u->name, vtd_address_bits(u->cap),
			VTD_CAP_PI(u->cap) ? "" : "no ", VTD_ECAP_SC(u->ecap) ? "" : "no ");
	}
	if (units->count == 0)
		snprintf(out->detail, sizeof(out->detail), "none");
	result(out, units->count > 0 ? CHECK_PASS : CHECK_WARN,
	       "viaduct iommu list   shows what the kernel drives; /sys/class/iommu is empty");
}

static void check_virtualization(const struct check_input *in, struct check_result *out)
{
	const struct posture_cpu *c = &in->posture->cpu;

	snprintf(out->detail, sizeof(out->detail), "%s", c->text);
	result(out, c->has_nested_paging ? CHECK_PASS : CHECK_WARN,
	       "without EPT or NPT guests are slow: switch it on in the firmware set-up, "
	       "modprobe kvm_intel ept=1 or kvm_amd npt=1");
}

/* VFs of a PF share its path and its unit: the first one speaks for all. */
static void check_isolated(const struct check_input *in, struct check_result *out)
{
	unsigned int seen = 0, isolated = 0;
	char first[160] = "";

	for (size_t i = 0; i < inventory_count(in->d->inv); i++) {
		const struct pci_fn *pf = inventory_at(in->d->inv, i);
		const struct pci_fn *fn = pf->num_vfs > 0 ? pf->vfs[0] : pf;
		auto_json json_t *p = NULL;
		const char *code;

		if (!pf->is_pf || fn == NULL)
			continue;
		p = posture_short(in->posture, fn);
		seen++;
		if (strcmp(json_string_value(json_object_get(p, "verdict")), "isolated") == 0) {
			isolated++;
			continue;
		}
		code = json_string_value(json_object_get(p, "code"));
		if (first[0] == '\0')
			snprintf(first, sizeof(first), ": %s is %s (%s)", fn->name,
				 json_string_value(json_object_get(p, "verdict")),
				 code != NULL ? code : "unknown");
	}
	snprintf(out->detail, sizeof(out->detail), "of %u PFs the VFs of %u are isolated%s", seen,
		 isolated, first);
	result(out, seen == isolated ? CHECK_PASS : CHECK_WARN,
	       "viaduct iommu group FUNCTION   shows each check with its evidence (as root)");
}

static uint64_t node_pages(unsigned int node, const char *size, const char *what)
{
	char path[128], text[32];
	uint64_t n = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/hugepages/hugepages-%s/%s",
		 node, size, what);
	if (file_read_at(AT_FDCWD, path, text, sizeof(text)) >= 0)
		parse_u64(text, UINT64_MAX, &n);
	return n;
}

/* The first pool of viaductd.yaml's that has too few. */
static bool wanted_are_short(const struct daemon *d, struct check_result *out)
{
	char text[160], cmdline[128];

	for (unsigned int i = 0; i < d->config.hugepages_count; i++) {
		const struct config_hugepages *pool = &d->config.hugepages[i];

		if (!hugepool_is_short(d, pool, text, sizeof(text)))
			continue;
		out->status = CHECK_WARN;
		snprintf(out->detail, sizeof(out->detail), "%s", text);
		snprintf(out->remedy, sizeof(out->remedy),
			 "free memory and restart viaductd, or boot the host with %s",
			 hugepools_cmdline(&d->config, pool->page_bytes, cmdline, sizeof(cmdline)));
		return true;
	}
	return false;
}

static void check_hugepages(const struct check_input *in, struct check_result *out)
{
	unsigned long long total = 0;
	size_t len = 0;

	for (unsigned int node = 0; node < NODES_MAX; node++) {
		unsigned long long m2 = node_pages(node, "2048kB", "nr_hugepages");
		unsigned long long g1 = node_pages(node, "1048576kB", "nr_hugepages");

		if (m2 + g1 == 0 || len >= sizeof(out->detail))
			continue;
		total += m2 + g1;
		len += (size_t)snprintf(
			out->detail + len, sizeof(out->detail) - len,
			"%snode %u: %llu of %llu x 2M and %llu of %llu x 1G free",
			len > 0 ? "; " : "", node,
			(unsigned long long)node_pages(node, "2048kB", "free_hugepages"), m2,
			(unsigned long long)node_pages(node, "1048576kB", "free_hugepages"), g1);
	}
	if (total == 0)
		snprintf(out->detail, sizeof(out->detail), "none");
	if (wanted_are_short(in->d, out))
		return;
	result(out, total > 0 ? CHECK_PASS : CHECK_WARN,
	       "VMs with `hugepages` need them: echo N > /sys/kernel/mm/hugepages/"
	       "hugepages-2048kB/nr_hugepages, or boot with default_hugepagesz=1G hugepages=N");
}

static void check_memlock(const struct check_input *in, struct check_result *out)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (in->d->is_root)
		snprintf(out->detail, sizeof(out->detail),
			 "the daemon raises each VM's limit to its own need");
	else if (limit.rlim_max == RLIM_INFINITY)
		snprintf(out->detail, sizeof(out->detail), "unlimited");
	else
		snprintf(out->detail, sizeof(out->detail),
			 "%llu KiB for this user; viaductd as root raises each VM's limit",
			 (unsigned long long)limit.rlim_max >> 10);
	result(out, CHECK_PASS, "");
}

static void check_lockdown(const struct check_input *in, struct check_result *out)
{
	char text[96] = "";
	bool is_none;

	if (file_read_at(AT_FDCWD, "/sys/kernel/security/lockdown", text, sizeof(text)) < 0)
		snprintf(text, sizeof(text), "none (or not readable)");
	is_none = strstr(text, "[none]") != NULL || strncmp(text, "none (", 6) == 0;
	snprintf(out->detail, sizeof(out->detail), "%s", text);
	result(out, is_none ? CHECK_PASS : CHECK_WARN,
	       "VMs and VFs work; reading the IOMMU's tables for an audit does not, until Secure Boot "
	       "or lockdown= is off");
}

static void check_isolation(const struct check_input *in, struct check_result *out)
{
	char text[128] = "";

	file_read_at(AT_FDCWD, "/sys/devices/system/cpu/isolated", text, sizeof(text));
	snprintf(out->detail, sizeof(out->detail), "isolated CPUs: %s",
		 text[0] != '\0' ? text : "none");
	result(out, text[0] != '\0' ? CHECK_PASS : CHECK_WARN,
	       "for steady latency keep the host off the VMs' CPUs: boot with isolcpus=LIST "
	       "nohz_full=LIST rcu_nocbs=LIST and pin vCPUs to them");
}

const struct check_row host_checks[] = {
	{ "kvm", "KVM runs a virtual CPU", check_kvm },
	{ "iommu", "DMA remapping (IOMMU)", check_iommu },
	{ "interrupt-remapping", "Interrupt remapping", check_intremap },
	{ "unsafe-interrupts", "No override of interrupt isolation", check_unsafe },
	{ "vfio", "VFIO driver", check_vfio },
	{ "dma", "Interface of VMs' DMA", check_dma },
	{ "pfs", "PFs and free VFs", check_pfs },
	{ "groups", "Each VF in an IOMMU group of its own", check_groups },
	{ "iommu-units", "Remapping units", check_units },
	{ "isolation", "Isolation of PFs' VFs", check_isolated },
	{ "virtualization", "CPU virtualization", check_virtualization },
	{ "hugepages", "Hugepages for each NUMA node", check_hugepages },
	{ "memlock", "Memory that VMs may pin", check_memlock },
	{ "vsock", "Sockets between VMs and host", check_vsock },
	{ "lockdown", "Kernel lockdown", check_lockdown },
	{ "cpu-isolation", "CPUs kept free for VMs", check_isolation },
	{ "backend-program", "Polled engine", check_backend_program },
	{ "backend-cores", "CPUs that poll", check_backend_cores },
	{ "backend-memory", "Packet memory", check_backend_memory },
};
const size_t host_check_count = ARRAY_SIZE(host_checks);

static const char *const status_names[] = {
	[CHECK_PASS] = "pass", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail"
};

json_t *host_check(struct daemon *d)
{
	struct posture_host *posture = posture_host_read(d);
	struct check_input in = { .d = d, .posture = posture };
	unsigned int counts[ARRAY_SIZE(status_names)] = { 0 };
	json_t *checks = json_array(), *reply;

	in.has_iommu = host_iommu_read(d, &in.iommu, NULL) == 0;
	in.kvm_is_known = host_kvm_check(d, &in.kvm_is_usable, in.kvm_detail);
	state_lock(d);
	daemon_scan(d, NULL);
	for (size_t i = 0; i < host_check_count; i++) {
		struct check_result r = { .status = CHECK_PASS };

		if (posture != NULL)
			host_checks[i].run(&in, &r);
		else
			r.status = CHECK_FAIL;
		counts[r.status]++;
		json_array_append_new(checks,
				      json_pack("{s:s, s:s, s:s, s:s, s:s}", "id",
						host_checks[i].id, "title", host_checks[i].title,
						"status", status_names[r.status], "detail",
						r.detail, "remedy", r.remedy));
	}
	state_unlock(d);
	posture_host_free(posture);
	reply = json_pack("{s:o, s:i, s:i, s:i}", "checks", checks, "pass", (int)counts[CHECK_PASS],
			  "warn", (int)counts[CHECK_WARN], "fail", (int)counts[CHECK_FAIL]);
	host_cpu_describe(in.has_iommu ? in.iommu.kind : "none", reply);
	return reply;
}

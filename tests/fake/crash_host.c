// SPDX-License-Identifier: BSD-3-Clause
#include "tests/fake/crash_host.h"

#include "tests/fake/crash_sweep.h"
#include "tests/fake/rtnl_peer.h"
#include "tests/fake/sysfs_tree.h"

#include "base/fd.h"
#include "vf-manager/adopt.h"
#include "vf-manager/vm.h"
#include "vf-manager/vmm_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above first. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define FN	   "bus/pci/devices/"
#define DUMP_BYTES 8192
#define MASTER	   4 /* of the command register */

const struct pci_addr host_pf = { .bus = 1 };

/* Shared with the process that dies. */
static struct rtnl_peer *peer;
static bool *is_quarantined;

static struct options opt;
static bool may_be_foreign;
static char state_dir[128], run_dir[128], config_path[128];

int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e);

/* Nobody holds a group: whoever did is dead. */
int __wrap_vfio_group_open(uint32_t nr, int *fd, struct err *e)
{
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *fd < 0 ? err_set(e, errno, "group %u: %s", nr, strerror(errno)) : 0;
}

int __wrap_vmm_call_port(const struct daemon *d, const struct vmm_peer *vmm, const char *op,
			 const char *port, struct err *e);

int __wrap_vmm_call_port(const struct daemon *d, const struct vmm_peer *vmm, const char *op,
			 const char *port, struct err *e)
{
	crash_point(op, false);
	assert_string_equal(port, "wan");
	*is_quarantined = strcmp(op, "quarantine") == 0;
	crash_point(op, true);
	return 0;
}

bool host_is_quarantined(void)
{
	return *is_quarantined;
}

void host_pf_driver(const char *driver)
{
	tree_driver(driver, HOST_PF);
}

void host_must(int r, const struct err *e)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", crash_where(), e->text);
	abort();
}

static void vf_path(char buf[128], unsigned int vf, const char *attr)
{
	snprintf(buf, 128, FN "0000:01:10.%u/%s", vf, attr);
}

static uint16_t *config_map(unsigned int vf)
{
	char path[256], name[128];
	uint8_t *config;
	int fd;

	vf_path(name, vf, "config");
	snprintf(path, sizeof(path), "%s/%s", tree.root, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	config = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(config != MAP_FAILED);
	fd_close(&fd);
	return (uint16_t *)config + 2;
}

static uint16_t command_change(unsigned int vf, uint16_t clear, uint16_t set)
{
	uint16_t *command = config_map(vf);

	*command = (uint16_t)((*command & ~clear) | set);
	clear = *command;
	munmap((uint8_t *)command - 4, 4096);
	return clear;
}

void host_guest_runs(unsigned int vf)
{
	command_change(vf, 0, MASTER);
}

bool host_master(unsigned int vf)
{
	return (command_change(vf, 0, 0) & MASTER) != 0;
}

void host_vf_driver(unsigned int vf, const char *driver)
{
	char name[PCI_ADDR_TEXT];

	snprintf(name, sizeof(name), "0000:01:10.%u", vf);
	tree_driver(driver, name);
}

/* New VFs: what the PF's driver had for others before them is gone. */
static void vfs_born(unsigned int vfs)
{
	char path[128];

	peer->vf_count = peer->shown = vfs;
	for (unsigned int i = 0; i < PEER_VFS; i++)
		peer->vfs[i] = vf_attrs_default;
	for (unsigned int i = 0; i < vfs; i++) {
		vf_path(path, i, "reset_method");
		tree_file(path, "flr\n");
		command_change(i, MASTER, 0);
	}
}

static void written(const char *path, const char *text, bool is_done)
{
	char what[112];

	if (is_done && strcmp(path, FN HOST_PF "/sriov_numvfs") == 0)
		vfs_born((unsigned int)atoi(text));
	snprintf(what, sizeof(what), "%s=%.10s", path, *text == '\n' ? "-" : text);
	crash_point(what, is_done);
}

void host_remove(void)
{
	if (peer == NULL)
		return;
	tree_remove();
	munmap(peer, sizeof(*peer));
	munmap(is_quarantined, sizeof(*is_quarantined));
	peer = NULL;
}

void host_make(void)
{
	host_remove();
	peer = mmap(NULL, sizeof(*peer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(peer != MAP_FAILED);
	is_quarantined = mmap(NULL, sizeof(*is_quarantined), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true((void *)is_quarantined != MAP_FAILED);
	tree_make();
	tree_fn(HOST_PF, 0x808610c9, 0x020000, 1);
	tree_pf(HOST_PF, 7);
	tree_netdev(HOST_PF, "pf0", 3);
	tree_driver("igb", HOST_PF);
	tree_driver("vfio-pci", NULL);
	tree.on_write = written;
	snprintf(state_dir, sizeof(state_dir), "%s/state", tree.root);
	snprintf(run_dir, sizeof(run_dir), "%s/run", tree.root);
	snprintf(config_path, sizeof(config_path), "%s/none.yaml", tree.root);
	opt = (struct options){ .run_dir = run_dir,
				.state_dir = state_dir,
				.config = config_path,
				.sysfs_root = tree.root,
				.dev_dir = tree.root,
				.proc_dir = "/proc" };
}

struct daemon *host_up(void)
{
	struct daemon *d = NULL;
	struct err e = { 0 };

	host_must(daemon_create(&opt, &d, &e), &e);
	rtnl_destroy(d->nl);
	rtnl_peer_resume(peer);
	d->nl = peer->nl;
	d->is_root = false; /* VMs here have neither uid nor cgroup */
	crash_watch(d->nl->fd);
	return d;
}

void host_down(struct daemon *d)
{
	d->nl = NULL;
	daemon_destroy(d);
	rtnl_peer_stop(peer);
}

void host_recover(struct daemon *d)
{
	struct err e = { 0 };

	host_must(daemon_reconcile(d, &e), &e);
}

void host_may_be_foreign(bool may_be)
{
	may_be_foreign = may_be;
}

unsigned int host_vf_count(void)
{
	return peer->vf_count;
}

void host_vfs_write(unsigned int vfs)
{
	char text[8];
	struct sysfs sys;
	struct err e = { 0 };

	snprintf(text, sizeof(text), "%u", vfs);
	host_must(sysfs_open(&sys, tree.root, &e), &e);
	assert_int_equal(sysfs_fn_write(&sys, &host_pf, "sriov_numvfs", "0"), 0);
	assert_int_equal(sysfs_fn_write(&sys, &host_pf, "sriov_numvfs", text), 0);
	sysfs_close(&sys);
}

/* As a start leaves it in the ledger; the one that is alive is the process that outlives the crash. */
void host_vm_add(struct daemon *d, bool is_alive)
{
	struct vm *vm = NULL;
	struct err e = { 0 };

	host_must(vm_create(HOST_VM, &vm, &e), &e);
	memcpy(vm->boot_id, d->boot_id, sizeof(vm->boot_id));
	vm->yaml = strdup("name: " HOST_VM "\n");
	vm->uid = geteuid();
	json_object_set_new(vm->facts, "ports",
			    json_pack("[{s:s, s:s}]", "name", "wan", "vf", "0000:01:10.0"));
	vm->state = is_alive ? VM_RUNNING : VM_STARTING;
	if (is_alive) {
		vm->pid = getppid();
		host_must(process_start_ticks(vm->pid, &vm->start_ticks), &e);
	}
	state_lock(d);
	host_must(vm_add(d, vm, NULL, &e), &e);
	host_must(vm_save(d, vm, &e), &e);
	state_unlock(d);
}

void host_attrs_stick(uint32_t attrs)
{
	peer->ignored = attrs;
}

void host_attrs_refuse(uint32_t unsupported, uint32_t refused)
{
	peer->unsupported = unsupported;
	peer->refused = refused;
}

void host_attrs_lose(unsigned int vf)
{
	peer->vfs[vf] = vf_attrs_default;
}

struct vf_attrs host_attrs(unsigned int vf)
{
	return peer->vfs[vf];
}

const struct vf_row *host_row(struct daemon *d, unsigned int vf)
{
	return ledger_vf_find(d->ledger, &host_pf, (uint16_t)vf);
}

/* What a VF that no VM has looks like, with the attributes of its lease or of none. */
static void rest_check(struct daemon *d, const struct pci_fn *vf, const struct vf_attrs *lease)
{
	struct vf_attrs want = vf_attrs_default, now = host_attrs(vf->vf_index);
	char override[64] = "";

	if (lease != NULL)
		vf_attrs_overlay(&want, lease);
	sysfs_fn_read(inventory_sysfs(d->inv), &vf->addr, "driver_override", override,
		      sizeof(override));
	if (vf->driver[0] != '\0' || (override[0] != '\0' && strcmp(override, "(null)") != 0))
		fail_msg("%s: VF %u: driver '%s', override '%s'", crash_where(), vf->vf_index,
			 vf->driver, override);
	if (vf_attrs_difference(VF_ATTRS_ALL, &want, &now) != 0)
		fail_msg("%s: VF %u: attributes %x are not the %s's", crash_where(), vf->vf_index,
			 vf_attrs_difference(VF_ATTRS_ALL, &want, &now),
			 lease != NULL ? "lease" : "default");
	if (host_master(vf->vf_index))
		fail_msg("%s: VF %u: bus mastering is on", crash_where(), vf->vf_index);
}

static bool is_proven_dirty(struct daemon *d, const struct vf_row *row)
{
	struct ledger_scrub proof;
	struct err e = { 0 };

	if (ledger_scrub_get(d->ledger, &row->pf, row->index, &proof, &e) < 0)
		return false;
	json_decref(proof.steps);
	return !proof.is_clean;
}

static void vf_check(struct daemon *d, const struct pci_fn *vf)
{
	const struct vf_row *row = host_row(d, vf->vf_index);
	const enum vf_state state = pool_vf_state(d, vf, NULL);

	if (state == VF_FOREIGN && may_be_foreign)
		return;
	if (state == VF_FREE) {
		if (row != NULL && (row->lease[0] != '\0' || row->owner[0] != '\0'))
			fail_msg("%s: VF %u is free and had: '%s' '%s'", crash_where(),
				 vf->vf_index, row->lease, row->owner);
		rest_check(d, vf, NULL);
		return;
	}
	assert_non_null(row);
	if (state == VF_QUARANTINED && row->lease[0] == '\0' && row->owner[0] == '\0' &&
	    is_proven_dirty(d, row))
		return;
	if (state == VF_LEASED && row->lease[0] != '\0' && row->owner[0] == '\0')
		rest_check(d, vf, &row->attrs);
	else if (state != VF_ASSIGNED || strcmp(vf->driver, "vfio-pci") != 0 ||
		 !pool_owner_lives(d, row->owner))
		fail_msg("%s: VF %u is %s, lease '%s', owner '%s', driver '%s'", crash_where(),
			 vf->vf_index, vf_state_text(state), row->lease, row->owner, vf->driver);
}

/* State locked, just scanned. */
static void agree_check(struct daemon *d)
{
	const struct pci_fn *pf = inventory_find(d->inv, &host_pf);

	assert_non_null(pf);
	assert_int_equal(ledger_intent_count(d->ledger), 0);
	if (pf->num_vfs > 0 && !pool_pf_is_ours(d, pf) && !may_be_foreign)
		fail_msg("%s: the %u VFs are foreign", crash_where(), pf->num_vfs);
	for (unsigned int i = 0; i < pf->num_vfs; i++) {
		assert_non_null(pf->vfs[i]);
		vf_check(d, pf->vfs[i]);
	}
	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *row = ledger_vf_at(d->ledger, i);

		if (row->index >= pf->num_vfs && row->state != VF_FREE)
			fail_msg("%s: VF %u is %s and not there", crash_where(), row->index,
				 vf_state_text(row->state));
	}
}

/* Both sides as text. */
static void dump(struct daemon *d, char out[DUMP_BYTES])
{
	const struct pci_fn *pf = inventory_find(d->inv, &host_pf);
	const struct pf_row *row = ledger_pf_find(d->ledger, &host_pf);
	int len = snprintf(out, DUMP_BYTES, "%u %u %u\n", pf->num_vfs, peer->up,
			   row != NULL ? row->vfs : 0);

	for (size_t i = 0; i < ledger_vf_count(d->ledger); i++) {
		const struct vf_row *vf = ledger_vf_at(d->ledger, i);

		len += snprintf(out + len, DUMP_BYTES - (size_t)len,
				"%u %u %s %s %lu %lu %x %u %x %u\n", vf->index, vf->state,
				vf->lease, vf->owner, vf->generation, vf->birth, vf->attrs.mask,
				vf->attrs.vlan, vf->in_force.mask, vf->in_force.vlan);
	}
	for (unsigned int i = 0; i < pf->num_vfs; i++)
		len += snprintf(out + len, DUMP_BYTES - (size_t)len, "%lu %s %u\n",
				pf->vfs[i]->birth, pf->vfs[i]->driver, peer->vfs[i].vlan);
}

void host_check(struct daemon **d)
{
	static char first[DUMP_BYTES], second[DUMP_BYTES];
	char *const dumps[] = { first, second };
	struct err e = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(dumps); i++) {
		if (i > 0) {
			host_down(*d);
			*d = host_up();
			host_recover(*d);
		}
		state_lock(*d);
		assert_int_equal(daemon_scan(*d, &e), 0);
		agree_check(*d);
		dump(*d, dumps[i]);
		state_unlock(*d);
	}
	if (strcmp(first, second) != 0)
		fail_msg("%s: a second recovery changed\n%sinto\n%s", crash_where(), first, second);
}

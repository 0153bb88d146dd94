// SPDX-License-Identifier: BSD-3-Clause
/*
 * A viaduct-vmm that runs no VM but tests one VF: what it gets is what a VM gets (a uid, namespaces, limits, KVM, a VFIO
 * container and group) and what the kernel counts of interrupts. It is killed when it takes too long.
 */
#include "vf-manager/peer.h"
#include "vf-manager/privops.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"
#include "sriov/bind.h"
#include "vmm/vmm_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS     15000
#define MEMLOCK_BYTES MIB(256)

struct tester {
	int kvm, container, group, interrupts, sock;
	pid_t pid;
};

static void tester_close(struct tester *t)
{
	fd_close(&t->kvm);
	fd_close(&t->container);
	fd_close(&t->group);
	fd_close(&t->interrupts);
	fd_close(&t->sock);
}

static int tester_open(struct daemon *d, const struct pci_addr *vf, struct tester *t, struct err *e)
{
	char path[PATH_MAX];
	int r = priv_kvm_open(d, &t->kvm, e);

	if (r == 0)
		r = priv_container_open(d, &t->container, e);
	if (r == 0)
		r = priv_group_open(d, vf, &t->group, e);
	if (r < 0)
		return r;
	/* Without it nothing is said of who delivers the interrupts. */
	snprintf(path, sizeof(path), "%s/interrupts", d->opt->proc_dir);
	t->interrupts = open(path, O_RDONLY | O_CLOEXEC);
	return 0;
}

static int tester_spawn(struct daemon *d, uid_t uid, struct tester *t, struct err *e)
{
	/* What it has to say, it says in its reply: the daemon's log is not its to write. */
	auto_fd int theirs = -1, pidfd = -1, log = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct spawn_wish wish = { .uid = uid,
				   .log = log,
				   .listener = -1,
				   .memlock_bytes = MEMLOCK_BYTES,
				   .ends_with_thread = true };
	int pair[2];

	if (log < 0)
		return err_set(e, errno, "open /dev/null: %s", strerror(errno));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socket pair: %s", strerror(errno));
	t->sock = pair[0];
	theirs = pair[1];
	wish.sock = theirs;
	return priv_vm_spawn(d, &wish, &t->pid, &pidfd, e);
}

static int tester_ask(const struct pci_addr *vf, uint64_t group, struct tester *t, json_t **result,
		      struct err *e)
{
	char address[PCI_ADDR_TEXT];
	const int fds[] = { t->kvm, t->container, t->group, t->interrupts };
	auto_json json_t *body = json_pack("{s:i, s:s, s:[s,s,s], s:s, s:I}", "v", VMM_MSG_VERSION,
					   "op", "selftest", "fds", "kvm", "container", "group",
					   "address", pci_addr_text(vf, address), "group",
					   (json_int_t)group);
	size_t count = ARRAY_SIZE(fds) - (t->interrupts < 0);
	int r;

	if (t->interrupts >= 0)
		json_array_append_new(json_object_get(body, "fds"), json_string("interrupts"));
	r = seqmsg_send(t->sock, body, fds, count);
	/* Its copies are all there are: the group opens again when it has ended. */
	fd_close(&t->kvm);
	fd_close(&t->container);
	fd_close(&t->group);
	fd_close(&t->interrupts);
	if (r < 0)
		return err_set(e, r, "send to viaduct-vmm: %s", strerror(-r));
	return peer_reply("viaduct-vmm", t->sock, ANSWER_MS, result, e);
}

/* It has answered, after it put everything back, and goes; or it must. */
static void tester_end(struct tester *t)
{
	tester_close(t);
	if (t->pid <= 0)
		return;
	kill(t->pid, SIGKILL);
	(void)priv_child_end(t->pid, "the tester of a VF");
}

int priv_selftest_run(struct daemon *d, const struct pci_addr *vf, uid_t uid, json_t **result,
		      struct err *e)
{
	struct tester t = { .kvm = -1, .container = -1, .group = -1, .interrupts = -1, .sock = -1 };
	char group[32];
	uint64_t nr;
	int r = sysfs_fn_link(inventory_sysfs(d->inv), vf, "iommu_group", group, sizeof(group));

	if (r < 0 || parse_u64(group, UINT32_MAX, &nr) < 0)
		return err_set(e, ENODEV, "it is in no IOMMU group");
	r = tester_open(d, vf, &t, e);
	if (r == 0)
		r = tester_spawn(d, uid, &t, e);
	if (r == 0)
		r = tester_ask(vf, nr, &t, result, e);
	tester_end(&t);
	return r;
}

// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: what the daemon says to a VMM (vmm/spec.h, vmm/requests.h), taken as a launch message and as
 * a control request. Its fds are of every kind that a VM needs; KVM is a fake, so a good message
 * passes. Data before the first '{' chooses the kinds of the fds, a letter each.
 */
#include "tests/fake/kvm_kernel.h"

#include "base/fd.h"
#include "base/json.h"
#include "vmm/exit_record.h"
#include "vmm/machine.h"
#include "vmm/requests.h"
#include "vmm/spec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int socket_make(int type)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 || listen(fd, 1) < 0)
		abort();
	return fd;
}

static int fd_make(uint8_t kind)
{
	switch (kind) {
	case 'd':
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 'r':
		return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	case 'c':
		return socket_make(SOCK_STREAM);
	case 'l':
		return socket_make(SOCK_SEQPACKET);
	default:
		return memfd_create("fuzz", MFD_CLOEXEC);
	}
}

/* A good spec holds what it promises. */
static void spec_check(const struct vmm_spec *spec)
{
	if (spec->kvm_fd < 0 || spec->listener_fd < 0 || spec->console_fd < 0 ||
	    spec->exit_record_fd < 0 || spec->kernel_fd < 0 || parse_name(spec->name) < 0 ||
	    spec->cpu_count < 1 || spec->cpu_count > VMM_MAX_CPUS ||
	    spec->device_count > VMM_MAX_DEVICES || spec->member_count > VMM_MAX_DEVICES)
		abort();
	for (unsigned int i = 0; i < spec->net_count; i++)
		if (spec->nets[i].socket >= spec->vhost_count ||
		    spec->vhosts[spec->nets[i].socket].fd < 0 || spec->nets[i].pairs < 1 ||
		    spec->nets[i].pairs > VMM_MAX_PAIRS || !is_pow2(spec->nets[i].ring_size))
			abort();
	if (spec->has_virtio_console != (spec->hvc0_fd >= 0) ||
	    (spec->vsock_cid != 0) != (spec->vhost_vsock_fd >= 0) || spec->vsock_cid == 1 ||
	    spec->vsock_cid == 2 || spec->vsock_cid == UINT32_MAX)
		abort();
	for (unsigned int i = 0; i < spec->disk_count; i++)
		if (spec->disks[i].fds >= spec->disk_fds_count ||
		    spec->disk_fds[spec->disks[i].fds].socket_fd < 0 || spec->disks[i].queues < 1 ||
		    spec->disks[i].queues > VMM_MAX_DISK_QUEUES ||
		    !is_pow2(spec->disks[i].queue_size) || spec->disks[i].boot > VMM_MAX_BOOT)
			abort();
	for (unsigned int i = 0; i < spec->device_count; i++)
		if (spec->devices[i].member >= spec->member_count ||
		    spec->members[spec->devices[i].member].fd < 0 ||
		    (spec->container_fd < 0) == (spec->iommufd_fd < 0))
			abort();
}

/* The record is JSON whatever ends the VMM and whatever its name is. */
static void record_check(const struct vmm_spec *spec)
{
	char text[2][1024] = { 0 };
	struct exit_record rec;
	auto_fd int fd = memfd_create("record", MFD_CLOEXEC);

	exit_record_init(&rec, fd, spec->name);
	if (exit_record_write(&rec, "killed", spec->cmdline, NULL) < 0)
		abort();
	(void)!pread(fd, text[0], sizeof(text[0]) - 1, 0);
	exit_record_crash(&rec, &(struct crash_facts){ .sig = 11 });
	(void)!pread(fd, text[1], sizeof(text[1]) - 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		auto_json json_t *obj = json_loads(text[i], JSON_REJECT_DUPLICATES, NULL);

		/* A long text of ours does not fit in here. */
		if (obj == NULL && strlen(text[i]) < sizeof(text[i]) - 1)
			abort();
	}
}

static void launch(struct seqmsg *m)
{
	struct vmm_spec spec;
	struct err e = { 0 };
	int r;

	vmm_spec_init(&spec);
	r = vmm_spec_parse(&spec, m, &e);
	if (r == 0) {
		spec_check(&spec);
		record_check(&spec);
	} else if (e.text[0] == '\0' || r != -e.errnum) {
		abort();
	}
	vmm_spec_fini(&spec);
}

/* Of a machine that has not come far: only what needs none may be answered. */
static void request(const struct seqmsg *m)
{
	struct vmm_spec spec = { .name = "fuzz" };
	struct machine machine = { .spec = &spec, .paused = true, .event_fd = -1 };
	char op[CONTROL_OP_TEXT];
	json_t *reply;

	if (control_head_parse(m->body, VMM_MSG_VERSION, op, NULL) == 0 &&
	    (strcmp(op, "status") == 0 || strcmp(op, "resume") == 0))
		return; /* these look at vCPUs */
	pthread_mutex_init(&machine.request_lock, NULL);
	reply = requests_answer(&machine, m);
	if (json_object_get(reply, "ok") == NULL)
		abort();
	json_decref(reply);
	pthread_mutex_destroy(&machine.request_lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seqmsg m = { 0 };

	for (; size > 0 && *data != '{'; data++, size--)
		if (m.fd_count < SEQMSG_FDS)
			m.fds[m.fd_count++] = fd_make(*data);
	m.body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(m.body)) {
		request(&m);
		launch(&m);
	}
	seqmsg_fini(&m);
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
/* A message of a VMM to viaduct-pmd: what passes names only rings that there are and memory that its file has. */
#include "pmd-backends/vhost_check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY (1U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int sealed(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (ftruncate(fd, MEMORY) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
			abort();
	}
	return fd;
}

static void memory_verify(const struct vhost_message *m)
{
	const struct vhost_memory_table *table = &m->payload.memory;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct guest_region_wire *r = &table->regions[i];

		if (r->offset > MEMORY || r->size > MEMORY - r->offset || r->gpa + r->size < r->gpa)
			abort();
	}
}

/* First byte: number of fds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vhost_message m = { 0 };
	struct err e = { 0 };
	int fds[VHOST_MAX_FDS];
	size_t fd_count;

	if (size < 1 + sizeof(m.h))
		return 0;
	fd_count = data[0] % (VHOST_MAX_FDS + 1);
	for (size_t i = 0; i < fd_count; i++)
		fds[i] = sealed();
	memcpy(&m.h, data + 1, sizeof(m.h));
	if (vhost_header_check(&m.h, &e) < 0)
		return 0;
	if (m.h.size > sizeof(m.payload))
		abort();
	size -= 1 + sizeof(m.h);
	memcpy(&m.payload, data + 1 + sizeof(m.h), size < m.h.size ? size : m.h.size);
	if (vhost_message_check(&m, fds, fd_count, &e) < 0)
		return 0;
	if (m.h.request == VHOST_SET_MEM_TABLE)
		memory_verify(&m);
	else if (m.h.request >= VHOST_SET_VRING_NUM && m.h.request <= VHOST_SET_VRING_ERR &&
		 m.payload.bytes[0] >= VHOST_MAX_RINGS)
		abort();
	else if (m.h.request == VHOST_SET_LOG_BASE &&
		 (m.payload.log.offset > MEMORY ||
		  m.payload.log.size > MEMORY - m.payload.log.offset))
		abort();
	else if (m.h.request == VHOST_SET_INFLIGHT_FD &&
		 (m.payload.inflight.offset > MEMORY ||
		  m.payload.inflight.size > MEMORY - m.payload.inflight.offset))
		abort();
	return 0;
}

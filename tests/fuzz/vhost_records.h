/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What targets share that are a VMM's whole session: the guest's memory, fds of all kinds, and the records of which an input
 * is made. A record: request (0: the guest writes), fds (low four bits how many, then of what kind; the highest is the
 * target's), size, size bytes of payload. In the end all fds are closed.
 */
#ifndef VIADUCT_TESTS_FUZZ_VHOST_RECORDS_H
#define VIADUCT_TESTS_FUZZ_VHOST_RECORDS_H

#include "base/fd.h"
#include "pmd-backends/vhost_check.h"
#include "pmd-backends/vhost_device.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY (64U << 10)

static int memory_fd, region_fd = -1; /* region_fd: the last in-flight region */
static uint8_t *memory;

/* What a target does with a session. */
struct records_ops {
	/* One message; those of fds that it does not take stay. Its answer's fd is kept by answer_keep(). */
	void (*say)(const struct vhost_message *m, int *fds, size_t count);
	void (*move)(uint8_t kinds); /* after each record: the rings */
	void (*end)(void); /* nobody is connected any more, for good */
};

static inline void memory_make(void)
{
	memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ftruncate(memory_fd, MEMORY) < 0 || fcntl(memory_fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	if (memory == MAP_FAILED)
		abort();
}

static inline int fd_make(unsigned int kind)
{
	switch (kind) {
	case 0:
		return fcntl(memory_fd, F_DUPFD_CLOEXEC, 3);
	case 1:
		return eventfd(0, EFD_CLOEXEC);
	case 2:
		return region_fd < 0 ? eventfd(0, EFD_CLOEXEC)
				     : fcntl(region_fd, F_DUPFD_CLOEXEC, 3);
	default:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	}
}

/* After a message was done. */
static inline void answer_keep(struct vhost_device *d, const struct vhost_answer *answer)
{
	while (vhost_device_more(d))
		continue;
	if (answer->is_due && answer->m.h.size > sizeof(answer->m.payload))
		abort();
	if (answer->fd < 0)
		return;
	fd_close(&region_fd);
	region_fd = fcntl(answer->fd, F_DUPFD_CLOEXEC, 3);
}

static inline void message_say(const struct records_ops *ops, const struct vhost_message *m,
			       unsigned int kinds)
{
	size_t count = (kinds & 15) % (VHOST_MAX_FDS + 1);
	int fds[VHOST_MAX_FDS];

	for (size_t i = 0; i < count; i++)
		fds[i] = fd_make(kinds >> 4 & 3);
	ops->say(m, fds, count);
	for (size_t i = 0; i < count; i++)
		fd_close(&fds[i]);
}

static inline size_t record_do(const struct records_ops *ops, const uint8_t *data, size_t size)
{
	struct vhost_message m = { .h = { (data[0] & 127) % VHOST_REQUESTS, data[0] & 128 ? 9 : 1,
					  data[2] } };
	size_t len = u64_min(data[2], size - 3);
	uint16_t at;

	if (m.h.request != 0) {
		memcpy(&m.payload, data + 3, len);
		message_say(ops, &m, data[1]);
	} else if (len > sizeof(at)) {
		memcpy(&at, data + 3, sizeof(at));
		at = (uint16_t)u64_min(at, MEMORY - len);
		memcpy(memory + at, data + 3 + sizeof(at), len - sizeof(at));
	}
	ops->move(data[1]);
	return 3 + len;
}

/* The number that the next fd gets. */
static inline int fd_next(void)
{
	int fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 3), number = fd;

	fd_close(&fd);
	return number;
}

/* The device begins with all features of the protocol agreed on: an input need not say so, and may say otherwise. */
static inline void records_do(const struct records_ops *ops, struct vhost_device *d,
			      const uint8_t *data, size_t size)
{
	int next = fd_next();

	memset(memory, 0, MEMORY);
	d->protocol = d->kind->protocol;
	while (size > 3) {
		size_t n = record_do(ops, data, size);

		data += n;
		size -= n;
	}
	ops->end();
	fd_close(&region_fd);
	if (d->live != 0 || fd_next() != next)
		abort();
}

#endif

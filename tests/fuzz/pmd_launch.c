// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: the launch message of a viaduct-pmd (pmd-backends/launch.h). A good one holds what it promises.
 */
#include "base/parse.h"
#include "pmd-backends/launch.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static int listener_make(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 || listen(fd, 1) < 0)
		abort();
	return fd;
}

static void check(const struct pmd_launch *l)
{
	if (l->listener < 0 || parse_name(l->name) < 0 || l->cpu_count > PMD_MAX_LCORES ||
	    (l->role == PMD_ROLE_NET
		     ? l->memory < PMD_MIN_MEMORY || l->memory > PMD_MAX_MEMORY
		     : l->role != PMD_ROLE_BLOCK || l->memory != 0 || l->hugepages) ||
	    l->idle >= PMD_IDLES || l->guest_uid_count > UINT32_MAX - l->guest_uid_first ||
	    l->uplink_kinds >= BIT(PMD_UPLINK_KINDS))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seqmsg m = { .fd_count = 1, .fds = { listener_make() } };
	struct pmd_launch launch;
	struct err e = { 0 };

	pmd_launch_init(&launch);
	m.body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(m.body)) {
		int r = pmd_launch_parse(&launch, &m, &e);

		if (r == 0)
			check(&launch);
		else if (e.text[0] == '\0' || r != -e.errnum)
			abort();
	}
	pmd_launch_fini(&launch);
	seqmsg_fini(&m);
	return 0;
}

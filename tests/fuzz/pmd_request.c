// SPDX-License-Identifier: BSD-3-Clause
/*
 * Fuzz target: the requests of a viaduct-pmd (pmd-backends/request.h). A good one holds what it promises: names are
 * names, what goes into DPDK's device arguments has no comma.
 */
#include "base/parse.h"
#include "pmd-backends/request.h"

#include <fcntl.h>
#include <stdlib.h>

static void check(const struct pmd_request *q)
{
	if (q->op >= PMD_OPS || q->uplink_count > PMD_MAX_NETWORK_UPLINKS ||
	    strpbrk(q->uplink.device, ",= \n/") != NULL || q->uplink.mtu > PMD_MAX_MTU ||
	    q->uplink.kind >= PMD_UPLINK_KINDS || q->bond >= PMD_BONDS ||
	    (q->op == PMD_OP_MIRROR || q->op == PMD_OP_DISK_ADD) != (q->file >= 0))
		abort();
	if (q->op == PMD_OP_PORT_ADD &&
	    (q->socket[0] != '/' || strchr(q->name, '/') == NULL || parse_name(q->network) < 0))
		abort();
	if (q->op == PMD_OP_DISK_ADD &&
	    (q->socket[0] != '/' || strchr(q->name, '/') == NULL || q->disk.queues < 1 ||
	     q->disk.queues > PMD_MAX_QUEUES || q->disk.serial[PMD_SERIAL_TEXT - 1] != 0 ||
	     q->disk.iops > PMD_MAX_IOPS))
		abort();
	if ((q->op == PMD_OP_PORT_ADD || q->op == PMD_OP_PORT_SET) &&
	    (q->policy.mac_count < 1 || q->policy.mac_count > 1 + PMD_MAX_MACS ||
	     q->policy.vlan_count > PMD_MAX_VLANS || q->policy.mtu > PMD_MAX_MTU))
		abort();
	for (unsigned int i = 0; i < q->mac_count; i++)
		if ((q->macs[i][0] & 1) != 0)
			abort();
	for (unsigned int i = 0; i < q->uplink_count; i++)
		if (parse_name(q->uplinks[i]) < 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seqmsg m = { 0 };
	struct pmd_request request;
	struct err e = { 0 };

	/* A byte before the first '{' stands for an fd. */
	for (; size > 0 && *data != '{'; data++, size--)
		if (m.fd_count < 2)
			m.fds[m.fd_count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	m.body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(m.body)) {
		int r = pmd_request_parse(&m, &request, &e);

		if (r == 0)
			check(&request);
		else if (e.text[0] == '\0' || r != -e.errnum)
			abort();
		pmd_request_fini(&request);
	}
	seqmsg_fini(&m);
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/hostcpu.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#define PATH_TEXT 512

static ssize_t sys_read(const struct daemon *d, char *buf, size_t cap, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* A file below devices/system of the tree that the daemon looks at. */
static ssize_t sys_read(const struct daemon *d, char *buf, size_t cap, const char *fmt, ...)
{
	const char *root = d->opt->sysfs_root != NULL ? d->opt->sysfs_root : "/sys";
	char path[PATH_TEXT];
	int n = snprintf(path, sizeof(path), "%s/devices/system/", root);
	va_list ap;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	return file_read_at(AT_FDCWD, path, buf, cap);
}

/* Empty if the file is not there or no list: older kernels lack some of them. */
static void list_take(const char *text, ssize_t len, cpu_set_t *out)
{
	if (len < 0 || cpu_list_parse(text, out) < 0)
		CPU_ZERO(out);
}

int host_cpus_read(const struct daemon *d, struct host_cpus *out, struct err *e)
{
	char text[CPU_LIST_TEXT];
	ssize_t n = sys_read(d, text, sizeof(text), "cpu/online");

	list_take(text, n, &out->online);
	if (CPU_COUNT(&out->online) == 0)
		return err_set(e, n < 0 ? (int)n : EBADMSG,
			       "the host's CPUs: /sys/devices/system/cpu/online cannot be read");
	n = sys_read(d, text, sizeof(text), "cpu/isolated");
	list_take(text, n, &out->isolated);
	return 0;
}

void host_cpu_siblings(const struct daemon *d, unsigned int cpu, cpu_set_t *out)
{
	char text[CPU_LIST_TEXT];

	list_take(text,
		  sys_read(d, text, sizeof(text), "cpu/cpu%u/topology/thread_siblings_list", cpu),
		  out);
	CPU_SET(cpu, out);
}

void host_nodes(const struct daemon *d, cpu_set_t *out)
{
	char text[CPU_LIST_TEXT];

	list_take(text, sys_read(d, text, sizeof(text), "node/online"), out);
}

void host_node_cpus(const struct daemon *d, int node, cpu_set_t *out)
{
	char text[CPU_LIST_TEXT];

	list_take(text, sys_read(d, text, sizeof(text), "node/node%d/cpulist", node), out);
}

int host_node_of(const struct daemon *d, const cpu_set_t *cpus)
{
	cpu_set_t nodes, of_node, left;

	host_nodes(d, &nodes);
	for (int node = 0; node < CPU_SETSIZE; node++) {
		if (!CPU_ISSET(node, &nodes))
			continue;
		host_node_cpus(d, node, &of_node);
		left = *cpus;
		cpu_set_remove(&left, &of_node);
		if (CPU_COUNT(cpus) > 0 && CPU_COUNT(&left) == 0)
			return node;
	}
	return -1;
}

/* A line is "Node 0 MemFree:        123456 kB". */
static uint64_t meminfo_kib(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	unsigned long long kib = 0;

	return at != NULL && sscanf(at + strlen(key), ": %llu", &kib) == 1 ? kib : 0;
}

int host_node_free(const struct daemon *d, int node, uint64_t page_bytes, uint64_t *out)
{
	static const char *const keys[] = { " MemFree", " Active(file)", " Inactive(file)",
					    " SReclaimable" };
	char text[8192];
	uint64_t pages, kib = 0;
	ssize_t n;

	if (page_bytes != 0) {
		n = sys_read(d, text, sizeof(text),
			     "node/node%d/hugepages/hugepages-%llukB/free_hugepages", node,
			     (unsigned long long)page_bytes >> 10);
		if (n < 0 || parse_u64(text, UINT64_MAX / page_bytes, &pages) < 0)
			return -ENOENT;
		*out = pages * page_bytes;
		return 0;
	}
	if (sys_read(d, text, sizeof(text), "node/node%d/meminfo", node) < 0)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		kib += meminfo_kib(text, keys[i]);
	*out = KIB(kib);
	return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
/* What the polled engine needs of the host. */
#include "vf-manager/hostcheck.h"
#include "vf-manager/hostcpu.h"
#include "vf-manager/vmplace.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define HUGE_BYTES MIB(2)

static void fill(struct check_result *out, enum check_status status, const char *remedy,
		 const char *fmt, ...) PRINTF_LIKE(4, 5);

static void fill(struct check_result *out, enum check_status status, const char *remedy,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out->detail, sizeof(out->detail), fmt, ap);
	va_end(ap);
	out->status = status;
	snprintf(out->remedy, sizeof(out->remedy), "%s", status == CHECK_PASS ? "" : remedy);
}

static bool is_unneeded(const struct check_input *in, struct check_result *out)
{
	if (config_has_polled(&in->d->config))
		return false;
	fill(out, CHECK_PASS, "", "not needed: the configuration has no uplinks");
	return true;
}

void check_backend_program(const struct check_input *in, struct check_result *out)
{
	const char *path = in->d->opt->pmd_path;

	if (is_unneeded(in, out))
		return;
	if (access(path, X_OK) == 0)
		fill(out, CHECK_PASS, "", "%.200s", path);
	else
		fill(out, CHECK_FAIL, "install viaduct-pmd beside viaductd, or name it: --pmd-path",
		     "%.200s cannot be run", path);
}

void check_backend_cores(const struct check_input *in, struct check_result *out)
{
	const struct config_backends *b = &in->d->config.backends;
	struct host_cpus host;
	cpu_set_t taken;

	if (is_unneeded(in, out))
		return;
	if (b->core_count == 0) {
		fill(out, CHECK_WARN,
		     "backends: {cores: [N]} in viaductd.yaml, with CPUs that isolcpus= keeps free",
		     "one thread on any CPU: packets wait for whoever else runs there");
		return;
	}
	if (host_cpus_read(in->d, &host, NULL) < 0)
		CPU_ZERO(&host.online);
	vm_place_dedicated(in->d, &taken);
	for (unsigned int i = 0; i < b->core_count; i++) {
		if (!CPU_ISSET(b->cores[i], &host.online)) {
			fill(out, CHECK_FAIL,
			     "take it out of backends.cores: cat /sys/devices/system/cpu/online",
			     "CPU %u of backends.cores is not online", b->cores[i]);
			return;
		}
		if (CPU_ISSET(b->cores[i], &taken)) {
			fill(out, CHECK_FAIL,
			     "stop that VM and pin it to others, or take the CPU out of backends.cores",
			     "CPU %u of backends.cores is dedicated to a VM", b->cores[i]);
			return;
		}
	}
	fill(out, CHECK_PASS, "", "%u, all online", b->core_count);
}

void check_backend_memory(const struct check_input *in, struct check_result *out)
{
	const struct config_backends *b = &in->d->config.backends;
	const unsigned long long need = b->memory_bytes / HUGE_BYTES;
	struct host_hugepages have = { 0 };
	static const char remedy[] =
		"echo N > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

	if (is_unneeded(in, out))
		return;
	(void)host_hugepages_read(in->d, HUGE_BYTES, &have);
	if (b->huge == CONFIG_HUGE_OFF)
		fill(out, CHECK_PASS, "", "%llu MiB of small pages", need * 2);
	else if (have.unreserved >= need)
		fill(out, CHECK_PASS, "", "%llu hugepages of 2 MiB, %llu are free", need,
		     (unsigned long long)have.unreserved);
	else
		fill(out, CHECK_WARN, remedy,
		     "%llu hugepages of 2 MiB are wanted, %llu are free (what viaduct-pmd has counts as taken): %s",
		     need, (unsigned long long)have.unreserved,
		     b->huge == CONFIG_HUGE_ON ? "it takes them from ordinary memory, if it can"
					       : "it has small pages, and is slower");
}

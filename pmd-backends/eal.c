// SPDX-License-Identifier: BSD-3-Clause
#include "pmd-backends/eal.h"

#include "base/log.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>

/* An allow-list that names nothing: devices come by rte_dev_probe() alone. (--no-pci would forbid that, too.) */
#define NO_DEVICE "ffff:ff:1f.7"

#define LOG_BURST    50
#define LOG_EVERY_NS 200000000ULL

/* What is not packets: rings, tables of the switches, DPDK's own. */
#define SPARE_MEMORY_SHARE 4
#define MBUF_BYTES	   (RTE_MBUF_DEFAULT_BUF_SIZE + sizeof(struct rte_mbuf) + 64)
#define MBUF_CACHE	   256

struct arguments {
	char *argv[24];
	int argc;
	char text[24][CPU_SETSIZE * 5];
};

static void argument_add(struct arguments *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void argument_add(struct arguments *a, const char *fmt, ...)
{
	va_list ap;

	if (a->argc >= (int)ARRAY_SIZE(a->argv) - 1)
		return;
	va_start(ap, fmt);
	vsnprintf(a->text[a->argc], sizeof(a->text[0]), fmt, ap);
	va_end(ap);
	a->argv[a->argc] = a->text[a->argc];
	a->argc++;
}

/* The CPUs of this process without those that lcores poll on, unless none were left. */
static void control_cpus(const struct pmd_launch *launch, char *buf, size_t cap)
{
	cpu_set_t all, rest;
	size_t len = 0;

	CPU_ZERO(&all);
	sched_getaffinity(0, sizeof(all), &all);
	rest = all;
	for (unsigned int i = 0; i < launch->cpu_count; i++)
		CPU_CLR(launch->cpus[i], &rest);
	if (CPU_COUNT(&rest) == 0)
		rest = all;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && len + 6 < cap; cpu++)
		if (CPU_ISSET(cpu, &rest))
			len += (size_t)snprintf(buf + len, cap - len, "%s%u", len == 0 ? "" : ",",
						cpu);
}

static void lcores_add(struct arguments *a, const struct pmd_launch *launch)
{
	char cpus[CPU_SETSIZE * 4], text[CPU_SETSIZE * 4 + PMD_MAX_LCORES * 10];
	size_t len;

	control_cpus(launch, cpus, sizeof(cpus));
	len = (size_t)snprintf(text, sizeof(text), "0@(%s)", cpus);
	if (launch->cpu_count == 0)
		snprintf(text + len, sizeof(text) - len, ",1@(%s)", cpus);
	for (unsigned int i = 0; i < launch->cpu_count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, ",%u@%u", i + 1,
					launch->cpus[i]);
	argument_add(a, "--lcores");
	argument_add(a, "%s", text);
	argument_add(a, "--main-lcore");
	argument_add(a, "0");
}

static void arguments_make(struct arguments *a, const struct pmd_launch *launch)
{
	argument_add(a, "viaduct-pmd");
	argument_add(a, "--file-prefix");
	argument_add(a, "viaduct-%s", launch->name);
	argument_add(a, "--iova-mode=va");
	argument_add(a, "--no-telemetry");
	argument_add(a, "-a");
	argument_add(a, NO_DEVICE);
	lcores_add(a, launch);
	argument_add(a, "-m");
	argument_add(a, "%llu", (unsigned long long)launch->memory >> 20);
	if (launch->hugepages) {
		argument_add(a, "--in-memory");
	} else {
		argument_add(a, "--no-huge");
		argument_add(a, "--no-shconf");
	}
}

/* DPDK's lines become ours: bounded, since guests and devices can cause some at will. */
static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	static struct log_limit limit = { .burst = LOG_BURST, .every_ns = LOG_EVERY_NS };
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t held = 0;
	bool admit;
	size_t n = len;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n == 0)
		return (ssize_t)len;
	pthread_mutex_lock(&lock);
	admit = log_admit(&limit, now_ns(), &held);
	pthread_mutex_unlock(&lock);
	if (admit && held > 0)
		log_info("dpdk: %llu lines were left out", (unsigned long long)held);
	if (admit)
		log_info("dpdk: %.*s", (int)u64_min(n, 400), text);
	return (ssize_t)len;
}

static void log_redirect(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = log_write });

	if (f == NULL)
		return;
	setvbuf(f, NULL, _IOLBF, BUFSIZ);
	rte_openlog_stream(f);
}

static int start_fail(const struct pmd_launch *launch, struct err *e)
{
	err_set(e, rte_errno != 0 ? rte_errno : EIO, "DPDK does not start: %s",
		rte_strerror(rte_errno));
	err_code(e, "dpdk-start");
	if (launch->hugepages)
		return err_hint(e, "free hugepages: grep Huge /proc/meminfo; or hugepages: false");
	return err_hint(e, "the log has DPDK's reason");
}

static void pool_free(struct rte_mempool_memhdr *chunk, void *zone)
{
	(void)rte_memzone_free(zone);
}

/*
 * By hand, since rte_pktmbuf_pool_create() lets no buffer cross a page: on 4 KiB pages each would take a whole one. Device
 * addresses are our virtual ones (--iova-mode=va), so what is contiguous here is so for the device.
 */
static int pool_fill(struct rte_mempool *pool, const struct rte_memzone *zone)
{
	int r = rte_mempool_set_ops_byname(pool, RTE_MBUF_DEFAULT_MEMPOOL_OPS, NULL);

	if (r < 0)
		return r;
	rte_pktmbuf_pool_init(pool, NULL);
	r = rte_mempool_populate_iova(pool, zone->addr, zone->iova, zone->len, pool_free,
				      (void *)(uintptr_t)zone);
	if (r < 0)
		return r;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return 0;
}

static struct rte_mempool *pool_make(uint64_t memory)
{
	uint64_t room = memory - memory / SPARE_MEMORY_SHARE;
	const struct rte_memzone *zone = rte_memzone_reserve_aligned(
		"packet-memory", room, SOCKET_ID_ANY, 0, RTE_CACHE_LINE_SIZE);
	struct rte_mempool *pool =
		zone == NULL
			? NULL
			: rte_mempool_create_empty(
				  "packets", (unsigned int)(room / MBUF_BYTES - 1),
				  sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, MBUF_CACHE,
				  sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY, 0);

	if (pool != NULL && pool_fill(pool, zone) == 0)
		return pool;
	rte_mempool_free(pool);
	return NULL;
}

int eal_start(const struct pmd_launch *launch, struct rte_mempool **pool, struct err *e)
{
	struct arguments a = { .argc = 0 };
	int r;

	log_redirect();
	/* Where DPDK would make a folder for other processes; we let none in, and it runs without. */
	setenv("RUNTIME_DIRECTORY", "/proc/self/none", 1);
	arguments_make(&a, launch);
	r = rte_eal_init(a.argc, a.argv);
	if (r < 0)
		return start_fail(launch, e);
	*pool = pool_make(launch->memory);
	if (*pool == NULL) {
		err_set(e, ENOMEM, "packet memory of %llu MiB: %s",
			(unsigned long long)launch->memory >> 20, rte_strerror(rte_errno));
		eal_stop();
		return err_code(e, "dpdk-start");
	}
	return 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

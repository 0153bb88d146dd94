// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/hugepools.h"

#include "vf-manager/alarms_found.h"
#include "vf-manager/privops.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static int pages_read(const struct daemon *d, const struct config_hugepages *pool, const char *file,
		      uint64_t *out)
{
	char path[PATH_MAX], text[32];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/devices/system/node/node%u/hugepages/hugepages-%llukB/%s",
		 daemon_sysfs(d), pool->node, (unsigned long long)pool->page_bytes >> 10, file);
	n = file_read_at(AT_FDCWD, path, text, sizeof(text));
	return n < 0 || parse_u64(text, UINT64_MAX / 2, out) < 0 ? -ENOENT : 0;
}

/* -ENOENT: the host has no such node, or no pages of this size. */
static int hugepool_read(const struct daemon *d, const struct config_hugepages *pool,
			 struct hugepool *out)
{
	uint64_t all, free_pages, surplus = 0;
	int r = pages_read(d, pool, "nr_hugepages", &all);

	if (r == 0)
		r = pages_read(d, pool, "free_hugepages", &free_pages);
	if (r < 0)
		return r;
	(void)pages_read(d, pool, "surplus_hugepages", &surplus);
	out->have = all - u64_min(all, surplus);
	out->used = all - u64_min(all, free_pages);
	return 0;
}

static const char *size_text(uint64_t page_bytes)
{
	return page_bytes == GIB(1) ? "1G" : "2M";
}

char *hugepool_name(const struct config_hugepages *pool, char buf[HUGEPOOL_TEXT])
{
	snprintf(buf, HUGEPOOL_TEXT, "node%u-%s", pool->node, size_text(pool->page_bytes));
	return buf;
}

bool hugepool_is_short(const struct daemon *d, const struct config_hugepages *pool, char *text,
		       size_t cap)
{
	struct hugepool now;

	if (hugepool_read(d, pool, &now) < 0) {
		snprintf(text, cap,
			 "node %u has no hugepages of %s: the host has no such node, or its CPU "
			 "no such pages",
			 pool->node, size_text(pool->page_bytes));
		return pool->count > 0;
	}
	snprintf(text, cap, "node %u has %llu hugepages of %s, and viaductd.yaml wants %llu",
		 pool->node, (unsigned long long)now.have, size_text(pool->page_bytes),
		 (unsigned long long)pool->count);
	return now.have < pool->count;
}

char *hugepools_cmdline(const struct config *config, uint64_t page_bytes, char *buf, size_t cap)
{
	size_t len = (size_t)snprintf(buf, cap, "hugepagesz=%s hugepages=", size_text(page_bytes));
	const char *comma = "";

	for (unsigned int i = 0; i < config->hugepages_count && len < cap; i++) {
		const struct config_hugepages *pool = &config->hugepages[i];

		if (pool->page_bytes != page_bytes)
			continue;
		len += (size_t)snprintf(buf + len, cap - len, "%s%u:%llu", comma, pool->node,
					(unsigned long long)pool->count);
		comma = ",";
	}
	return buf;
}

static const struct config_hugepages *pool_find(const struct config *config, unsigned int node,
						uint64_t page_bytes)
{
	for (unsigned int i = 0; i < config->hugepages_count; i++)
		if (config->hugepages[i].node == node &&
		    config->hugepages[i].page_bytes == page_bytes)
			return &config->hugepages[i];
	return NULL;
}

/* What was added earlier in this boot and is wanted no longer, but for what is in use. */
static void surplus_give_back(struct daemon *d, const struct hugepool_raise *raise)
{
	const struct config_hugepages pool = { raise->page_bytes, raise->node, raise->to };
	const struct config_hugepages *want = pool_find(&d->config, raise->node, raise->page_bytes);
	uint64_t target = u64_max(raise->from, want != NULL ? want->count : 0);
	char name[HUGEPOOL_TEXT];
	struct hugepool now;
	struct err e = { 0 };

	if (target >= raise->to || hugepool_read(d, &pool, &now) < 0)
		return;
	target = u64_max(target, now.used);
	/* Somebody else has taken them away, or has added more: his number stands. */
	if (now.have > raise->to || now.have <= target)
		return;
	if (priv_hugepool_set(d, &pool, raise->from, target, &e) < 0)
		log_err(&e, hugepool_name(&pool, name));
	else
		log_info("hugepages: %s has %llu again, of %llu that viaduct had made",
			 hugepool_name(&pool, name), (unsigned long long)target,
			 (unsigned long long)raise->to);
}

static void pool_raise(struct daemon *d, const struct config_hugepages *pool)
{
	char name[HUGEPOOL_TEXT], text[160], cmdline[128];
	struct hugepool now = { 0 };
	struct err e = { 0 };

	if (hugepool_read(d, pool, &now) == 0 && now.have < pool->count &&
	    priv_hugepool_set(d, pool, now.have, pool->count, &e) < 0)
		log_err(&e, hugepool_name(pool, name));
	if (hugepool_is_short(d, pool, text, sizeof(text)))
		log_warn("hugepages: %s; the kernel's command line has them for certain: %s", text,
			 hugepools_cmdline(&d->config, pool->page_bytes, cmdline, sizeof(cmdline)));
}

void hugepools_apply(struct daemon *d)
{
	struct hugepool_raise raises[CONFIG_HUGEPAGES];
	unsigned int count = priv_hugepool_raises(d, raises, ARRAY_SIZE(raises));

	for (unsigned int i = 0; i < count; i++)
		surplus_give_back(d, &raises[i]);
	for (unsigned int i = 0; i < d->config.hugepages_count; i++)
		pool_raise(d, &d->config.hugepages[i]);
}

void alarms_hugepages_short(struct alarms *a, struct daemon *d)
{
	for (unsigned int i = 0; i < d->config.hugepages_count; i++) {
		const struct config_hugepages *pool = &d->config.hugepages[i];
		char name[HUGEPOOL_TEXT], text[160], cmdline[128];
		struct alarm *one;

		if (!hugepool_is_short(d, pool, text, sizeof(text)))
			continue;
		one = alarm_found(a, hugepool_name(pool, name));
		if (one == NULL)
			return;
		alarm_text_set(one->text, "%s", text);
		alarm_text_set(
			one->hint, "free memory and restart viaductd, or boot the host with %s",
			hugepools_cmdline(&d->config, pool->page_bytes, cmdline, sizeof(cmdline)));
	}
}

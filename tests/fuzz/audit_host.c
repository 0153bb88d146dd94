// SPDX-License-Identifier: BSD-3-Clause
/*
 * What an audit is told: the first byte says which of them the rest is. The headers of /proc/kcore, the maps of a VMM
 * that may be anybody's by now, /proc/cpuinfo, a request. Whatever is understood is inside its bounds.
 */
#include "iommu/audit_msg.h"
#include "iommu/audit_proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void kcore_try(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct err e = { 0 };
	struct kcore k;
	uint8_t page[4096];

	if (fd < 0)
		fd = memfd_create("kcore", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (kcore_init(&k, fd, &e) < 0) {
		if (e.text[0] == '\0')
			abort();
		return;
	}
	if (k.count == 0 || k.count > KCORE_SEGMENTS)
		abort();
	for (size_t i = 0; i < k.count; i++) {
		const struct physmem mem = kcore_memory(&k);

		/* The end of a segment, and across it. */
		(void)mem.read(mem.arg, k.segments[i].hpa, page, sizeof(page));
		(void)mem.read(mem.arg, k.segments[i].hpa + k.segments[i].size - 1, page, 16);
	}
}

static void maps_try(const char *text)
{
	struct audit_ram ram[] = { { 0, 64 << 20, 0 }, { 1ULL << 32, 64 << 20, 0 } };

	if (audit_maps_find(text, ram, ARRAY_SIZE(ram)) == 0 &&
	    ram[1].hva != ram[0].hva + ram[0].size)
		abort();
}

static void cpus_try(const char *text)
{
	static struct audit_machine m;

	audit_cpus_parse(text, &m);
	if (m.cpu_count > AUDIT_CPUS)
		abort();
}

static void request_try(const char *text, size_t size)
{
	static struct audit_wish wish;
	json_t *request = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
	struct err e = { 0 };

	if (request != NULL && audit_wish_parse(request, &wish, &e) == 0 &&
	    (wish.ram_count > AUDIT_RAM_SLOTS || wish.function_count > AUDIT_FUNCTIONS))
		abort();
	json_decref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1 || size > 1U << 20)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (text == NULL)
		return 0;
	switch (data[0] % 4) {
	case 0:
		kcore_try(data + 1, size - 1);
		break;
	case 1:
		maps_try(text);
		break;
	case 2:
		cpus_try(text);
		break;
	case 3:
		request_try(text, strlen(text));
		break;
	}
	free(text);
	return 0;
}

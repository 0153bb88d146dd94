// SPDX-License-Identifier: BSD-3-Clause
/*
 * The kernel's pools of hugepages, and how many it may make beyond them (Documentation/admin-guide/mm/hugetlbpage.rst).
 * What was there before viaduct changed it is in RUN_DIR/hugepages.json from before the change, so that no crash loses it; the
 * run folder goes with the boot, as the numbers do.
 */
#include "vf-manager/privops.h"

#include "vf-manager/hostcheck.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORD_MAX   65536
#define RECORD_ITEMS 64
#define PAGES_MAX    (UINT64_MAX / 2)
#define HUGE_2M	     MIB(2)

static char *record_path(const struct daemon *d, const char *end, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/hugepages.json%s", d->opt->run_dir, end);
	return buf;
}

/* {"boot_id","overcommit":[{"page","from","to"}],"pools":[{"page","node","from","to"}]}; empty lists if there is none, or it
 * is another boot's. A new reference. */
static json_t *record_read(const struct daemon *d)
{
	char path[PATH_MAX], text[RECORD_MAX], boot[BOOT_ID_TEXT] = "";
	json_t *record = NULL;

	if (file_read_at(AT_FDCWD, record_path(d, "", path), text, sizeof(text)) > 0)
		record = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	json_get_str_opt(record, "boot_id", boot, sizeof(boot), NULL);
	if (json_is_object(record) && strcmp(boot, d->boot_id) == 0 &&
	    json_is_array(json_object_get(record, "overcommit")) &&
	    json_is_array(json_object_get(record, "pools")))
		return record;
	json_decref(record);
	return json_pack("{s:s, s:[], s:[]}", "boot_id", d->boot_id, "overcommit", "pools");
}

static int record_write(const struct daemon *d, const json_t *record, struct err *e)
{
	auto_free char *text = json_dumps(record, JSON_COMPACT);
	char path[PATH_MAX], next[PATH_MAX];
	auto_fd int fd = open(record_path(d, ".new", next),
			      O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (text == NULL || fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    rename(next, record_path(d, "", path)) < 0)
		return err_set(e, text == NULL ? ENOMEM : errno, "%s: %s", next, strerror(errno));
	return 0;
}

/* The item of that page size (and node, unless negative); NULL: there is none. */
static json_t *item_find(const json_t *list, uint64_t page_bytes, int64_t node)
{
	json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item)
		if (json_integer_value(json_object_get(item, "page")) == (json_int_t)page_bytes &&
		    (node < 0 || json_integer_value(json_object_get(item, "node")) == node))
			return item;
	return NULL;
}

static void item_drop(json_t *list, const json_t *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_array_get(list, i) == item) {
			json_array_remove(list, i);
			return;
		}
}

/* What was there before the first change stays; to is what is about to be written. */
static int change_record(const struct daemon *d, const char *list, json_t *change, struct err *e)
{
	auto_json json_t *record = record_read(d);
	auto_json json_t *owned = change;
	json_t *items = json_object_get(record, list);
	const json_t *node = json_object_get(change, "node");
	json_t *item = item_find(items,
				 (uint64_t)json_integer_value(json_object_get(change, "page")),
				 node != NULL ? json_integer_value(node) : -1);

	if (record == NULL || owned == NULL)
		return err_set(e, ENOMEM, "no memory");
	if (item != NULL)
		json_object_set(item, "to", json_object_get(change, "to"));
	else if (json_array_size(items) < RECORD_ITEMS)
		json_array_append(items, change);
	return record_write(d, record, e);
}

/* Truncated, as a shell does it, which /sys does not mind and a file in its place needs. */
static int number_write(const char *path, uint64_t n)
{
	auto_fd int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	char text[32];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)len) == len ? 0 : -errno;
}

static char *overcommit_path(const struct daemon *d, uint64_t page_bytes, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/kernel/mm/hugepages/hugepages-%llukB/nr_overcommit_hugepages",
		 daemon_sysfs(d), (unsigned long long)page_bytes >> 10);
	return buf;
}

/* State not locked. What VMs, and a viaduct-pmd, that are starting are about to take. */
static uint64_t awaited(struct daemon *d, uint64_t page_bytes)
{
	uint64_t bytes = d->pmd_page == page_bytes ? d->pmd_page_bytes : 0;

	state_lock(d);
	for (size_t i = 0; i < d->vm_count; i++)
		if (d->vms[i]->state == VM_STARTING && d->vms[i]->ram_page == page_bytes)
			bytes += d->vms[i]->ram_bytes;
	state_unlock(d);
	return bytes;
}

/* Pages locked. */
static void allow(struct daemon *d, uint64_t page_bytes)
{
	struct host_hugepages have = { 0 };
	uint64_t need = awaited(d, page_bytes) / page_bytes, want;
	char path[PATH_MAX];

	if (host_hugepages_read(d, page_bytes, &have) < 0 || have.unreserved >= need)
		return;
	want = have.surplus + need - have.unreserved;
	if (want <= have.overcommit)
		return;
	/* Where it cannot be written, or not be remembered, the VM has small pages and says so. */
	if (change_record(d, "overcommit",
			  json_pack("{s:I, s:I, s:I}", "page", (json_int_t)page_bytes, "from",
				    (json_int_t)have.overcommit, "to", (json_int_t)want),
			  NULL) == 0)
		(void)number_write(overcommit_path(d, page_bytes, path), want);
}

void priv_hugepages_allow(struct daemon *d, uint64_t page_bytes)
{
	pthread_mutex_lock(&d->pages);
	allow(d, page_bytes);
	pthread_mutex_unlock(&d->pages);
}

void priv_hugepages_allow_pmd(struct daemon *d, uint64_t page_bytes, uint64_t bytes)
{
	pthread_mutex_lock(&d->pages);
	d->pmd_page = page_bytes;
	d->pmd_page_bytes = bytes;
	if (bytes > 0)
		allow(d, page_bytes);
	pthread_mutex_unlock(&d->pages);
}

/* True: the item is settled. */
static bool overcommit_restore(struct daemon *d, const json_t *item)
{
	struct host_hugepages now = { 0 };
	uint64_t page = 0, from = 0, to = 0;
	char path[PATH_MAX];

	if (json_get_u64(item, "page", GIB(1), &page, NULL) < 0 || page < 4096 ||
	    json_get_u64(item, "from", PAGES_MAX, &from, NULL) < 0 ||
	    json_get_u64(item, "to", PAGES_MAX, &to, NULL) < 0)
		return true;
	if (awaited(d, page) > 0)
		return false;
	/* Another number is somebody else's, and stands. Pages that VMs have stay theirs, also above it. */
	if (host_hugepages_read(d, page, &now) == 0 && now.overcommit == to)
		(void)number_write(overcommit_path(d, page, path), from);
	return true;
}

void priv_hugepages_settle(struct daemon *d)
{
	bool is_changed = false;
	struct err e = { 0 };
	json_t *record, *items;

	pthread_mutex_lock(&d->pages);
	record = record_read(d);
	items = json_object_get(record, "overcommit");
	for (size_t i = json_array_size(items); i-- > 0;)
		if (overcommit_restore(d, json_array_get(items, i))) {
			json_array_remove(items, i);
			is_changed = true;
		}
	if (is_changed && record_write(d, record, &e) < 0)
		log_err(&e, "hugepages");
	pthread_mutex_unlock(&d->pages);
	json_decref(record);
}

unsigned int priv_hugepool_raises(struct daemon *d, struct hugepool_raise *out, unsigned int cap)
{
	const json_t *item;
	unsigned int n = 0;
	json_t *record;
	size_t i;

	pthread_mutex_lock(&d->pages);
	record = record_read(d);
	pthread_mutex_unlock(&d->pages);
	json_array_foreach(json_object_get(record, "pools"), i, item) {
		uint64_t node = 0;

		if (n < cap && json_get_u64(item, "page", GIB(1), &out[n].page_bytes, NULL) == 0 &&
		    json_get_u64(item, "node", CONFIG_NODE_MAX, &node, NULL) == 0 &&
		    json_get_u64(item, "from", PAGES_MAX, &out[n].from, NULL) == 0 &&
		    json_get_u64(item, "to", PAGES_MAX, &out[n].to, NULL) == 0)
			out[n++].node = (unsigned int)node;
	}
	json_decref(record);
	return n;
}

/* What is back where it was is no longer remembered. */
static int raise_forget(struct daemon *d, const struct config_hugepages *pool, struct err *e)
{
	auto_json json_t *record = record_read(d);
	json_t *items = json_object_get(record, "pools");

	item_drop(items, item_find(items, pool->page_bytes, pool->node));
	return record_write(d, record, e);
}

/* Pages locked. */
static int pool_set(struct daemon *d, const struct config_hugepages *pool, uint64_t from,
		    uint64_t count, struct err *e)
{
	char path[PATH_MAX];
	int r = change_record(d, "pools",
			      json_pack("{s:I, s:i, s:I, s:I}", "page",
					(json_int_t)pool->page_bytes, "node", (int)pool->node,
					"from", (json_int_t)from, "to", (json_int_t)count),
			      e);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path),
		 "%s/devices/system/node/node%u/hugepages/hugepages-%llukB/nr_hugepages",
		 daemon_sysfs(d), pool->node, (unsigned long long)pool->page_bytes >> 10);
	r = number_write(path, count);
	if (r < 0)
		return err_set(e, r, "write %llu to %s: %s", (unsigned long long)count, path,
			       strerror(-r));
	return count <= from ? raise_forget(d, pool, e) : 0;
}

int priv_hugepool_set(struct daemon *d, const struct config_hugepages *pool, uint64_t from,
		      uint64_t count, struct err *e)
{
	int r;

	if ((pool->page_bytes != HUGE_2M && pool->page_bytes != GIB(1)) ||
	    pool->node > CONFIG_NODE_MAX || count > PAGES_MAX)
		return err_set(e, EINVAL, "no pool of hugepages");
	pthread_mutex_lock(&d->pages);
	r = pool_set(d, pool, from, count, e);
	pthread_mutex_unlock(&d->pages);
	return r;
}

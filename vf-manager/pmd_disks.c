// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/pmd_disks.h"

#include "base/json.h"
#include "base/parse.h"

#include <errno.h>
#include <string.h>

#define SIZE_MOST INT64_MAX

const char *const pmd_disk_count_words[PMD_DISK_COUNTS] = {
	[PMD_DISK_IN_FLIGHT] = "in_flight",
	[PMD_DISK_KICKS] = "kicks",
	[PMD_DISK_CALLS] = "calls",
	[PMD_DISK_BAD_CHAINS] = "bad_chains",
	[PMD_DISK_ERRORS] = "errors",
	[PMD_DISK_NO_SPACE] = "no_space",
	[PMD_DISK_READS] = "reads",
	[PMD_DISK_WRITES] = "writes",
	[PMD_DISK_FLUSHES] = "flushes",
	[PMD_DISK_DISCARDS] = "discards",
	[PMD_DISK_ZEROES] = "zeroes",
	[PMD_DISK_READ_BYTES] = "read_bytes",
	[PMD_DISK_WRITTEN_BYTES] = "written_bytes",
};

static const char *const state_words[PMD_DISK_STATES] = PMD_DISK_STATE_WORDS;

const char *pmd_disk_state_text(enum pmd_disk_state state)
{
	return state_words[state];
}

static int state_read(const json_t *obj, enum pmd_disk_state *out, struct err *e)
{
	const char *text = json_string_value(json_object_get(obj, "state"));

	for (unsigned int i = 0; text != NULL && i < PMD_DISK_STATES; i++)
		if (strcmp(text, state_words[i]) == 0) {
			*out = (enum pmd_disk_state)i;
			return 0;
		}
	return err_set(e, EBADMSG, "state: is none of a disk");
}

static int count_read(const json_t *obj, const char *key, unsigned int max, unsigned int *out,
		      struct err *e)
{
	uint64_t n = 0;
	int r = json_get_u64(obj, key, max, &n, e);

	if (r == 0)
		*out = (unsigned int)n;
	return r;
}

/* As it goes to people, alarms and metrics. */
static int name_read(const json_t *obj, char out[PMD_PORT_TEXT], struct err *e)
{
	char vm[PMD_PORT_TEXT];
	int r = json_get_str(obj, "disk", out, PMD_PORT_TEXT, e);
	char *slash;

	if (r < 0)
		return r;
	memcpy(vm, out, sizeof(vm));
	slash = strchr(vm, '/');
	if (slash == NULL)
		return err_set(e, EBADMSG, "disk: is no VM/DISK");
	*slash = '\0';
	return parse_name(vm) == 0 && parse_name(slash + 1) == 0
		       ? 0
		       : err_set(e, EBADMSG, "disk: is no VM/DISK");
}

static int disk_read(const json_t *obj, struct pmd_disk *out, struct err *e)
{
	int r = name_read(obj, out->name, e);

	if (r == 0)
		r = state_read(obj, &out->state, e);
	if (r == 0)
		r = count_read(obj, "pid", INT32_MAX, &out->pid, e);
	if (r == 0)
		r = count_read(obj, "queues", PMD_MAX_QUEUES, &out->queues, e);
	if (r == 0)
		r = json_get_u64(obj, "size", SIZE_MOST, &out->size, e);
	if (r == 0)
		r = json_get_u64(obj, "block_size", UINT32_MAX, &out->block_size, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "readonly", &out->is_readonly, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "direct", &out->is_direct, e);
	if (r == 0)
		r = json_get_bool_opt(obj, "flush_failed", &out->flush_failed, e);
	if (r == 0)
		r = json_get_str(obj, "features", out->features, sizeof(out->features), e);
	if (r == 0)
		r = json_get_str(obj, "error", out->error, sizeof(out->error), e);
	return r == 0 ? json_get_str(obj, "io_error", out->io_error, sizeof(out->io_error), e) : r;
}

static int counts_read(const json_t *stats, struct pmd_disks *out, struct err *e)
{
	json_t *list = NULL, *obj;
	int r = json_get_array(stats, "disks", PMD_MAX_DISKS, &list, e);
	size_t i;

	if (r < 0)
		return r;
	json_array_foreach(list, i, obj) {
		char name[PMD_PORT_TEXT];
		struct pmd_disk *disk;

		r = name_read(obj, name, e);
		disk = r == 0 ? (struct pmd_disk *)pmd_disk_find(out, name) : NULL;
		for (unsigned int k = 0; disk != NULL && r == 0 && k < PMD_DISK_COUNTS; k++)
			r = json_get_u64(obj, pmd_disk_count_words[k], INT64_MAX, &disk->counts[k],
					 e);
		if (r < 0)
			return r;
	}
	return 0;
}

int pmd_disks_read(const json_t *status, const json_t *stats, struct pmd_disks *out, struct err *e)
{
	json_t *list = NULL;
	int r = json_get_array(status, "disks", PMD_MAX_DISKS, &list, e);

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
		r = disk_read(json_array_get(list, i), &out->disks[i], e);
		if (r == 0 && pmd_disk_find(out, out->disks[i].name) != NULL)
			r = err_set(e, EBADMSG, "a disk is there twice");
		out->count += r == 0;
	}
	if (r == 0)
		r = counts_read(stats, out, e);
	if (r == 0)
		return 0;
	if (e != NULL)
		e->errnum = EBADMSG;
	err_wrap(e, "viaduct-pmd: disks");
	return -EBADMSG;
}

const struct pmd_disk *pmd_disk_find(const struct pmd_disks *s, const char *name)
{
	for (unsigned int i = 0; i < s->count; i++)
		if (strcmp(s->disks[i].name, name) == 0)
			return &s->disks[i];
	return NULL;
}

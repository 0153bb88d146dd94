// SPDX-License-Identifier: BSD-3-Clause
/* /metrics of disks: as of the last look, a second ago at most. */
#include "vf-manager/disks_core.h"
#include "vf-manager/metrics_disk.h"

struct label {
	const char *value;
	enum pmd_disk_count count;
};

/* Look locked. */
static void counts_write(const struct disks *b, FILE *out, const char *name, const char *key,
			 const struct label *labels)
{
	for (unsigned int i = 0; b->p.has_status && i < b->status.count; i++) {
		const struct pmd_disk *disk = &b->status.disks[i];

		if (wish_disk_find((struct disks *)b, disk->name) == NULL)
			continue;
		for (const struct label *l = labels; l->value != NULL; l++)
			fprintf(out, "%s_total{disk=\"%s\",%s=\"%s\"} %llu\n", name, disk->name,
				key, l->value, (unsigned long long)disk->counts[l->count]);
	}
}

static const struct label requests[] = {
	{ "read", PMD_DISK_READS },    { "write", PMD_DISK_WRITES },
	{ "flush", PMD_DISK_FLUSHES }, { "discard", PMD_DISK_DISCARDS },
	{ "zeroes", PMD_DISK_ZEROES }, { NULL },
};
static const struct label bytes[] = {
	{ "read", PMD_DISK_READ_BYTES },
	{ "written", PMD_DISK_WRITTEN_BYTES },
	{ NULL },
};
static const struct label errors[] = {
	{ "all", PMD_DISK_ERRORS },
	{ "no-space", PMD_DISK_NO_SPACE },
	{ NULL },
};

static const struct {
	const char *name, *help, *key;
	const struct label *labels;
} metrics[] = {
	{ "viaduct_disk_requests", "Requests that a disk's guest has made.", "kind", requests },
	{ "viaduct_disk_bytes", "Bytes that a disk's guest has read and written.", "way", bytes },
	{ "viaduct_disk_errors", "Requests that were answered with an I/O error.", "kind", errors },
};

void disk_backend_metrics_write(struct daemon *d, FILE *out, bool is_restarts)
{
	struct disks *b = d->disks;

	if (b == NULL)
		return;
	disks_look_lock(b);
	if (is_restarts)
		fprintf(out, "viaduct_backend_restarts_total{backend=\"" DISKS_BACKEND "\"} %llu\n",
			(unsigned long long)b->p.restarts);
	else if (b->p.state != BACKEND_OFF)
		fprintf(out, "viaduct_backend_up{backend=\"" DISKS_BACKEND "\"} %d\n",
			b->p.state == BACKEND_UP);
	disks_look_unlock(b);
}

void disk_metrics_write(struct daemon *d, FILE *out)
{
	struct disks *b = d->disks;

	if (b == NULL)
		return;
	disks_look_lock(b);
	fprintf(out, "# TYPE viaduct_disk_served gauge\n"
		     "# HELP viaduct_disk_served Whether viaduct-pmd serves a disk of a VM that "
		     "runs.\n");
	for (unsigned int i = 0; i < b->count; i++)
		fprintf(out, "viaduct_disk_served{disk=\"%s\"} %d\n", b->disks[i].name,
			b->disks[i].down_ns == 0);
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		fprintf(out, "# TYPE %s counter\n# HELP %s %s\n", metrics[i].name, metrics[i].name,
			metrics[i].help);
		counts_write(b, out, metrics[i].name, metrics[i].key, metrics[i].labels);
	}
	disks_look_unlock(b);
}

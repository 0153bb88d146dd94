// SPDX-License-Identifier: BSD-3-Clause
/* /metrics of disks: as of the last look, a second ago at most. */
#include "vf-manager/disks_core.h"
#include "vf-manager/metrics_disk.h"

struct label {
	const char *value;
	enum pmd_disk_count count;
};

struct metric {
	const char *name, *help, *key;
	const struct label *labels;
};

struct writing {
	FILE *out;
	const struct metric *metric;
};

/* Look locked in all of them. */
static void counts_write(struct vm_disks *b, void *arg)
{
	const struct writing *w = arg;
	const struct metric *m = w->metric;

	for (unsigned int i = 0; b->p.has_status && i < b->status.count; i++) {
		const struct pmd_disk *disk = &b->status.disks[i];

		if (wish_disk_find(b, disk->name) == NULL)
			continue;
		for (const struct label *l = m->labels; l->value != NULL; l++)
			fprintf(w->out, "%s_total{disk=\"%s\",%s=\"%s\"} %llu\n", m->name,
				disk->name, m->key, l->value,
				(unsigned long long)disk->counts[l->count]);
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

static const struct metric metrics[] = {
	{ "viaduct_disk_requests", "Requests that a disk's guest has made.", "kind", requests },
	{ "viaduct_disk_bytes", "Bytes that a disk's guest has read and written.", "way", bytes },
	{ "viaduct_disk_errors", "Requests that were answered with an I/O error.", "kind", errors },
};

static void restarts_write(struct vm_disks *b, void *out)
{
	fprintf(out, "viaduct_backend_restarts_total{backend=\"%s\"} %llu\n", b->p.name,
		(unsigned long long)b->p.restarts);
}

static void up_write(struct vm_disks *b, void *out)
{
	if (b->p.state != BACKEND_OFF)
		fprintf(out, "viaduct_backend_up{backend=\"%s\"} %d\n", b->p.name,
			b->p.state == BACKEND_UP);
}

static void served_write(struct vm_disks *b, void *out)
{
	for (unsigned int i = 0; i < b->count; i++)
		fprintf(out, "viaduct_disk_served{disk=\"%s\"} %d\n", b->disks[i].name,
			b->disks[i].down_ns == 0);
}

void disk_backend_metrics_write(struct daemon *d, FILE *out, bool is_restarts)
{
	vm_disks_each(d, is_restarts ? restarts_write : up_write, out);
}

void disk_metrics_write(struct daemon *d, FILE *out)
{
	if (d->disks == NULL)
		return;
	fprintf(out, "# TYPE viaduct_disk_served gauge\n"
		     "# HELP viaduct_disk_served Whether viaduct-pmd serves a disk of a VM that "
		     "runs.\n");
	vm_disks_each(d, served_write, out);
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		fprintf(out, "# TYPE %s counter\n# HELP %s %s\n", metrics[i].name, metrics[i].name,
			metrics[i].help);
		vm_disks_each(d, counts_write, &(struct writing){ out, &metrics[i] });
	}
}

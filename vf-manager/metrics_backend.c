// SPDX-License-Identifier: BSD-3-Clause
/* The polled engine in /metrics: as many lines as the configuration and the VMs make, whatever viaduct-pmd says. */
#include "vf-manager/backend_core.h"
#include "vf-manager/backend_view.h"
#include "vf-manager/metrics_disk.h"

typedef void part_fn(struct backend *b, FILE *out);

/* All names are those of the configuration or of VMs: nothing in them needs escaping. */
static void locked(struct daemon *d, FILE *out, part_fn *write)
{
	if (d->backend == NULL)
		return;
	look_lock(d->backend);
	write(d->backend, out);
	look_unlock(d->backend);
}

static void up(struct backend *b, FILE *out)
{
	if (b->p.state != BACKEND_OFF)
		fprintf(out, "viaduct_backend_up{backend=\"" BACKEND_NAME "\"} %d\n",
			b->p.state == BACKEND_UP);
	disk_backend_metrics_write(b->d, out, false);
}

static void restarts(struct backend *b, FILE *out)
{
	fprintf(out, "viaduct_backend_restarts_total{backend=\"" BACKEND_NAME "\"} %llu\n",
		(unsigned long long)b->p.restarts);
	disk_backend_metrics_write(b->d, out, true);
}

static void links(struct backend *b, FILE *out)
{
	for (unsigned int i = 0; i < b->d->config.uplink_count; i++) {
		const char *name = b->d->config.uplinks[i].name;
		const struct pmd_uplink *have = b->p.has_status ? pmd_uplink_find(&b->status, name)
								: NULL;

		fprintf(out, "viaduct_uplink_link{uplink=\"%s\"} %d\n", name,
			have != NULL && have->has_link);
	}
}

static void busy(struct backend *b, FILE *out)
{
	for (unsigned int i = 0; b->p.has_status && i < b->status.lcore_count; i++)
		fprintf(out, "viaduct_lcore_busy_ratio{lcore=\"%u\",cpu=\"%d\"} %.4f\n",
			b->status.lcores[i].lcore, b->status.lcores[i].cpu,
			b->status.lcores[i].busy);
}

enum count { PACKETS, BYTES, DROPS };

static const char *const count_names[] = { "packets", "bytes", "drops" };

static uint64_t count_of(const struct pmd_counts *c, enum count which)
{
	return which == PACKETS ? c->packets : which == BYTES ? c->bytes : c->drops;
}

static void uplink_counts(struct backend *b, FILE *out, enum count which)
{
	for (unsigned int i = 0; b->has_stats && i < b->stats.uplink_count; i++) {
		const struct pmd_uplink_stats *s = &b->stats.uplinks[i];

		if (config_uplink_find(&b->d->config, s->name) == NULL)
			continue;
		fprintf(out, "viaduct_uplink_%s_total{uplink=\"%s\",direction=\"rx\"} %llu\n",
			count_names[which], s->name, (unsigned long long)count_of(&s->rx, which));
		fprintf(out, "viaduct_uplink_%s_total{uplink=\"%s\",direction=\"tx\"} %llu\n",
			count_names[which], s->name, (unsigned long long)count_of(&s->tx, which));
	}
}

static const struct pmd_port_stats *port_stats(const struct backend *b, unsigned int port)
{
	for (unsigned int i = 0; b->has_stats && i < b->stats.port_count; i++)
		if (strcmp(b->stats.ports[i].name, b->ports[port].name) == 0)
			return &b->stats.ports[i];
	return NULL;
}

static void port_counts(struct backend *b, FILE *out, enum count which)
{
	for (unsigned int i = 0; i < b->port_count; i++) {
		const struct pmd_port_stats *s = port_stats(b, i);

		if (s == NULL)
			continue;
		fprintf(out, "viaduct_port_%s_total{port=\"%s\",direction=\"from_guest\"} %llu\n",
			count_names[which], s->name,
			(unsigned long long)count_of(&s->from_guest, which));
		fprintf(out, "viaduct_port_%s_total{port=\"%s\",direction=\"to_guest\"} %llu\n",
			count_names[which], s->name,
			(unsigned long long)count_of(&s->to_guest, which));
	}
}

static void port_drops(struct backend *b, FILE *out)
{
	for (unsigned int i = 0; i < b->port_count; i++) {
		const struct pmd_port_stats *s = port_stats(b, i);

		for (unsigned int k = 0; s != NULL && k < PMD_DROPS; k++)
			fprintf(out, "viaduct_port_drops_total{port=\"%s\",reason=\"%s\"} %llu\n",
				s->name, pmd_drop_words[k], (unsigned long long)s->drops[k]);
	}
}

static void uplink_packets(struct backend *b, FILE *out)
{
	uplink_counts(b, out, PACKETS);
}

static void uplink_bytes(struct backend *b, FILE *out)
{
	uplink_counts(b, out, BYTES);
}

static void uplink_drops(struct backend *b, FILE *out)
{
	uplink_counts(b, out, DROPS);
}

static void port_packets(struct backend *b, FILE *out)
{
	port_counts(b, out, PACKETS);
}

static void port_bytes(struct backend *b, FILE *out)
{
	port_counts(b, out, BYTES);
}

static const struct {
	const char *name, *type, *help;
	part_fn *write;
} metrics[] = {
	{ "viaduct_backend_up", "gauge", "Whether viaduct-pmd serves polled ports.", up },
	{ "viaduct_backend_restarts", "counter",
	  "How often viaduct-pmd had to be started again since the daemon's start.", restarts },
	{ "viaduct_uplink_link", "gauge", "Whether a polled uplink has link.", links },
	{ "viaduct_uplink_packets", "counter", "Packets of a polled uplink.", uplink_packets },
	{ "viaduct_uplink_bytes", "counter", "Bytes of a polled uplink.", uplink_bytes },
	{ "viaduct_uplink_drops", "counter", "Packets that a polled uplink dropped.",
	  uplink_drops },
	{ "viaduct_port_packets", "counter", "Packets of a polled port.", port_packets },
	{ "viaduct_port_bytes", "counter", "Bytes of a polled port.", port_bytes },
	{ "viaduct_port_drops", "counter", "Packets of a polled port that went no further.",
	  port_drops },
	{ "viaduct_lcore_busy_ratio", "gauge",
	  "Share of the last second in which a polling thread had packets.", busy },
};

void backend_metrics_write(struct daemon *d, FILE *out)
{
	for (size_t i = 0; d->backend != NULL && i < ARRAY_SIZE(metrics); i++) {
		fprintf(out, "# TYPE %s %s\n", metrics[i].name, metrics[i].type);
		if (metrics[i].write == busy)
			fprintf(out, "# UNIT %s ratio\n", metrics[i].name);
		fprintf(out, "# HELP %s %s\n", metrics[i].name, metrics[i].help);
		locked(d, out, metrics[i].write);
	}
}

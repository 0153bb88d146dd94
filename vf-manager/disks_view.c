// SPDX-License-Identifier: BSD-3-Clause
/* What is said of disks: to `vm show`, `disk show` and the list of backends. */
#include "vf-manager/disks_core.h"

#include "base/json.h"

static json_t *counts_json(const struct pmd_disk *have)
{
	json_t *counts = json_object();

	for (unsigned int i = 0; i < PMD_DISK_COUNTS; i++)
		json_object_set_new(counts, pmd_disk_count_words[i],
				    json_integer((json_int_t)have->counts[i]));
	return counts;
}

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

/* Look locked. Why nobody serves it. */
static const char *absence(const struct disks *b, const struct wish_disk *w)
{
	if (b->p.state == BACKEND_DOWN && b->p.why.text[0] != '\0')
		return b->p.why.text;
	return w->why.text;
}

void disk_view_add(struct daemon *d, const char *name, json_t *out)
{
	struct disks *b = d->disks;
	const struct pmd_disk *have;
	struct wish_disk *w;

	if (b == NULL)
		return;
	disks_look_lock(b);
	w = wish_disk_find(b, name);
	have = w != NULL && b->p.has_status ? pmd_disk_find(&b->status, name) : NULL;
	if (w != NULL) {
		json_object_set_new(out, "iops", json_integer((json_int_t)w->limits.iops));
		json_object_set_new(out, "bandwidth",
				    json_integer((json_int_t)w->limits.bandwidth));
		json_object_set_new(out, "state",
				    json_string(have != NULL ? pmd_disk_state_text(have->state)
							     : "absent"));
		json_object_set_new(out, "error",
				    text_or_null(have != NULL ? have->error : absence(b, w)));
	}
	if (have != NULL) {
		json_object_set_new(out, "size", json_integer((json_int_t)have->size));
		json_object_set_new(out, "direct", json_boolean(have->is_direct));
		json_object_set_new(out, "flush_failed", json_boolean(w->flush_failed));
		json_object_set_new(out, "io_error", text_or_null(have->io_error));
		json_object_set_new(out, "stats", counts_json(have));
	}
	disks_look_unlock(b);
}

json_t *disks_backend_json(struct daemon *d)
{
	struct disks *b = d->disks;
	json_t *out;

	if (b == NULL)
		return json_null();
	disks_look_lock(b);
	out = json_pack("{s:s, s:s, s:o, s:I, s:I, s:s*}", "name", DISKS_BACKEND, "state",
			b->p.state == BACKEND_UP     ? "up"
			: b->p.state == BACKEND_DOWN ? "down"
						     : "off",
			"pid", b->p.peer.pid != 0 ? json_integer(b->p.peer.pid) : json_null(),
			"restarts", (json_int_t)b->p.restarts, "disks", (json_int_t)b->count,
			"problem", b->p.state == BACKEND_DOWN ? b->p.why.text : NULL);
	disks_look_unlock(b);
	return out;
}

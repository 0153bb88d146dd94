// SPDX-License-Identifier: BSD-3-Clause
/* What is said of disks: to `vm show` and `disk show`. */
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
static const char *absence(const struct vm_disks *b, const struct wish_disk *w)
{
	if (b->p.state == BACKEND_DOWN && b->p.why.text[0] != '\0')
		return b->p.why.text;
	return w->why.text;
}

/* Look locked. */
static json_t *backend_json(const struct backend_proc *p)
{
	static const char *const words[] = {
		[BACKEND_OFF] = "off",
		[BACKEND_UP] = "up",
		[BACKEND_DOWN] = "down",
	};

	return json_pack("{s:s, s:s, s:o, s:I}", "name", p->name, "state", words[p->state], "pid",
			 p->peer.pid != 0 ? json_integer(p->peer.pid) : json_null(), "restarts",
			 (json_int_t)p->restarts);
}

/* Look locked. */
static void view_add(struct vm_disks *b, const char *name, json_t *out)
{
	struct wish_disk *w = wish_disk_find(b, name);
	const struct pmd_disk *have = w != NULL && b->p.has_status ? pmd_disk_find(&b->status, name)
								   : NULL;

	if (w == NULL)
		return;
	json_object_set_new(out, "iops", json_integer((json_int_t)w->limits.iops));
	json_object_set_new(out, "bandwidth", json_integer((json_int_t)w->limits.bandwidth));
	json_object_set_new(out, "backend", backend_json(&b->p));
	json_object_set_new(out, "state",
			    json_string(have != NULL ? pmd_disk_state_text(have->state)
						     : "absent"));
	json_object_set_new(out, "error", text_or_null(have != NULL ? have->error : absence(b, w)));
	if (have == NULL)
		return;
	json_object_set_new(out, "size", json_integer((json_int_t)have->size));
	json_object_set_new(out, "direct", json_boolean(have->is_direct));
	json_object_set_new(out, "flush_failed", json_boolean(w->flush_failed));
	json_object_set_new(out, "io_error", text_or_null(have->io_error));
	json_object_set_new(out, "stats", counts_json(have));
}

void disk_view_add(struct daemon *d, const char *name, json_t *out)
{
	struct vm_disks *b;

	if (d->disks == NULL)
		return;
	pthread_mutex_lock(&d->disks->list);
	b = vm_disks_find(d, name);
	if (b != NULL) {
		disks_look_lock(b);
		view_add(b, name, out);
		disks_look_unlock(b);
	}
	pthread_mutex_unlock(&d->disks->list);
}

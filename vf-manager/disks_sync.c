// SPDX-License-Identifier: BSD-3-Clause
/* The process that serves disks, brought to what it should serve: looked at each second, and at once when it has started. */
#include "vf-manager/disks_core.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/monitor.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define ERRORS_NS 300000000000ULL /* since the last one: then the alarm is over */
#define SPACE_NS \
	10000000000ULL /* a write that came through so long after the last that found no room */
#define GRACE_NS 5000000000ULL /* a disk that nobody serves for longer is an alarm */
#define LOOK_NS	 3000000000ULL /* nothing more is asked for in a look that takes longer */

/* After a restart of the daemon: not by its path, which may be another's by now, but of its VMM, which has it open. */
int disk_handle_find(struct vm_disks *b, struct wish_disk *w, struct err *e)
{
	int fd = -1;

	if (w->handle >= 0)
		return 0;
	if (w->vmm > 0 && image_find(w->vmm, &w->id, &fd) == 0) {
		disks_look_lock(b);
		w->handle = fd;
		disks_look_unlock(b);
		return 0;
	}
	err_set(e, ENOENT, "its image %.200s is not to be found: its VMM has let it go", w->path);
	return err_code(e, "image-lost");
}

int disk_sync_add(struct vm_disks *b, struct wish_disk *w, struct err *e)
{
	auto_json json_t *body = json_pack(
		"{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:b}", "op", "disk-add", "disk", w->name,
		"socket", w->socket, "readonly", (int)w->how.is_readonly, "serial", w->serial,
		"queues", (json_int_t)w->queues, "iops", (json_int_t)w->limits.iops, "bandwidth",
		(json_int_t)w->limits.bandwidth, "flush_failed", (int)w->flush_failed);
	auto_fd int image = -1;
	int r = disk_handle_find(b, w, e);

	if (r == 0)
		r = image_reopen(w->handle, &w->id, &w->how, &image, e);
	if (r == 0)
		r = pmd_call_image(b->d, &b->p.peer, body, image, e);
	if (r == 0)
		w->is_stale = false;
	return r;
}

int disk_sync_limit(struct vm_disks *b, struct wish_disk *w, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s, s:s, s:I, s:I}", "op", "disk-set", "disk",
					   w->name, "iops", (json_int_t)w->limits.iops, "bandwidth",
					   (json_int_t)w->limits.bandwidth);
	int r = pmd_call(b->d, &b->p.peer, body, NULL, e);

	if (r == 0)
		w->is_stale = false;
	return r;
}

static int status_read(struct vm_disks *b, struct err *e)
{
	auto_json json_t *ask = json_pack("{s:s}", "op", "status");
	auto_json json_t *ask_stats = json_pack("{s:s}", "op", "stats");
	auto_json json_t *status = NULL, *stats = NULL;
	int r = pmd_call(b->d, &b->p.peer, ask, &status, e);

	if (r == 0)
		r = pmd_call(b->d, &b->p.peer, ask_stats, &stats, e);
	return r == 0 ? pmd_disks_read(status, stats, &b->fresh, e) : r;
}

static void why_set(struct vm_disks *b, struct wish_disk *w, const struct err *why)
{
	if (why->errnum != 0 && strcmp(w->why.text, why->text) != 0)
		log_err(why, w->name);
	disks_look_lock(b);
	w->why = *why;
	disks_look_unlock(b);
}

static bool is_silence(const struct err *e)
{
	return strcmp(e->code, "backend-down") == 0;
}

void disk_sync_remove(struct vm_disks *b, const char *name)
{
	auto_json json_t *body = json_pack("{s:s, s:s}", "op", "disk-remove", "disk", name);
	struct err e = { 0 };

	if (pmd_call(b->d, &b->p.peer, body, NULL, &e) == 0)
		return;
	if (is_silence(&e))
		(void)backend_silence(&b->p, &e);
	else
		log_err(&e, name);
}

/* *asked: how many. */
static int missing_add(struct vm_disks *b, uint64_t until, unsigned int *asked, struct err *e)
{
	for (unsigned int i = 0; i < b->count && now_ns() < until; i++) {
		struct wish_disk *w = &b->disks[i];
		struct err why = { 0 };

		if (pmd_disk_find(&b->fresh, w->name) == NULL) {
			(void)disk_sync_add(b, w, &why);
			++*asked;
		} else if (w->is_stale) {
			(void)disk_sync_limit(b, w, &why);
		}
		why_set(b, w, &why);
		if (is_silence(&why)) {
			*e = why;
			return -ETIMEDOUT;
		}
	}
	return 0;
}

static void tell(struct vm_disks *b, const struct wish_disk *w, const char *text)
{
	struct err e = { 0 };

	state_lock(b->d);
	if (ledger_event_add(b->d->ledger, "disk", w->name, text, &e) < 0)
		log_err(&e, w->name);
	state_unlock(b->d);
}

/* Look locked. What is worth an event; NULL: nothing. A new process counts from 0; what one that was found again has counted,
 * a daemon before has told of. */
static const char *counts_note(struct wish_disk *w, const struct pmd_disk *have, uint64_t now)
{
	const uint64_t no_space = have->counts[PMD_DISK_NO_SPACE];
	const uint64_t errors =
		have->counts[PMD_DISK_ERRORS] - u64_min(no_space, have->counts[PMD_DISK_ERRORS]);
	const char *news = NULL;

	if (!w->is_counted) {
		w->is_counted = true;
		w->errors = errors;
		w->no_space = no_space;
	}
	if (no_space > w->no_space) {
		w->written = have->counts[PMD_DISK_WRITTEN_BYTES];
		news = w->no_space_at == 0 ? "writes fail: the file system of its image is full"
					   : NULL;
		w->no_space_at = now;
	}
	if (errors > w->errors) {
		memcpy(w->io_error, have->io_error, sizeof(w->io_error));
		if (w->errors_at == 0 && news == NULL)
			news = w->io_error[0] != '\0' ? w->io_error : "requests fail";
		w->errors_at = now;
	}
	w->errors = errors;
	w->no_space = no_space;
	return news;
}

/* Look locked. What has not happened again for long, or cannot any more, is over. */
static const char *counts_forget(struct wish_disk *w, const struct pmd_disk *have, uint64_t now)
{
	bool is_through;

	if (w->errors_at != 0 && now - w->errors_at >= ERRORS_NS)
		w->errors_at = 0;
	if (w->no_space_at == 0 || now - w->no_space_at < SPACE_NS)
		return NULL;
	is_through = have != NULL && have->counts[PMD_DISK_WRITTEN_BYTES] > w->written;
	if (!is_through && now - w->no_space_at < ERRORS_NS)
		return NULL;
	w->no_space_at = 0;
	return is_through ? "writes come through again" : "no write has failed for minutes";
}

/* Look locked. True: whether it is down has changed. */
static bool served_note(struct wish_disk *w, const struct pmd_disk *have, uint64_t now)
{
	const bool was_down = w->is_down;

	if (have != NULL && (have->state == PMD_DISK_CONNECTED || have->state == PMD_DISK_RUNNING))
		w->down_ns = 0;
	else if (w->down_ns == 0)
		w->down_ns = now;
	w->is_down = w->down_ns != 0 && now - w->down_ns >= GRACE_NS;
	return was_down != w->is_down;
}

static void publish(struct vm_disks *b)
{
	const uint64_t now = now_ns();
	bool is_news;

	disks_look_lock(b);
	is_news = !b->p.has_status;
	b->status = b->fresh;
	b->p.has_status = true;
	disks_look_unlock(b);
	for (unsigned int i = 0; i < b->count; i++) {
		struct wish_disk *w = &b->disks[i];
		const struct pmd_disk *have = pmd_disk_find(&b->status, w->name);
		const uint64_t errors_at = w->errors_at;
		const char *what = NULL;

		disks_look_lock(b);
		is_news |= served_note(w, have, now);
		if (have != NULL) {
			w->flush_failed |= have->flush_failed;
			what = counts_note(w, have, now);
		}
		if (what == NULL)
			what = counts_forget(w, have, now);
		disks_look_unlock(b);
		if (what != NULL)
			tell(b, w, what);
		is_news |= what != NULL || (errors_at == 0) != (w->errors_at == 0);
	}
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

/* Nobody says that they are served. */
static void away_note(struct vm_disks *b)
{
	const uint64_t now = now_ns();
	bool is_news = false;

	disks_look_lock(b);
	for (unsigned int i = 0; i < b->count; i++)
		is_news |= served_note(&b->disks[i], NULL, now);
	disks_look_unlock(b);
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

static void look(struct vm_disks *b)
{
	const uint64_t until = now_ns() + LOOK_NS;
	unsigned int asked = 0;
	struct err e = { 0 };
	int r = status_read(b, &e);

	if (r == 0)
		r = missing_add(b, until, &asked, &e);
	if (r == 0 && asked > 0)
		r = status_read(b, &e);
	if (r == 0) {
		b->p.silences = 0;
		publish(b);
	} else if (!backend_silence(&b->p, &e)) {
		away_note(b);
	}
}

bool disks_start_wanted(struct vm_disks *b)
{
	backend_end_note(&b->p);
	if (b->p.pidfd < 0 && now_ns() >= b->p.retry_ns && backend_proc_start(&b->p)) {
		/* It has none of their errors. */
		for (unsigned int i = 0; i < b->count; i++) {
			b->disks[i].errors = b->disks[i].no_space = b->disks[i].written = 0;
			b->disks[i].is_counted = true;
		}
		backend_kick(&b->p);
	}
	return b->p.pidfd >= 0 && b->p.state == BACKEND_UP;
}

void disks_settle(struct vm_disks *b)
{
	backend_end_note(&b->p);
	if (!b->p.is_wanted && b->is_left && b->p.pidfd >= 0 && disks_vmm_find(b) != 0)
		return;
	b->is_left = false;
	if (!b->p.is_wanted)
		(void)backend_proc_off(&b->p);
	else if (disks_start_wanted(b))
		look(b);
	else
		away_note(b);
}

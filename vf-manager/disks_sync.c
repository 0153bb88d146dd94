// SPDX-License-Identifier: BSD-3-Clause
/* The process that serves disks, brought to what it should serve: looked at each second, and at once when it has started. */
#include "vf-manager/disks_core.h"
#include "vf-manager/ledger_event.h"
#include "vf-manager/monitor.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ERRORS_NS 300000000000ULL /* since the last one: then the alarm is over */
#define SPACE_NS  5000000000ULL /* between a write that found no room, and a look whether there is */

/* After a restart of the daemon: its VMM has it open, and where it was it may still be. */
static int handle_find(struct wish_disk *w, struct err *e)
{
	struct image_id is;
	int fd = -1;

	if (w->handle >= 0)
		return 0;
	if (w->vmm > 0 && image_find(w->vmm, &w->id, &fd) == 0) {
		w->handle = fd;
		return 0;
	}
	fd = open(w->path, O_PATH | O_CLOEXEC);
	if (fd >= 0 && image_id_read(fd, &is) == 0 && image_id_is(&is, &w->id)) {
		w->handle = fd;
		return 0;
	}
	fd_close(&fd);
	err_set(e, ENOENT,
		"its image is not to be found: its VMM has let it go, and %.200s is not it",
		w->path);
	return err_code(e, "image-lost");
}

int disk_sync_add(struct disks *b, struct wish_disk *w, struct err *e)
{
	auto_json json_t *body =
		json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:I}", "op", "disk-add", "disk",
			  w->name, "socket", w->socket, "readonly", (int)w->how.is_readonly,
			  "serial", w->serial, "queues", (json_int_t)w->queues, "iops",
			  (json_int_t)w->limits.iops, "bandwidth", (json_int_t)w->limits.bandwidth);
	auto_fd int image = -1;
	int r = handle_find(w, e);

	if (r == 0)
		r = image_reopen(w->handle, &w->id, &w->how, &image, e);
	if (r == 0)
		r = pmd_call_image(b->d, &b->p.peer, body, image, e);
	if (r == 0)
		w->is_stale = false;
	return r;
}

int disk_sync_limit(struct disks *b, struct wish_disk *w, struct err *e)
{
	auto_json json_t *body = json_pack("{s:s, s:s, s:I, s:I}", "op", "disk-set", "disk",
					   w->name, "iops", (json_int_t)w->limits.iops, "bandwidth",
					   (json_int_t)w->limits.bandwidth);
	int r = pmd_call(b->d, &b->p.peer, body, NULL, e);

	if (r == 0)
		w->is_stale = false;
	return r;
}

static int status_read(struct disks *b, struct err *e)
{
	auto_json json_t *ask = json_pack("{s:s}", "op", "status");
	auto_json json_t *ask_stats = json_pack("{s:s}", "op", "stats");
	auto_json json_t *status = NULL, *stats = NULL;
	int r = pmd_call(b->d, &b->p.peer, ask, &status, e);

	if (r == 0)
		r = pmd_call(b->d, &b->p.peer, ask_stats, &stats, e);
	return r == 0 ? pmd_disks_read(status, stats, &b->fresh, e) : r;
}

static void why_set(struct disks *b, struct wish_disk *w, const struct err *why)
{
	if (why->errnum != 0 && strcmp(w->why.text, why->text) != 0)
		log_err(why, w->name);
	disks_look_lock(b);
	w->why = *why;
	disks_look_unlock(b);
}

static void extra_remove(struct disks *b)
{
	for (unsigned int i = 0; i < b->fresh.count; i++) {
		const char *name = b->fresh.disks[i].name;
		auto_json json_t *body = json_pack("{s:s, s:s}", "op", "disk-remove", "disk", name);

		if (wish_disk_find(b, name) == NULL)
			(void)pmd_call(b->d, &b->p.peer, body, NULL, NULL);
	}
}

/* How many were asked for. */
static unsigned int missing_add(struct disks *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < b->count; i++) {
		struct wish_disk *w = &b->disks[i];
		struct err e = { 0 };

		if (pmd_disk_find(&b->fresh, w->name) == NULL) {
			(void)disk_sync_add(b, w, &e);
			n++;
		} else if (w->is_stale) {
			(void)disk_sync_limit(b, w, &e);
		}
		why_set(b, w, &e);
	}
	return n;
}

static void tell(struct disks *b, const struct wish_disk *w, const char *text)
{
	struct err e = { 0 };

	state_lock(b->d);
	if (ledger_event_add(b->d->ledger, "disk", w->name, text, &e) < 0)
		log_err(&e, w->name);
	state_unlock(b->d);
}

/* Look locked. What is worth an event; NULL: nothing. A new process counts from 0. */
static const char *counts_note(struct wish_disk *w, const struct pmd_disk *have, uint64_t now)
{
	const uint64_t no_space = have->counts[PMD_DISK_NO_SPACE];
	const uint64_t errors =
		have->counts[PMD_DISK_ERRORS] - u64_min(no_space, have->counts[PMD_DISK_ERRORS]);
	const char *news = NULL;

	if (no_space > w->no_space) {
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
static const char *counts_forget(struct wish_disk *w, uint64_t now)
{
	struct statfs fs;

	if (w->errors_at != 0 && now - w->errors_at >= ERRORS_NS)
		w->errors_at = 0;
	if (w->no_space_at == 0 || now - w->no_space_at < SPACE_NS || w->handle < 0 ||
	    (now - w->no_space_at < ERRORS_NS && w->id.ino == 0) ||
	    (w->id.ino != 0 && fstatfs(w->handle, &fs) == 0 && fs.f_bavail == 0))
		return NULL;
	w->no_space_at = 0;
	return "the file system of its image has room again";
}

/* True: whether it is served has changed. */
static bool served_note(struct wish_disk *w, const struct pmd_disk *have, uint64_t now)
{
	const bool was_down = w->down_ns != 0;

	if (have != NULL && have->state != PMD_DISK_LOCKED)
		w->down_ns = 0;
	else if (w->down_ns == 0)
		w->down_ns = now;
	return was_down != (w->down_ns != 0);
}

static void publish(struct disks *b)
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
		if (have != NULL)
			what = counts_note(w, have, now);
		if (what == NULL)
			what = counts_forget(w, now);
		disks_look_unlock(b);
		if (what != NULL)
			tell(b, w, what);
		is_news |= what != NULL || (errors_at == 0) != (w->errors_at == 0);
	}
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

static void look(struct disks *b)
{
	struct err e = { 0 };
	int r = status_read(b, &e);

	if (r == 0)
		extra_remove(b);
	if (r == 0 && missing_add(b) > 0)
		r = status_read(b, &e);
	if (r == 0) {
		b->p.silences = 0;
		publish(b);
	} else {
		backend_silence(&b->p, &e);
	}
}

static void away_note(struct disks *b)
{
	bool is_news = false;

	disks_look_lock(b);
	for (unsigned int i = 0; i < b->count; i++)
		if (b->disks[i].down_ns == 0) {
			b->disks[i].down_ns = now_ns();
			is_news = true;
		}
	disks_look_unlock(b);
	if (is_news && b->d->monitor != NULL)
		monitor_kick(b->d->monitor);
}

void disks_settle(struct disks *b)
{
	backend_end_note(&b->p);
	if (!b->p.is_wanted) {
		backend_proc_off(&b->p);
		return;
	}
	if (b->p.pidfd < 0 && now_ns() >= b->p.retry_ns && backend_proc_start(&b->p))
		/* It has none of their errors. */
		for (unsigned int i = 0; i < b->count; i++)
			b->disks[i].errors = b->disks[i].no_space = 0;
	if (b->p.pidfd >= 0)
		look(b);
	else
		away_note(b);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/webhook.h"

#include "vf-manager/eventstream.h"
#include "vf-manager/ledger_event.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/parse.h"

#include <curl/curl.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PAGE	   64
#define CONNECT_S  5L
#define WHOLE_S	   10L
#define REPLY_MAX  65536U
#define BACK_OFF_S 60U /* at most */
#define QUIET_S	   60U

struct webhook {
	struct daemon *d;
	CURL *curl;
	struct curl_slist *headers;
	pthread_t thread;
	uint64_t since; /* the last event that was taken, or that needs no telling */
	bool is_lost; /* events before it are no longer kept */
	unsigned int failures;
	size_t reply_bytes;
};

int webhook_url_check(const char *url, struct err *e)
{
	static const char *const starts[] = { "http://", "https://", "unix:/" };

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		size_t len = strlen(starts[i]);

		if (strncmp(url, starts[i], len) == 0 && url[len] != '\0')
			return 0;
	}
	return err_set(e, EINVAL,
		       "alarms: webhook: '%s' is neither http://..., https://... nor unix:/PATH",
		       url);
}

static char *cursor_path(const struct webhook *w, const char *suffix, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/webhook%s", w->d->opt->state_dir, suffix);
	return buf;
}

/* What was never told begins now: who is new is not sent the past. */
static int cursor_load(struct webhook *w, struct err *e)
{
	char path[PATH_MAX], text[32];
	uint64_t oldest, newest;
	int r = ledger_event_range(w->d->ledger, &oldest, &newest, e);

	w->since = newest;
	if (r == 0 && file_read_at(AT_FDCWD, cursor_path(w, "", path), text, sizeof(text)) > 0)
		parse_u64(text, newest, &w->since);
	return r;
}

/* Should this fail the receiver hears it again after a restart. */
static void cursor_save(const struct webhook *w)
{
	char path[PATH_MAX], next[PATH_MAX], text[32];
	auto_fd int fd = open(cursor_path(w, ".new", next),
			      O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)w->since);

	if (fd < 0 || fd_write_all(fd, text, (size_t)n) < 0 || fdatasync(fd) < 0 ||
	    rename(next, cursor_path(w, "", path)) < 0)
		log_warn("webhook: write %s: %s", next, strerror(errno));
}

struct page {
	json_t *alarms;
	uint64_t last;
};

static void page_add(void *arg, const struct event *event)
{
	struct page *page = arg;

	page->last = event->cursor;
	if (strcmp(event->kind, "alarm") == 0)
		json_array_append_new(page->alarms, event_json(event));
}

/* State locked. What there is to tell, or NULL; `last` is what is told with it. */
static json_t *page_make(struct webhook *w, uint64_t *last)
{
	struct page page = { .alarms = json_array(), .last = w->since };
	const struct event_walk walk = { w->since, PAGE, page_add, &page };
	uint64_t oldest = 0, newest = 0;
	struct err e = { 0 };
	int r = ledger_event_range(w->d->ledger, &oldest, &newest, &e);

	if (r == 0 && oldest > w->since + 1) {
		w->is_lost = true;
		w->since = oldest - 1;
	}
	if (r == 0)
		r = ledger_event_each(w->d->ledger, &walk, &e);
	if (r < 0)
		log_err(&e, "webhook");
	*last = page.last;
	if (r < 0 || json_array_size(page.alarms) == 0) {
		if (r == 0)
			w->since = page.last;
		json_decref(page.alarms);
		return NULL;
	}
	return json_pack("{s:o, s:o, s:b}", "events", page.alarms, "alarms",
			 alarms_json(w->d->ledger), "lost", (int)w->is_lost);
}

static size_t reply_take(char *data, size_t size, size_t count, void *arg)
{
	struct webhook *w = arg;

	w->reply_bytes += size * count;
	return w->reply_bytes <= REPLY_MAX ? size * count : 0;
}

static int is_over(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct webhook *w = arg;
	bool is_ending;

	state_lock(w->d);
	is_ending = w->d->is_ending;
	state_unlock(w->d);
	return is_ending;
}

/* True: it was taken. No lock held. */
static bool tell(struct webhook *w, const json_t *page)
{
	auto_free char *text = json_dumps(page, JSON_COMPACT);
	long status = 0;
	CURLcode code;

	if (text == NULL)
		return false;
	w->reply_bytes = 0;
	curl_easy_setopt(w->curl, CURLOPT_POSTFIELDS, text);
	curl_easy_setopt(w->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(text));
	code = curl_easy_perform(w->curl);
	curl_easy_getinfo(w->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK && status / 100 == 2) {
		if (w->failures > 0)
			log_info("webhook: alarms are taken again");
		w->failures = 0;
		return true;
	}
	if (w->failures++ == 0 && code == CURLE_OK)
		log_warn("webhook: HTTP %ld; alarms are kept and told again", status);
	else if (w->failures == 1 && code != CURLE_ABORTED_BY_CALLBACK)
		log_warn("webhook: %s; alarms are kept and told again", curl_easy_strerror(code));
	return false;
}

/* State locked; unlocked while it waits. New events wake it, but do not shorten what it waits after a failure. */
static void wait_for_more(struct webhook *w)
{
	unsigned int back_off = 1U << u64_min(w->failures, 6);
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(w->failures > 0 ? u64_min(back_off, BACK_OFF_S) : QUIET_S);
	while (!w->d->is_ending &&
	       pthread_cond_timedwait(&w->d->changed, &w->d->state, &until) == 0)
		if (w->failures == 0)
			return;
}

static void *run(void *arg)
{
	struct webhook *w = arg;
	uint64_t last;

	state_lock(w->d);
	while (!w->d->is_ending) {
		const uint64_t before = w->since;
		auto_json json_t *page = page_make(w, &last);
		bool is_taken;

		if (page == NULL) {
			/* A page full of other events may have alarms behind it. */
			if (last < before + PAGE)
				wait_for_more(w);
			continue;
		}
		state_unlock(w->d);
		is_taken = tell(w, page);
		if (is_taken) {
			w->since = last;
			w->is_lost = false;
			cursor_save(w);
		}
		state_lock(w->d);
		if (!is_taken)
			wait_for_more(w);
	}
	state_unlock(w->d);
	return NULL;
}

static int curl_prepare(struct webhook *w, struct err *e)
{
	const char *url = w->d->config.webhook;

	w->curl = curl_easy_init();
	w->headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (w->curl == NULL || w->headers == NULL)
		return err_set(e, ENOMEM, "no memory");
	if (strncmp(url, "unix:", 5) == 0) {
		curl_easy_setopt(w->curl, CURLOPT_UNIX_SOCKET_PATH, url + 5);
		url = "http://localhost/";
	}
	curl_easy_setopt(w->curl, CURLOPT_URL, url);
	curl_easy_setopt(w->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(w->curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(w->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(w->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(w->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(w->curl, CURLOPT_TIMEOUT, WHOLE_S);
	curl_easy_setopt(w->curl, CURLOPT_HTTPHEADER, w->headers);
	curl_easy_setopt(w->curl, CURLOPT_WRITEFUNCTION, reply_take);
	curl_easy_setopt(w->curl, CURLOPT_WRITEDATA, w);
	curl_easy_setopt(w->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(w->curl, CURLOPT_XFERINFOFUNCTION, is_over);
	curl_easy_setopt(w->curl, CURLOPT_XFERINFODATA, w);
	return 0;
}

static void webhook_free(struct webhook *w)
{
	curl_easy_cleanup(w->curl);
	curl_slist_free_all(w->headers);
	free(w);
}

int webhook_create(struct daemon *d, struct webhook **out, struct err *e)
{
	struct webhook *w;
	int r;

	*out = NULL;
	if (d->config.webhook[0] == '\0')
		return 0;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return err_set(e, ENOMEM, "no memory");
	w->d = d;
	r = curl_prepare(w, e);
	if (r == 0)
		r = cursor_load(w, e);
	if (r == 0) {
		cursor_save(w);
		r = pthread_create(&w->thread, NULL, run, w);
		if (r != 0)
			r = err_set(e, r, "a thread for the webhook: %s", strerror(r));
	}
	if (r < 0) {
		webhook_free(w);
		return r;
	}
	*out = w;
	return 0;
}

void webhook_destroy(struct webhook *w)
{
	if (w == NULL)
		return;
	pthread_join(w->thread, NULL);
	webhook_free(w);
}

// SPDX-License-Identifier: BSD-3-Clause
#include "cli/client.h"

#include "cli/oneshot.h"
#include "cli/text.h"

#include "base/fd.h"
#include "base/json.h"
#include "vf-manager/api.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define URL_BASE "http://localhost" /* a matter of form: the connection is a Unix socket */

#define ITEM_MAX	  255
#define PROGRESS_AFTER_NS 1000000000ULL
#define REPLY_ROOM	  4096
#define RETRIES		  12
#define RETRY_PAUSE_NS	  250000000L

struct client {
	const struct settings *settings; /* borrowed */
	CURL *curl;
	struct oneshot oneshot;
	long http_status;

	/* Of the request under way. */
	char *reply;
	size_t reply_len;
	size_t reply_room;
	bool reply_too_long;
	const char *progress;
	bool progress_shown;
	uint64_t started_ns, progress_since_ns;
};

static size_t on_reply(char *data, size_t size, size_t count, void *arg)
{
	struct client *c = arg;
	size_t len = size * count, room = c->reply_room;
	char *grown;

	if (len > CLIENT_MAX_REPLY - c->reply_len) {
		c->reply_too_long = true;
		return 0;
	}
	/* Twice as much each time: a long reply comes in a thousand pieces. */
	while (room < c->reply_len + len + 1)
		room = room == 0 ? REPLY_ROOM : 2 * room;
	if (room != c->reply_room) {
		grown = realloc(c->reply, room);
		if (grown == NULL)
			return 0;
		c->reply = grown;
		c->reply_room = room;
	}
	memcpy(c->reply + c->reply_len, data, len);
	c->reply_len += len;
	return len;
}

/* libcurl calls this about once a second while it waits. */
static int on_progress(void *arg, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	struct client *c = arg;
	uint64_t ns = now_ns() - c->started_ns;

	if (c->progress != NULL && ns >= PROGRESS_AFTER_NS && isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r%s ... %llu s\033[K", c->progress,
			(unsigned long long)(ns / 1000000000));
		fflush(stderr);
		c->progress_shown = true;
	}
	return 0;
}

static int client_prepare(struct client *c)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_NOPROGRESS, 0 },
		{ CURLOPT_PATH_AS_IS, 1 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_FORBID_REUSE, 1 }, /* a one-shot daemon ends with its connection */
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
	};
	int bad = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		bad |= curl_easy_setopt(c->curl, numbers[i].option, numbers[i].value) != CURLE_OK;
	/* Neither http_proxy nor a name service has a say in where a local command goes. */
	bad |= curl_easy_setopt(c->curl, CURLOPT_PROXY, "") != CURLE_OK;
	bad |= curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_reply) != CURLE_OK;
	bad |= curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c) != CURLE_OK;
	bad |= curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress) != CURLE_OK;
	bad |= curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c) != CURLE_OK;
	return bad ? -EIO : 0;
}

int client_create(struct client **out, const struct settings *settings, struct err *e)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(e, ENOMEM, "out of memory");
	c->settings = settings;
	oneshot_init(&c->oneshot);
	c->curl = curl_easy_init();
	if (c->curl == NULL || client_prepare(c) < 0) {
		client_destroy(c);
		return err_set(e, EIO, "libcurl cannot be set up");
	}
	*out = c;
	return 0;
}

void client_destroy(struct client *c)
{
	if (c == NULL)
		return;
	if (c->curl != NULL)
		curl_easy_cleanup(c->curl);
	oneshot_fini(&c->oneshot);
	free(c->reply);
	free(c);
}

long client_http_status(const struct client *c)
{
	return c->http_status;
}

static int no_daemon(const struct client *c, const char *path, int cause, struct err *e)
{
	if (cause == EACCES || cause == EPERM) {
		err_set(e, EACCES, "not allowed to talk to viaductd at %s", path);
		err_code(e, "daemon-not-allowed");
		return err_hint(e, "the same command with sudo, or as a member of the group that "
				   "owns the socket");
	}
	/* The queue of the socket is full, so somebody has it. libcurl takes EAGAIN for a connection
	 * under way and then knows no cause. */
	if (cause == EAGAIN || cause == 0) {
		err_set(e, EAGAIN, "viaductd at %s has too many callers", path);
		err_code(e, "daemon-busy");
		return err_hint(e, "the same command again");
	}
	err_set(e, ENOTCONN, "viaductd is not running (%s: %s)", path, strerror(cause));
	err_code(e, "daemon-not-running");
	if (c->settings->socket[0] != '\0')
		return err_hint(e, "without --socket, or start the daemon that serves this socket");
	return err_hint(e, "systemctl start viaductd   (without systemd, as root: viaductd &)");
}

static int request_url(const struct request *rq, char *buf, size_t cap, struct err *e)
{
	char *item = NULL;
	int n;

	if (rq->item != NULL) {
		size_t len = strlen(rq->item);

		if (len == 0 || len > ITEM_MAX || strcmp(rq->item, ".") == 0 ||
		    strcmp(rq->item, "..") == 0 || strchr(rq->item, '/') != NULL) {
			err_set(e, EINVAL, "'%.64s' is no name", rq->item);
			return err_code(e, "usage");
		}
		item = curl_easy_escape(NULL, rq->item, (int)len);
		if (item == NULL)
			return err_set(e, ENOMEM, "out of memory");
	}
	n = snprintf(buf, cap, "%s%s%s%s%s%s%s%s", URL_BASE, rq->collection, item ? "/" : "",
		     item ? item : "", rq->action ? "/" : "", rq->action ? rq->action : "",
		     rq->query ? "?" : "", rq->query ? rq->query : "");
	curl_free(item);
	return n > 0 && (size_t)n < cap ? 0 : err_set(e, ENAMETOOLONG, "the name is too long");
}

static int call_failed(const struct client *c, const struct request *rq, CURLcode code,
		       struct err *e)
{
	char words[256];

	if (c->reply_too_long)
		return err_set(e, EMSGSIZE, "viaductd's reply is longer than %u MiB",
			       CLIENT_MAX_REPLY >> 20);
	if (code == CURLE_OPERATION_TIMEDOUT) {
		err_set(e, ETIMEDOUT, "no answer from viaductd within %u s",
			rq->timeout_s ? rq->timeout_s : CLIENT_TIMEOUT_S);
		return err_hint(e, rq->read_only ? "journalctl -u viaductd"
						 : "viaduct vm list   (the operation may still be "
						   "under way); journalctl -u viaductd");
	}
	if (c->oneshot.pid > 0) {
		oneshot_words(&c->oneshot, words, sizeof(words));
		return err_set(e, ECONNRESET, "viaductd --oneshot did not answer%s%s",
			       words[0] ? ": " : "", words);
	}
	err_set(e, ECONNRESET, "viaductd did not answer: %s", curl_easy_strerror(code));
	return err_hint(e, "journalctl -u viaductd");
}

/* The daemon's own words, made safe and short enough. Returns the errno it names. */
static int reply_error(long status, const json_t *body, struct err *e)
{
	const json_t *error = json_object_get(body, "error");
	const char *text = json_string_value(json_object_get(error, "text"));
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *hint = json_string_value(json_object_get(error, "hint"));
	char clean[sizeof(e->text)];
	uint64_t errnum = EIO;

	if (text == NULL)
		return err_set(e, EBADMSG, "viaductd answered HTTP %ld and no reason", status);
	json_get_u64_opt(error, "errno", 4095, &errnum, NULL);
	text_clean(clean, sizeof(clean), text);
	err_set(e, (int)errnum, "%s", clean);
	text_clean(clean, sizeof(e->code), code != NULL ? code : "");
	err_code(e, clean);
	text_clean(clean, sizeof(e->hint), hint != NULL ? hint : "");
	return err_hint(e, "%s", clean);
}

int client_refusal(struct client *c, long status, const json_t *body, struct err *e)
{
	c->http_status = status;
	return reply_error(status, body, e);
}

static int reply_parse(struct client *c, json_t **body, struct err *e)
{
	bool is_done = c->http_status >= 200 && c->http_status < 300;
	auto_json json_t *j = NULL;
	json_error_t where;

	j = json_loadb(c->reply != NULL ? c->reply : "", c->reply_len, JSON_REJECT_DUPLICATES,
		       &where);
	if (!json_is_object(j) && !is_done)
		return err_set(e, EBADMSG, "viaductd answered HTTP %ld and no reason",
			       c->http_status);
	if (!json_is_object(j))
		return err_set(e, EBADMSG, "viaductd's reply is no JSON object (HTTP %ld)",
			       c->http_status);
	if (!is_done) {
		int r = reply_error(c->http_status, j, e);

		if (json_is_object(json_object_get(j, "error")))
			*body = json_incref(j);
		return r;
	}
	*body = ptr_take(&j);
	return 0;
}

/* One exchange on the Unix socket that libcurl was told. */
static CURLcode client_perform(struct client *c)
{
	CURLcode code;

	free(ptr_take(&c->reply));
	c->reply_len = c->reply_room = 0;
	c->reply_too_long = false;
	c->progress_shown = false;
	c->started_ns = c->progress_since_ns != 0 ? c->progress_since_ns : now_ns();
	code = curl_easy_perform(c->curl);
	if (c->progress_shown)
		fputs("\r\033[K", stderr);
	if (code == CURLE_OK)
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->http_status);
	return code;
}

static int oneshot_perform(struct client *c, const struct request *rq, struct err *e)
{
	const struct settings *s = c->settings;
	char name[ONESHOT_NAME];
	CURLcode code;
	int r;

	oneshot_fini(&c->oneshot);
	r = oneshot_start(&c->oneshot, s->run_dir_given ? s->run_dir : NULL, name, e);
	if (r < 0)
		return err_wrap(e, "no daemon runs, and none can be started to read the machine");
	curl_easy_setopt(c->curl, CURLOPT_ABSTRACT_UNIX_SOCKET, name);
	code = client_perform(c);
	return code == CURLE_OK ? 0 : call_failed(c, rq, code, e);
}

/* Asks the daemon; when there is none and nothing is to be changed, a daemon for this request. */
static int client_exchange(struct client *c, const struct request *rq, struct err *e)
{
	char path[SETTINGS_PATH];
	long cause = 0;
	CURLcode code;
	int r = settings_socket(c->settings, path, sizeof(path), e);

	if (r < 0)
		return r;
	curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, path);
	code = client_perform(c);
	if (code == CURLE_OK)
		return 0;
	if (code != CURLE_COULDNT_CONNECT)
		return call_failed(c, rq, code, e);
	curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &cause);
	/* A socket that was asked for by name is that daemon or none. */
	if ((cause != ENOENT && cause != ECONNREFUSED) || !rq->read_only ||
	    c->settings->socket[0] != '\0')
		return no_daemon(c, path, (int)cause, e);
	return oneshot_perform(c, rq, e);
}

/* Nothing was done, and a moment later there may be room. */
static bool is_turned_away(const struct client *c, const struct err *e)
{
	return c->http_status == 503 &&
	       (strcmp(e->code, "busy") == 0 || strcmp(e->code, "too-many-connections") == 0);
}

static int client_try(struct client *c, const struct request *rq, json_t **body, struct err *e)
{
	const struct timespec pause = { .tv_nsec = RETRY_PAUSE_NS };

	for (int i = 1;; i++) {
		int r = client_exchange(c, rq, e);

		if (r == 0)
			r = reply_parse(c, body, e);
		if (r == 0 || i == RETRIES || !is_turned_away(c, e))
			return r;
		json_decref(ptr_take(body));
		*e = (struct err){ 0 };
		nanosleep(&pause, NULL);
	}
}

int client_call(struct client *c, const struct request *rq, json_t **body, struct err *e)
{
	unsigned int timeout_s = rq->timeout_s ? rq->timeout_s : CLIENT_TIMEOUT_S;
	struct curl_slist *headers = NULL;
	auto_free char *text = NULL;
	char url[1024];
	int r = request_url(rq, url, sizeof(url), e);

	if (r < 0)
		return r;
	text = rq->body != NULL ? json_dumps(rq->body, JSON_COMPACT) : strdup("{}");
	if (text == NULL)
		return err_set(e, ENOMEM, "out of memory");
	if (strlen(text) > API_MAX_BODY)
		return err_set(e, EMSGSIZE, "the request is longer than %u KiB",
			       API_MAX_BODY >> 10);
	/* No "Expect: 100-continue": the daemon is near, and bodies are small. */
	headers = curl_slist_append(headers, "Content-Type: application/json");
	if (headers == NULL || curl_slist_append(headers, "Expect:") == NULL ||
	    (rq->is_async && curl_slist_append(headers, "Prefer: respond-async") == NULL)) {
		curl_slist_free_all(headers);
		return err_set(e, ENOMEM, "out of memory");
	}
	c->http_status = 0;
	c->progress = rq->progress;
	c->progress_since_ns = rq->progress_since_ns;
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, (long)timeout_s);
	if (strcmp(rq->method, "POST") == 0)
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text);
	else
		curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	r = client_try(c, rq, body, e);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return r;
}

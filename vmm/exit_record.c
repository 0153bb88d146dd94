// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/exit_record.h"

#include "vmm/vmm_msg.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void exit_record_init(struct exit_record *rec, int fd, const char *name)
{
	memset(rec, 0, sizeof(*rec));
	rec->fd = fd;
	rec->started_ns = now_ns();
	snprintf(rec->name, sizeof(rec->name), "%s", name);
}

static int record_put(const struct exit_record *rec, const char *text, size_t len)
{
	int r = fd_pwrite_all(rec->fd, text, len, 0);

	if (r < 0)
		return r;
	if (ftruncate(rec->fd, (off_t)len) < 0 || fdatasync(rec->fd) < 0)
		return -errno;
	return 0;
}

int exit_record_write(const struct exit_record *rec, const char *reason, const char *text,
		      json_t *life)
{
	auto_json json_t *obj = NULL;
	auto_free char *line = NULL;

	if (rec->fd < 0)
		return 0;
	obj = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:O*}", "v", VMM_MSG_VERSION, "name",
			rec->name, "reason", reason, "text", text, "wall_time",
			(json_int_t)(clock_ns(CLOCK_REALTIME) / 1000000000ULL), "uptime_ns",
			(json_int_t)(now_ns() - rec->started_ns), "life", life);
	if (obj != NULL)
		line = json_dumps(obj, JSON_COMPACT);
	return line == NULL ? -ENOMEM : record_put(rec, line, strlen(line));
}

struct text {
	char buf[512];
	size_t len;
};

static void text_add(struct text *t, const char *s)
{
	while (*s != '\0' && t->len < sizeof(t->buf))
		t->buf[t->len++] = *s++;
}

static void number_add(struct text *t, uint64_t n)
{
	char digits[21];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	text_add(t, digits + i);
}

static void hex_add(struct text *t, uint64_t n)
{
	int shift = 60;

	text_add(t, "0x");
	while (shift > 0 && n >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4) {
		const char digit[] = { "0123456789abcdef"[n >> shift & 15], '\0' };

		text_add(t, digit);
	}
}

extern const char __executable_start[], etext[]; /* the linker's */

static void place_add(struct text *t, uint64_t ip)
{
	uint64_t start = (uintptr_t)__executable_start;

	text_add(t, ", instruction at ");
	if (ip < start || ip >= (uintptr_t)etext) {
		hex_add(t, ip);
		return;
	}
	text_add(t, "viaduct-vmm+");
	hex_add(t, ip - start);
}

void exit_record_crash(const struct exit_record *rec, const struct crash_facts *facts)
{
	struct text t = { .len = 0 };

	if (rec->fd < 0)
		return;
	/* By hand: malloc and stdio are not safe in a handler. The name needs no escapes (parse_name). */
	text_add(&t, "{\"v\":");
	number_add(&t, VMM_MSG_VERSION);
	text_add(&t, ",\"name\":\"");
	text_add(&t, rec->name);
	text_add(&t, "\",\"reason\":\"signal\",\"text\":\"the VMM was ended by signal ");
	number_add(&t, (uint64_t)facts->sig);
	if (facts->code > 0) {
		text_add(&t, " (code ");
		number_add(&t, (uint64_t)facts->code);
		text_add(&t, ") at ");
		hex_add(&t, facts->at);
		place_add(&t, facts->ip);
	}
	text_add(&t, "\",\"wall_time\":");
	number_add(&t, clock_ns(CLOCK_REALTIME) / 1000000000ULL);
	text_add(&t, ",\"uptime_ns\":");
	number_add(&t, now_ns() - rec->started_ns);
	text_add(&t, "}");
	(void)record_put(rec, t.buf, t.len);
}

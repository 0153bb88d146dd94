// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmend.h"

#include "vf-manager/runpaths.h"
#include "vf-manager/vmkeep.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAX 8192
#define RESETS_MAX 32
#define KMSG_MAX   8192 /* of one record */
#define ASKED_S	   (KEEP_STOP_MAX_S + 60) /* a guest's longest time, and the kill */

/* What there is to do at the end of a VM; %s is its name, or its log where `is_log`. */
static const struct end_row {
	const char *reason;
	enum vm_state state;
	const char *hint;
	bool is_log;
} end_rows[] = {
	{ "poweroff", VM_STOPPED, NULL },
	{ "killed", VM_STOPPED, NULL },
	{ "guest-panicked", VM_FAILED,
	  "viaduct vm console %s --log   ends with the kernel's last words" },
	{ "watchdog", VM_FAILED, "viaduct vm console %s --log   shows what the guest said last" },
	{ "device-requested", VM_STOPPED, "viaduct vf list   shows what the host has taken" },
	{ "device-error", VM_FAILED, "dmesg | grep -i -e aer -e pcieport   on the host" },
	{ "internal-error", VM_FAILED, "cat %s   and report it: this is viaduct's fault", true },
	{ "launch-failed", VM_FAILED, "cat %s", true },
	{ "signal", VM_FAILED, "cat %s", true },
	{ "oom-killed", VM_FAILED,
	  "dmesg | grep -i oom   on the host, which has too little memory for all it runs" },
	{ "host-restarted", VM_FAILED, "viaduct vm start %s   or vm run FILE   starts it again" },
	{ "unknown", VM_UNKNOWN, "cat %s", true },
};

/* A kill of the daemon's that the guest had a chance to avoid. */
static const char deaf_hint[] = "viaduct vm console %s --log   shows what the guest was doing";

static const struct end_row *row_find(const char *reason)
{
	static const struct end_row other = { "", VM_FAILED, "cat %s", true };

	for (size_t i = 0; i < ARRAY_SIZE(end_rows); i++)
		if (strcmp(end_rows[i].reason, reason) == 0)
			return &end_rows[i];
	return &other;
}

static json_t *hint_json(const struct daemon *d, const struct end_row *row, const char *name)
{
	char text[VM_PATH_TEXT + 128], path[VM_PATH_TEXT];

	if (row->hint == NULL)
		return json_null();
		/* The formats are the table's. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), row->hint,
		 row->is_log ? vm_path(d, name, "vmm.log", path) : name);
#pragma GCC diagnostic pop
	return json_string(text);
}

json_t *vm_life_copy(const json_t *from)
{
	static const char *const numbers[] = { "reset_at",	"panics",    "panicked_at",
					       "crash_kernels", "watchdogs", "watchdog_at" };
	const json_t *resets = json_object_get(from, "resets"), *count;
	json_t *to, *list;
	const char *cause;

	if (!json_is_object(from))
		return NULL;
	to = json_object();
	list = json_object();
	json_object_foreach((json_t *)resets, cause, count)
		if (json_is_integer(count) && json_object_size(list) < RESETS_MAX &&
		    strlen(cause) < 32)
			json_object_set_new(list, cause, json_integer(json_integer_value(count)));
	json_object_set_new(to, "resets", list);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uint64_t n = 0;

		json_get_u64_opt(from, numbers[i], INT64_MAX, &n, NULL);
		json_object_set_new(to, numbers[i], json_integer((json_int_t)n));
	}
	return to;
}

char *vm_who_text(uid_t uid, char *buf, size_t cap)
{
	struct passwd entry, *found = NULL;
	char text[4096];

	if (getpwuid_r(uid, &entry, text, sizeof(text), &found) == 0 && found != NULL)
		snprintf(buf, cap, "%.64s (uid %u)", found->pw_name, uid);
	else
		snprintf(buf, cap, "uid %u", uid);
	return buf;
}

json_t *vm_asked_json(uid_t uid, const char *what)
{
	char who[96];

	return json_pack("{s:s, s:s, s:I}", "what", what, "who", vm_who_text(uid, who, sizeof(who)),
			 "at", (json_int_t)time(NULL));
}

const json_t *vm_asked_at(const json_t *asked, int64_t at)
{
	uint64_t asked_at = 0;

	json_get_u64_opt(asked, "at", INT64_MAX, &asked_at, NULL);
	return asked_at != 0 && at - (int64_t)asked_at > ASKED_S ? NULL : asked;
}

/* What the VMM wrote at its end, or NULL. It is a peer's: bounded, and of known members. */
static json_t *record_read(const struct daemon *d, const char *name)
{
	char path[VM_PATH_TEXT], text[RECORD_MAX];
	auto_fd int fd = -1;
	json_t *record = NULL;
	ssize_t n = 0;

	if (run_path_open(d->run_paths, vm_path(d, name, "exit.json", path), O_RDONLY, &fd) == 0)
		n = pread(fd, text, sizeof(text), 0);
	if (n > 0)
		record = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(record))
		return record;
	json_decref(record);
	return NULL;
}

bool oom_line_matches(const char *line, pid_t pid, uint64_t since_us)
{
	unsigned long long stamp;
	char wanted[48];

	if (sscanf(line, "%*u,%*u,%llu,", &stamp) != 1 || stamp < since_us)
		return false;
	snprintf(wanted, sizeof(wanted), "Killed process %d (", (int)pid);
	return strstr(line, wanted) != NULL;
}

/* The kernel names each victim of its OOM killer, whichever limit was hit. The log, and not memory.events:
 * memory accounting in a VM's cgroup would cost each of its pages something. */
static bool oom_killed(const struct vm_end *end)
{
	auto_fd int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	long hz = sysconf(_SC_CLK_TCK);
	uint64_t since_us = hz > 0 ? end->start_ticks * 1000000 / (uint64_t)hz : 0;
	char line[KMSG_MAX];
	bool is_found = false;
	ssize_t n;

	if (fd < 0 || end->pid == 0)
		return false;
	/* -EPIPE: the record was overwritten meanwhile. */
	while (!is_found && ((n = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE)) {
		if (n <= 0)
			continue;
		line[n] = '\0';
		is_found = oom_line_matches(line, end->pid, since_us);
	}
	return is_found;
}

bool vm_asked_is_kill(const json_t *asked)
{
	const char *what = json_string_value(json_object_get(asked, "what"));

	return (what != NULL && strcmp(what, "kill") == 0) ||
	       json_object_get(asked, "waited_s") != NULL;
}

/* Without a record: what the kernel says of the process, or what was done to it; else nobody knows. */
static const char *status_reason(const struct vm_end *end, const json_t *asked, char *text,
				 size_t cap)
{
	const char *name;

	if (oom_killed(end)) {
		snprintf(text, cap, "the host ran out of memory and its kernel killed viaduct-vmm");
		return "oom-killed";
	}
	/* One that an earlier viaductd has started is no child: its status is its new parent's. */
	if (!end->has_status && (end->is_killed || vm_asked_is_kill(asked))) {
		snprintf(text, cap, "viaduct-vmm was killed by viaductd");
		return "signal";
	}
	if (!end->has_status) {
		snprintf(text, cap, "viaduct-vmm ended and left no record of why");
		return "unknown";
	}
	if (end->code == CLD_EXITED) {
		snprintf(text, cap, "viaduct-vmm exited with status %d and left no record",
			 end->status);
		return "unknown";
	}
	name = sigabbrev_np(end->status);
	snprintf(text, cap, "viaduct-vmm was killed by signal %d (SIG%s)", end->status,
		 name != NULL ? name : "?");
	return "signal";
}

/* Who wanted it, behind what happened. True: the guest was deaf to its power button. */
static bool asked_add(const json_t *asked, const char *reason, char *text, size_t cap)
{
	const char *what = json_string_value(json_object_get(asked, "what"));
	const char *who = json_string_value(json_object_get(asked, "who"));
	uint64_t waited = 0;
	size_t len = strlen(text);

	if (what == NULL || who == NULL)
		return false;
	json_get_u64_opt(asked, "waited_s", INT64_MAX, &waited, NULL);
	if (strcmp(reason, "poweroff") == 0) {
		snprintf(text + len, cap - len, ", asked to by %s", who);
	} else if (json_object_get(asked, "waited_s") != NULL) {
		snprintf(text, cap,
			 "it did not power off within %llu s of its power button: killed for %s%s",
			 (unsigned long long)waited, who,
			 strcmp(reason, "killed") == 0 ? "" : ", by SIGKILL");
		return true;
	} else if (strcmp(reason, "killed") == 0) {
		snprintf(text, cap, "killed by %s", who);
	} else if (strcmp(reason, "signal") == 0 && strcmp(what, "kill") == 0) {
		snprintf(text + len, cap - len, ": it did not answer when %s wanted it killed",
			 who);
	}
	return false;
}

json_t *vm_end_find(const struct daemon *d, const struct vm_end *end, enum vm_state *state,
		    json_t **life)
{
	auto_json json_t *record = record_read(d, end->name);
	char reason[32] = "", text[512] = "";
	uint64_t wall = (uint64_t)time(NULL), uptime = 0;
	struct end_row row;

	if (json_get_str_opt(record, "reason", reason, sizeof(reason), NULL) == 0 &&
	    *reason != '\0') {
		json_get_str_opt(record, "text", text, sizeof(text), NULL);
		json_get_u64_opt(record, "wall_time", INT64_MAX, &wall, NULL);
		json_get_u64_opt(record, "uptime_ns", INT64_MAX, &uptime, NULL);
	} else {
		snprintf(reason, sizeof(reason), "%s",
			 status_reason(end, vm_asked_at(end->asked, (int64_t)wall), text,
				       sizeof(text)));
	}
	row = *row_find(reason);
	if (asked_add(vm_asked_at(end->asked, (int64_t)wall), reason, text, sizeof(text))) {
		row.hint = deaf_hint;
		row.is_log = false;
	}
	*state = row.state;
	*life = vm_life_copy(json_object_get(record, "life"));
	return json_pack("{s:s, s:s, s:I, s:o, s:o}", "reason", reason, "text", text, "wall_time",
			 (json_int_t)wall, "uptime_s",
			 uptime != 0 ? json_integer((json_int_t)(uptime / 1000000000))
				     : json_null(),
			 "hint", hint_json(d, &row, end->name));
}

json_t *vm_end_at_boot(const struct daemon *d, const char *name, enum vm_state *state)
{
	const struct end_row *row = row_find("host-restarted");
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	*state = row->state;
	return json_pack("{s:s, s:s, s:I, s:n, s:o}", "reason", row->reason, "text",
			 "the host was started again; when exactly the VM ended is not known",
			 "wall_time", (json_int_t)(time(NULL) - up.tv_sec), "uptime_s", "hint",
			 hint_json(d, row, name));
}

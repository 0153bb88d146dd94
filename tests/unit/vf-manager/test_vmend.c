// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/vmend.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char run_dir[32];
static struct options opt = { .run_dir = run_dir };
static struct daemon d = { .opt = &opt };

static int setup(void **state)
{
	char path[64];

	strcpy(run_dir, "/tmp/viaduct-end-XXXXXX");
	assert_non_null(mkdtemp(run_dir));
	snprintf(path, sizeof(path), "%s/vm", run_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/vm/fw1", run_dir);
	return mkdir(path, 0700);
}

static int teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", run_dir);
	return system(command);
}

static void record_write(const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/vm/fw1/exit.json", run_dir);
	f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static const char *member(const json_t *exit, const char *key)
{
	const char *text = json_string_value(json_object_get(exit, key));

	return text != NULL ? text : "";
}

static json_t *asked(const char *what, int waited_s)
{
	json_t *j = json_pack("{s:s, s:s}", "what", what, "who", "ann (uid 1000)");

	if (waited_s >= 0)
		json_object_set_new(j, "waited_s", json_integer(waited_s));
	return j;
}

/* Every way a VM can end: what the record or the kernel says, what was asked, what is shown. */
static const struct way {
	const char *record; /* reason and text; NULL: no record */
	const char *record_text;
	int code, status; /* code 0: no status */
	const char *what; /* asked; NULL: nobody did */
	int waited_s;
	const char *reason, *text, *hint;
	enum vm_state state;
} ways[] = {
	{ "poweroff", "the guest powered itself off", CLD_EXITED, 0, NULL, -1, "poweroff",
	  "the guest powered itself off", "", VM_STOPPED },
	{ "poweroff", "the guest powered itself off", CLD_EXITED, 0, "stop", -1, "poweroff",
	  "the guest powered itself off, asked to by ann (uid 1000)", "", VM_STOPPED },
	{ "killed", "by request", CLD_EXITED, 0, "kill", -1, "killed", "killed by ann (uid 1000)",
	  "", VM_STOPPED },
	{ "killed", "by request", CLD_EXITED, 0, "stop", 30, "killed",
	  "it did not power off within 30 s of its power button: killed for ann (uid 1000)",
	  "viaduct vm console fw1 --log", VM_STOPPED },
	{ NULL, NULL, CLD_KILLED, SIGKILL, "stop", 5, "signal",
	  "it did not power off within 5 s of its power button: killed for ann (uid 1000), by SIGKILL",
	  "viaduct vm console fw1 --log", VM_FAILED },
	{ NULL, NULL, CLD_KILLED, SIGKILL, "kill", -1, "signal",
	  "viaduct-vmm was killed by signal 9 (SIGKILL): it did not answer when ann (uid 1000) "
	  "wanted it killed",
	  "cat ", VM_FAILED },
	{ NULL, NULL, CLD_KILLED, SIGSYS, NULL, -1, "signal",
	  "viaduct-vmm was killed by signal 31 (SIGSYS)", "cat ", VM_FAILED },
	{ NULL, NULL, CLD_EXITED, 7, NULL, -1, "unknown",
	  "viaduct-vmm exited with status 7 and left no record", "cat ", VM_UNKNOWN },
	{ NULL, NULL, 0, 0, NULL, -1, "unknown", "viaduct-vmm ended and left no record of why",
	  "cat ", VM_UNKNOWN },
	{ NULL, NULL, 0, 0, "stop", -1, "unknown", "viaduct-vmm ended and left no record of why",
	  "cat ", VM_UNKNOWN },
	{ NULL, NULL, 0, 0, "kill", -1, "signal",
	  "viaduct-vmm was killed by viaductd: it did not answer when ann (uid 1000) wanted it "
	  "killed",
	  "cat ", VM_FAILED },
	{ NULL, NULL, 0, 0, "stop", 5, "signal",
	  "it did not power off within 5 s of its power button: killed for ann (uid 1000), by SIGKILL",
	  "viaduct vm console fw1 --log", VM_FAILED },
	{ "guest-panicked", "the guest's kernel panicked", CLD_EXITED, 0, NULL, -1,
	  "guest-panicked", "the guest's kernel panicked", "viaduct vm console fw1 --log",
	  VM_FAILED },
	{ "watchdog", "the guest did not feed its watchdog for 60 s", CLD_EXITED, 0, NULL, -1,
	  "watchdog", "the guest did not feed its watchdog for 60 s",
	  "viaduct vm console fw1 --log", VM_FAILED },
	{ "device-requested", "port wan: the host wants it", CLD_EXITED, 0, NULL, -1,
	  "device-requested", "port wan: the host wants it", "viaduct vf list", VM_STOPPED },
	{ "device-error", "port wan: an error", CLD_EXITED, 0, NULL, -1, "device-error",
	  "port wan: an error", "dmesg", VM_FAILED },
	{ "internal-error", "vCPU 0: oh", CLD_EXITED, 1, NULL, -1, "internal-error", "vCPU 0: oh",
	  "cat ", VM_FAILED },
	{ "signal", "ended by signal 15 from process 7 of uid 0", CLD_EXITED, 0, NULL, -1, "signal",
	  "ended by signal 15 from process 7 of uid 0", "cat ", VM_FAILED },
	{ "of-a-later-version", "something", CLD_EXITED, 0, NULL, -1, "of-a-later-version",
	  "something", "cat ", VM_FAILED },
};

static void every_way_has_its_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *w = &ways[i];
		json_t *who = w->what != NULL ? asked(w->what, w->waited_s) : NULL, *exit, *life;
		struct vm_end end = { .name = "fw1",
				      .has_status = w->code != 0,
				      .code = w->code,
				      .status = w->status,
				      .asked = who };
		enum vm_state got;
		char text[512] = "";

		if (w->record != NULL)
			snprintf(text, sizeof(text),
				 "{\"v\":1,\"name\":\"fw1\",\"reason\":\"%s\",\"text\":\"%s\","
				 "\"wall_time\":1700000000,\"uptime_ns\":61000000000,"
				 "\"life\":{\"resets\":{\"port-64\":2},\"panics\":1}}",
				 w->record, w->record_text);
		record_write(text);
		exit = vm_end_find(&d, &end, &got, &life);
		assert_string_equal(member(exit, "reason"), w->reason);
		assert_string_equal(member(exit, "text"), w->text);
		assert_ptr_equal(strstr(member(exit, "hint"), w->hint), member(exit, "hint"));
		assert_int_equal(w->hint[0] == '\0', json_is_null(json_object_get(exit, "hint")));
		assert_int_equal(got, w->state);
		assert_int_equal(life != NULL, w->record != NULL);
		if (w->record != NULL)
			assert_int_equal(json_integer_value(json_object_get(exit, "uptime_s")), 61);
		json_decref(life);
		json_decref(exit);
		json_decref(who);
	}
}

/* A VMM that its guest has taken over may write anything. */
static void hostile_records_are_harmless(void **state)
{
	static const char *const odd[] = {
		"[]",
		"{\"reason\":7}",
		"{\"reason\":\"\"}",
		"{\"reason\":\"x\",\"text\":[1],\"wall_time\":\"y\",\"uptime_ns\":-4,\"life\":[3]}",
		"{\"reason\":\"%s%n%s%n\",\"text\":\"%n%n\",\"life\":{\"resets\":7,\"panics\":\"a\"}}",
		"{\"reason\":\"a-reason-that-is-longer-than-any-of-ours-could-be\"}",
		"{\"reason\":\"x\",\"life\":{\"resets\":{\"a\":[1],\"b\":1e9,\"c\":2}}}",
	};
	struct vm_end end = { .name = "fw1" };

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		enum vm_state got;
		json_t *life, *exit;

		record_write(odd[i]);
		exit = vm_end_find(&d, &end, &got, &life);
		assert_true(json_is_object(exit) && member(exit, "reason")[0] != '\0');
		if (i == ARRAY_SIZE(odd) - 1)
			assert_int_equal(json_object_size(json_object_get(life, "resets")), 1);
		json_decref(life);
		json_decref(exit);
	}
}

static void oom_killer_names_its_victim(void **state)
{
	static const char line[] =
		"3,1242,86401000000,-;Out of memory: Killed process 4711 (viaduct-vmm) "
		"total-vm:1200kB\n SUBSYSTEM=x\n";
	static const char cgroup[] =
		"3,9,5000000,-;Memory cgroup out of memory: Killed process 47 (vcpu0)";

	assert_true(oom_line_matches(line, 4711, 0));
	assert_true(oom_line_matches(line, 4711, 86401000000));
	assert_false(oom_line_matches(line, 4711, 86401000001)); /* an older one with that number */
	assert_false(oom_line_matches(line, 471, 0));
	assert_false(oom_line_matches(line, 47110, 0));
	assert_true(oom_line_matches(cgroup, 47, 4999999));
	assert_false(oom_line_matches("", 47, 0));
	assert_false(oom_line_matches(";;;", 47, 0));
}

static void host_that_was_restarted_says_when(void **state)
{
	enum vm_state got;
	json_t *exit = vm_end_at_boot(&d, "fw1", &got);

	assert_string_equal(member(exit, "reason"), "host-restarted");
	assert_int_equal(got, VM_FAILED);
	assert_in_range(json_integer_value(json_object_get(exit, "wall_time")), 1000000000,
			time(NULL));
	json_decref(exit);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(every_way_has_its_words),
		CASE(hostile_records_are_harmless),
		CASE(oom_killer_names_its_victim),
		CASE(host_that_was_restarted_says_when),
	};

	return cmocka_run_group_tests_name("vf-manager-vmend", tests, NULL, NULL);
}

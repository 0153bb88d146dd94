// SPDX-License-Identifier: BSD-3-Clause
/* Real programs, locked in: what they can still do, seen from inside. */
#include "image/helper.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "what the image holds\n"

struct jail {
	char path[32]; /* of the input */
	struct helper_wish wish;
	struct helper_end end;
	struct err e;
};

static int jail_make(void **state)
{
	struct jail *j = calloc(1, sizeof(*j));
	int fd;

	strcpy(j->path, "/tmp/helper-XXXXXX");
	fd = mkstemp(j->path);
	assert_int_equal(fd_write_all(fd, SECRET, sizeof(SECRET) - 1), 0);
	close(fd);
	j->wish = (struct helper_wish){ .in = open(j->path, O_RDONLY | O_CLOEXEC),
					.out = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
					.uid = geteuid(),
					.gid = getegid(),
					.memory_bytes = MIB(512),
					.file_bytes = MIB(1),
					.cpu_s = 20 };
	*state = j;
	return 0;
}

static int jail_free(void **state)
{
	struct jail *j = *state;

	unlink(j->path);
	fd_close(&j->wish.in);
	fd_close(&j->wish.out);
	helper_end_free(&j->end);
	free(j);
	return 0;
}

/* Up to two words after the program's own name; its exit status. */
static int run(struct jail *j, const char *program, const char *a, const char *b)
{
	int r;

	helper_end_free(&j->end);
	j->wish.program = program;
	j->wish.argv[0] = program;
	j->wish.argv[1] = a;
	j->wish.argv[2] = a != NULL ? b : NULL;
	r = helper_run(&j->wish, &j->end, &j->e);
	if (r < 0 && strstr(j->e.text, ": namespaces: ") != NULL) {
		print_message("skipped: this kernel gives no namespaces: %s\n", j->e.text);
		skip();
	}
	return r < 0 ? r : WIFEXITED(j->end.status) ? WEXITSTATUS(j->end.status) : -EIO;
}

static void it_reads_what_it_is_given_and_nothing_else(void **state)
{
	static const char *const hidden[] = { "/etc/passwd", "/etc/shadow", "/tmp", "/root",
					      "/sys",	     "/dev/kvm",    "/run", "/var" };
	struct jail *j = *state;

	assert_int_equal(run(j, "/usr/bin/cat", HELPER_IN_PATH, NULL), 0);
	assert_string_equal(j->end.says, SECRET);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
		assert_true(run(j, "/usr/bin/ls", hidden[i], NULL) > 0);
		assert_non_null(strstr(j->end.words, "No such file"));
	}
	/* By its own name it is not there either. */
	assert_true(run(j, "/usr/bin/cat", j->path, NULL) > 0);
}

static void it_changes_nothing_but_what_it_is_given(void **state)
{
	static const char *const kept[] = { "/usr/bin/x", "/x", "/proc/x", "/etc/ld.so.cache" };
	struct jail *j = *state;
	char text[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		assert_true(run(j, "/usr/bin/cp", HELPER_IN_PATH, kept[i]) > 0);
	/* Its own file, by the caller's own uid. */
	assert_true(run(j, "/usr/bin/cp", "/etc/ld.so.cache", HELPER_IN_PATH) > 0);
	assert_int_equal(pread(j->wish.in, text, sizeof(text), 0), sizeof(SECRET) - 1);
	assert_string_equal(text, SECRET);
	assert_int_equal(run(j, "/usr/bin/perl", "-e",
			     "open(I, \"<\", \"" HELPER_IN_PATH "\") or exit 1;"
			     "open(O, \"+<\", \"" HELPER_OUT_PATH "\") or exit 2;"
			     "print O <I>; close(O) or exit 3"),
			 0);
	assert_int_equal(pread(j->wish.out, text, sizeof(text), 0), sizeof(SECRET) - 1);
	assert_string_equal(text, SECRET);
}

/* By the number of sysopen()'s flags: O_RDONLY | O_TRUNC. */
static void what_it_may_read_it_cannot_empty(void **state)
{
	static const char *const ways[] = { "sysopen(F, \"" HELPER_IN_PATH
					    "\", 512) and exit 0; exit 9",
					    "open(F, \"<&=3\"); truncate(F, 0) and exit 0; exit 9",
					    "truncate(\"" HELPER_IN_PATH
					    "\", 0) and exit 0; exit 9" };
	struct jail *j = *state;
	char text[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		assert_int_equal(run(j, "/usr/bin/perl", "-e", ways[i]), 9);
		assert_int_equal(pread(j->wish.in, text, sizeof(text), 0), sizeof(SECRET) - 1);
		assert_string_equal(text, SECRET);
	}
	/* Where it has nothing to write, it opens nothing to do so. */
	fd_close(&j->wish.out);
	assert_int_equal(run(j, "/usr/bin/perl", "-e",
			     "open(F, \">>\", \"/dev/null\") and exit 0; exit 9"),
			 9);
}

static void it_is_one_process_and_stays_one(void **state)
{
	struct jail *j = *state;

	assert_int_equal(run(j, "/usr/bin/perl", "-e", "exit(defined(fork()) ? 0 : 9)"), 9);
	assert_true(run(j, "/usr/bin/sh", "-c", "/usr/bin/cat " HELPER_IN_PATH "; :") != 0);
	assert_string_equal(j->end.says, "");
}

static void it_sees_no_other_process_and_has_no_privilege(void **state)
{
	static const char *const none[] = { "CapPrm:\t0000000000000000",
					    "CapEff:\t0000000000000000",
					    "CapBnd:\t0000000000000000",
					    "NoNewPrivs:\t1",
					    "Seccomp:\t2",
					    "Pid:\t1\n" };
	struct jail *j = *state;

	assert_int_equal(run(j, "/usr/bin/cat", "/proc/self/status", NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_non_null(strstr(j->end.says, none[i]));
	assert_true(run(j, "/usr/bin/ls", "/proc/2", NULL) > 0);
	assert_int_equal(run(j, "/usr/bin/cat", "/proc/net/dev", NULL), 0);
	assert_null(strstr(j->end.says, "eth"));
	/* A namespace of its own, a socket. */
	assert_true(run(j, "/usr/bin/unshare", "--user", NULL) != 0);
	assert_true(run(j, "/usr/bin/mount", "/dev/null", "/x") != 0);
}

static bool now(void *arg)
{
	return true;
}

static void it_ends_when_it_is_told_to_or_takes_too_much(void **state)
{
	struct jail *j = *state;
	uint64_t begun = now_ns();

	j->wish.is_cancelled = now;
	assert_int_equal(run(j, "/usr/bin/sleep", "100", NULL), -ECANCELED);
	assert_true(now_ns() - begun < 50 * 1000000000ULL);
	j->wish.is_cancelled = NULL;
	assert_int_equal(run(j, "/usr/bin/yes", NULL, NULL), -EMSGSIZE);
	j->wish.file_bytes = 10;
	/* The signal for it is none to the first process of a namespace. */
	assert_true(run(j, "/usr/bin/perl", "-e",
			"open(O, \"+<\", \"" HELPER_OUT_PATH "\") or exit 2;"
			"print O \"more than ten\"; close(O) or die $!") > 2);
	assert_non_null(strstr(j->end.words, "File too large"));
	j->wish.memory_bytes = MIB(1);
	assert_true(run(j, "/usr/bin/cat", HELPER_IN_PATH, NULL) != 0);
}

static void swallow(void *arg, const char *text, size_t len)
{
	*(size_t *)arg += len;
}

static void it_does_not_wait_for_ever(void **state)
{
	struct jail *j = *state;
	uint64_t begun = now_ns();
	size_t bytes = 0;

	j->wish.quiet_s = 1;
	assert_int_equal(run(j, "/usr/bin/sleep", "100", NULL), -ETIMEDOUT);
	assert_string_equal(j->e.code, "image-stuck");
	assert_non_null(strstr(j->e.text, "did nothing for 1 s"));
	/* Signs of life do not help for ever. */
	j->wish.wall_s = 3;
	j->wish.heard = swallow;
	j->wish.arg = &bytes;
	assert_int_equal(run(j, "/usr/bin/yes", NULL, NULL), -ETIMEDOUT);
	assert_non_null(strstr(j->e.text, "not done after 3 s"));
	assert_true(now_ns() - begun < 50 * 1000000000ULL);
}

/* A program that its input has taken over can close what it is heard by. */
static void it_does_not_wait_for_one_that_falls_silent(void **state)
{
	static const char silent[] = "close(STDOUT); close(STDERR); sleep 100";
	struct jail *j = *state;
	uint64_t begun = now_ns();

	j->wish.quiet_s = 1;
	assert_int_equal(run(j, "/usr/bin/perl", "-e", silent), -ETIMEDOUT);
	assert_string_equal(j->e.code, "image-stuck");
	assert_true(now_ns() - begun < 50 * 1000000000ULL);
}

static void its_time_is_counted(void **state)
{
	struct jail *j = *state;
	size_t bytes = 0;

	j->wish.cpu_s = 1;
	j->wish.heard = swallow;
	j->wish.arg = &bytes;
	assert_int_equal(run(j, "/usr/bin/yes", NULL, NULL), -EIO);
	assert_true(WIFSIGNALED(j->end.status) && bytes > HELPER_SAYS);
}

static void a_program_that_is_not_there_is_named(void **state)
{
	struct jail *j = *state;

	assert_int_equal(run(j, "/usr/bin/no-such-program", NULL, NULL), -ENOENT);
	assert_non_null(strstr(j->e.text, "/usr/bin/no-such-program"));
	assert_null(j->end.says);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, jail_make, jail_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_reads_what_it_is_given_and_nothing_else),
		CASE(it_changes_nothing_but_what_it_is_given),
		CASE(what_it_may_read_it_cannot_empty),
		CASE(it_is_one_process_and_stays_one),
		CASE(it_sees_no_other_process_and_has_no_privilege),
		CASE(it_ends_when_it_is_told_to_or_takes_too_much),
		CASE(it_does_not_wait_for_ever),
		CASE(it_does_not_wait_for_one_that_falls_silent),
		CASE(its_time_is_counted),
		CASE(a_program_that_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

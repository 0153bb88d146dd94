// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define S 1000000000ULL

static void limit_lets_a_burst_through_and_counts_the_rest(void **state)
{
	struct log_limit limit = { .burst = 3, .every_ns = 10 * S };
	uint64_t held = 99, now = 1000 * S;

	for (int i = 0; i < 3; i++) {
		assert_true(log_admit(&limit, now, &held));
		assert_int_equal(held, 0);
	}
	for (int i = 0; i < 7; i++)
		assert_false(log_admit(&limit, now + 9 * S, &held));
	assert_true(log_admit(&limit, now + 10 * S, &held));
	assert_int_equal(held, 7);
	assert_false(log_admit(&limit, now + 19 * S, &held));
	assert_true(log_admit(&limit, now + 20 * S, &held));
	assert_int_equal(held, 1);
}

/* A process that logs for ever fills no disk, and its last words are there. */
static void file_keeps_its_newest_lines_and_its_bound(void **state)
{
	char path[] = "/tmp/viaduct-log-XXXXXX", text[5000] = "";
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	struct stat st;
	char *line;

	assert_true(fd >= 0 && saved >= 0);
	close(fd);
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	assert_int_equal(unlink(path), 0);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	log_init("t", LOG_LEVEL_INFO);
	log_bound(4096);
	for (int i = 0; i < 1000; i++) {
		log_info("line %d", i);
		assert_int_equal(fstat(fd, &st), 0);
		if (st.st_size > 4096)
			break;
	}
	log_bound(0);
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_in_range(st.st_size, 2000, 4096);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), st.st_size);
	close(fd);
	/* Whole lines, in order, up to the last. */
	line = strtok(text, "\n");
	for (int want = atoi(line + 8); want < 1000; want++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "t: line %d", want);
		assert_non_null(line);
		assert_string_equal(line, expected);
		line = strtok(NULL, "\n");
	}
	assert_null(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_lets_a_burst_through_and_counts_the_rest),
		cmocka_unit_test(file_keeps_its_newest_lines_and_its_bound),
	};

	return cmocka_run_group_tests_name("base-log", tests, NULL, NULL);
}

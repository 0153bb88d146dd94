// SPDX-License-Identifier: BSD-3-Clause
#include "cli/console_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, size_t len, const char *wanted)
{
	char *got = NULL;
	size_t got_len = 0;
	FILE *out = open_memstream(&got, &got_len);

	console_log_print(out, text, len);
	fclose(out);
	assert_string_equal(got, wanted);
	free(got);
}

#define EXPECT(text, wanted) expect(text, sizeof(text) - 1, wanted)

static void lines_are_plain(void **state)
{
	EXPECT("", "");
	EXPECT("login: ", "login: \n");
	EXPECT("one\r\ntwo\r\n\r\nthree\tx", "one\ntwo\n\nthree\tx\n");
	EXPECT("a\0b\a\b\177c\n", "abc\n");
	EXPECT("gr\xC3\xBC\xC3\x9F\n", "gr\xC3\xBC\xC3\x9F\n");
}

/* What a guest writes must not drive the terminal of who reads it. */
static void escape_sequences_are_gone(void **state)
{
	EXPECT("\033[1;31mred\033[0m \033[2J\033[?25lx\n", "red x\n");
	EXPECT("\033]0;title\007body\033]2;t\033\\end\n", "bodyend\n");
	EXPECT("\033c\033(Bplain\n", "Bplain\n");
	EXPECT("cut \033[12", "cut \n");
	EXPECT("cut \033", "cut \n");
	EXPECT("cut \033]0;title\nnext\n", "cut \nnext\n");
	EXPECT("\xC2\x9B"
	       "31m \x9B"
	       "31m\n",
	       "?31m ?31m\n");
}

static void long_lines_are_whole(void **state)
{
	char *text = malloc(10002), *wanted = malloc(10003);

	/* Two-byte characters, so that pieces meet their middle. */
	text[0] = 'x';
	for (size_t i = 1; i < 10001; i += 2)
		memcpy(text + i, "\xC3\xBC", 2);
	memcpy(wanted, text, 10001);
	memcpy(wanted + 10001, "\n", 2);
	expect(text, 10001, wanted);
	free(text);
	free(wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_plain),
		cmocka_unit_test(escape_sequences_are_gone),
		cmocka_unit_test(long_lines_are_whole),
	};

	return cmocka_run_group_tests_name("cli-console_log", tests, NULL, NULL);
}

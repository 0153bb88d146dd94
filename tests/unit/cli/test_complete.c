// SPDX-License-Identifier: BSD-3-Clause
#include "cli/command.h"
#include "cli/complete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* What `viaduct __complete WORDS` prints. The caller's to free. */
static char *completed(char **words)
{
	struct cli cli = { 0 };
	size_t count = 0, len;
	char *text = NULL;

	while (words[count] != NULL)
		count++;
	cli_init(&cli);
	cli.out = open_memstream(&text, &len);
	complete(&cli, words, count);
	fclose(cli.out);
	cli_fini(&cli);
	return text;
}

#define COMPLETED(...) completed((char *[]){ __VA_ARGS__, NULL })

static void assert_completed(char *text, const char *wanted)
{
	assert_string_equal(text, wanted);
	free(text);
}

static void assert_has(char *text, const char *wanted, bool has)
{
	assert_int_equal(strstr(text, wanted) != NULL, has);
	free(text);
}

/* A new command's synopsis, or a new option, names nothing that completion has not heard of. */
static void test_every_placeholder_is_known(void **state)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct grammar *g = &commands[i].grammar;
		struct option_word options[OPTION_WORDS_MAX];
		size_t count = options_words(g, options);
		char placeholder[64];

		for (size_t n = 0; n < g->max_words; n++) {
			if (!complete_placeholder(g, n, placeholder, sizeof(placeholder)))
				fail_msg("%s: no placeholder for word %zu", g->name, n);
			if (!complete_is_known(placeholder))
				fail_msg("%s: what is %s?", g->name, placeholder);
		}
		if (g->max_words == 0)
			assert_false(complete_placeholder(g, 0, placeholder, sizeof(placeholder)));
		for (size_t n = 0; n < count; n++)
			if (options[n].value != NULL && !complete_is_known(options[n].value))
				fail_msg("--%s: what is %s?", options[n].name, options[n].value);
	}
}

static void test_nouns_and_verbs(void **state)
{
	assert_completed(COMPLETED("netw"), "network\tlist, show\n");
	assert_completed(COMPLETED("--json", "expl"),
			 "explain\twhat an error's or alarm's code means\n");
	assert_completed(COMPLETED("pf", "co"),
			 "confirm\tkeep the VFs that `pf apply --confirm-within` made\n");
	assert_completed(COMPLETED("nonsense", ""), "");
	assert_completed(COMPLETED("pf", "nonsense", ""), "");
	assert_completed(COMPLETED("--socket", "vm", "netw"), "network\tlist, show\n");
	assert_completed(COMPLETED("help", "netw"), "network\t\n");
}

static void test_options(void **state)
{
	assert_completed(COMPLETED("vm", "stop", "--no-k"),
			 "--no-kill\tlet a guest that does not power off run on\n");
	assert_completed(COMPLETED("vm", "stop", "a", "--no-kill", "--no-k"), "");
	assert_has(COMPLETED("--"), "--version\t", true);
	assert_has(COMPLETED("vm", "list", "--"), "--version\t", false);
	assert_has(COMPLETED("vm", "list", "--"), "--json\t", true);
	/* Nothing else can come. */
	assert_has(COMPLETED("vm", "list", ""), "--json\t", true);
	assert_completed(COMPLETED("vm", "run", "--", "--"), ":file\n");
}

static void test_values(void **state)
{
	assert_completed(COMPLETED("vm", "run", ""), ":file\n");
	assert_completed(COMPLETED("vm", "run", "a.yaml", "--owner", "ro"), ":user\n");
	assert_completed(COMPLETED("pf", "plan", "p0", "--vfs", ""), "");
	assert_completed(COMPLETED("vf", "set", "v", "qos=1", "spoof"), "spoofchk=\ton or off\n");
	assert_has(COMPLETED("explain", "daemon-not-r"), "daemon-not-running\t", true);
}

static void test_hostile_words_are_not_offered(void **state)
{
	static const char *const hostile[] = { "a b",	  "$(reboot)", "`x`",	   "a;b", "a\nb",
					       "\x1b[2J", "'",	       "\xc3\xa4", "*",	  "" };
	struct cli cli = { 0 };
	char *text = NULL;
	size_t len;

	cli.out = open_memstream(&text, &len);
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++)
		complete_offer(&cli, "", "", hostile[i], "");
	complete_offer(&cli, "", "0", "0000:01:00.0", "a\tb\n\x1b");
	fclose(cli.out);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_null(strchr(text, '\x1b'));
	assert_int_equal(strncmp(text, "0000:01:00.0\t", 13), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_placeholder_is_known),
		cmocka_unit_test(test_nouns_and_verbs),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_hostile_words_are_not_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line, by argp: settings (valid for every command, before or after its words) and the
 * options that the command's row in the table admits. Everything here is text: the commands check
 * what they use with arg_number() and friends.
 */
#ifndef VIADUCT_CLI_OPTIONS_H
#define VIADUCT_CLI_OPTIONS_H

#include "base/err.h"

#include <stdio.h>

#define SETTINGS_PATH 512

struct settings {
	char run_dir[SETTINGS_PATH]; /* --run-dir, VIADUCT_RUN_DIR, /run/viaduct */
	bool run_dir_given;
	bool run_dir_option; /* given by --run-dir */
	char socket[SETTINGS_PATH]; /* --socket; "" : viaduct.sock below run_dir */
	bool json;
	bool help;
	bool version;
};

enum option_id {
	OPT_VFS,
	OPT_DISRUPT,
	OPT_CONFIRM_WITHIN,
	OPT_ADOPT,
	OPT_NETWORK,
	OPT_PF,
	OPT_NUMA,
	OPT_NAME,
	OPT_TIMEOUT,
	OPT_DRY_RUN,
	OPT_FOLLOW,
	OPT_INTERVAL,
	OPT_NO_KILL,
	OPT_LOG,
	OPT_SINCE,
	OPT_OWNER,
	OPT_EXPLAIN,
	OPT_NO_WAIT,
	OPT_VM,
	OPT_UNSAFE,
	OPT_OUT,
	OPT_ALL,
	OPT_FORCE,
	OPT_REPLACE,
	OPT_TO,
	OPT_FORMAT,
	OPT_SIZE,
	OPT_VERIFY,
	OPT_PREALLOCATE,
	OPT_PORT,
	OPT_JSON_FILE,
	OPT_HTML,
	OPT_PNG,
	OPT_PROFILE,
	OPT_ROUNDS,
	OPT_AGAINST,
	OPT_WIRE,
	OPT_GUEST_KERNEL,
	OPT_GUEST_IMAGE,
	OPT_PLOT,
	OPT_DARK,
	OPT_EVERY,
	OPT_AGAIN,
	OPTION_COUNT,
};

#define ARGS_MAX 24

struct args {
	const char *words[ARGS_MAX]; /* what is neither option nor option value; borrowed from argv */
	size_t count;
	const char *value[OPTION_COUNT]; /* NULL: not given; "" for options without value */
};

/* What one command accepts. */
struct grammar {
	const char *name; /* "viaduct pf apply" */
	const char *synopsis; /* "PF --vfs N" */
	const char *summary;
	uint64_t options; /* BIT_ULL(option_id) */
	size_t min_words;
	size_t max_words;
};

/* Defaults and the environment. */
void settings_init(struct settings *s);

/* Path of the API socket. -ENAMETOOLONG. */
int settings_socket(const struct settings *s, char *buf, size_t cap, struct err *e);

/* Settings in front of the command's first word; *next is the index of that word, argc if none.
 * Every mistake is -EINVAL with code "usage". */
int options_parse_global(int argc, char **argv, struct settings *s, int *next, struct err *e);

/* The hint where a command's words are wrong: how it is called. */
int options_hint(const struct grammar *g, struct err *e);

/* Words, options and settings of one command; argv[0] is ignored, NULL ends it.
 * An option that takes a value is refused the second time, a setting also where it stood in front of the command. */
int options_parse(char **argv, const struct grammar *g, struct settings *s, struct args *args,
		  struct err *e);

void options_help(const struct grammar *g, FILE *out);

/* One option as completion sees it; `value` is the placeholder of its value, NULL if it takes none. */
struct option_word {
	const char *name;
	const char *value;
	const char *summary;
};

#define OPTION_WORDS_MAX (OPTION_COUNT + 5)

/* The options of a command, or with NULL those in front of it, as in its help; returns how many. */
size_t options_words(const struct grammar *g, struct option_word words[OPTION_WORDS_MAX]);

/* Decimal value of an option that was given; -EINVAL with code "usage". */
int arg_number(const struct args *a, enum option_id id, uint64_t max, uint64_t *out, struct err *e);

#endif

// SPDX-License-Identifier: BSD-3-Clause
/* Which kind of word stands at the cursor. What may stand there: complete_word.c. */
#include "cli/complete.h"

#include "cli/command.h"

#include <stdio.h>

/* The words before the cursor, read as options.c would read them. */
struct walk {
	const char *noun;
	const struct command *command; /* once noun and verb are there */
	size_t count; /* of the command's own words */
	bool is_over; /* "--": no options any more */
	bool is_lost; /* no command begins like this */
	char value_of[32]; /* placeholder of the option whose value comes next; "" */
	const char *wanted; /* and its name */
	bool used[OPTION_WORDS_MAX];
};

bool complete_placeholder(const struct grammar *g, size_t n, char *buf, size_t cap)
{
	const char *at = g->synopsis;
	bool is_value = false; /* of an option */

	for (;;) {
		size_t len;

		at += strspn(at, " []|");
		len = strcspn(at, " []|");
		if (len == 0)
			return false;
		if (strncmp(at, "--", 2) == 0) {
			is_value = at[len] == ' ' && at[len + 1] >= 'A' && at[len + 1] <= 'Z';
		} else if (is_value) {
			is_value = false;
		} else if (n == 0 || (len > 3 && strncmp(at + len - 3, "...", 3) == 0)) {
			snprintf(buf, cap, "%.*s", (int)len, at);
			return true;
		} else {
			n--;
		}
		at += len;
	}
}

static const struct grammar *walk_grammar(const struct walk *w)
{
	return w->command != NULL ? &w->command->grammar : NULL;
}

static void setting_take(struct cli *cli, const char *name, const char *value)
{
	struct settings *s = &cli->settings;

	if (strcmp(name, "socket") == 0)
		snprintf(s->socket, sizeof(s->socket), "%s", value);
	if (strcmp(name, "run-dir") == 0) {
		snprintf(s->run_dir, sizeof(s->run_dir), "%s", value);
		s->run_dir_given = true;
	}
}

static void walk_option(struct cli *cli, struct walk *w, const char *word)
{
	struct option_word list[OPTION_WORDS_MAX];
	size_t count = options_words(walk_grammar(w), list), len = strcspn(word, "=");

	for (size_t i = 0; i < count; i++) {
		if (strlen(list[i].name) != len || strncmp(list[i].name, word, len) != 0)
			continue;
		/* Settings have other numbers in front of the command than behind it. */
		w->used[i] = w->command != NULL;
		if (list[i].value == NULL)
			return;
		if (word[len] == '=')
			setting_take(cli, list[i].name, word + len + 1);
		else
			snprintf(w->value_of, sizeof(w->value_of), "%s", list[i].value);
		w->wanted = list[i].name;
		return;
	}
}

static void walk_name(struct walk *w, const char *word)
{
	bool is_noun = false;

	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->noun, w->noun != NULL ? w->noun : word) != 0)
			continue;
		is_noun = true;
		if (w->noun == NULL ? c->verb == NULL : strcmp(c->verb, word) == 0) {
			w->command = c;
			return;
		}
	}
	w->is_lost = w->noun != NULL || !is_noun;
	w->noun = word;
}

static void walk_word(struct cli *cli, struct walk *w, const char *word)
{
	if (w->value_of[0] != '\0') {
		setting_take(cli, w->wanted, word);
		w->value_of[0] = '\0';
	} else if (strcmp(word, "--") == 0 && !w->is_over) {
		w->is_over = true;
	} else if (strncmp(word, "--", 2) == 0 && !w->is_over) {
		walk_option(cli, w, word + 2);
	} else if (w->command == NULL) {
		walk_name(w, word);
	} else {
		w->count++;
	}
}

static void offer_options(struct cli *cli, const struct walk *w, const char *typed)
{
	struct option_word list[OPTION_WORDS_MAX];
	size_t count = options_words(walk_grammar(w), list);
	const char *eq = strchr(typed, '=');

	for (size_t i = 0; i < count; i++) {
		char word[64];

		snprintf(word, sizeof(word), "--%s", list[i].name);
		if (eq == NULL && !w->used[i])
			complete_offer(cli, "", typed, word, list[i].summary);
		if (eq == NULL || list[i].value == NULL || strlen(word) != (size_t)(eq - typed) ||
		    strncmp(word, typed, strlen(word)) != 0)
			continue;
		strcat(word, "=");
		complete_value(cli, list[i].value, word, eq + 1);
	}
}

/* "viaduct pf" could go on with these. */
static void verbs_text(const char *noun, char *buf, size_t cap)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < command_count && len < cap; i++)
		if (strcmp(commands[i].noun, noun) == 0)
			len += (size_t)snprintf(buf + len, cap - len, "%s%s", len > 0 ? ", " : "",
						commands[i].verb);
}

static void offer_names(struct cli *cli, const struct walk *w, const char *typed)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		char verbs[160];

		if (w->noun != NULL) {
			if (strcmp(c->noun, w->noun) == 0)
				complete_offer(cli, "", typed, c->verb, c->grammar.summary);
			continue;
		}
		if (i > 0 && strcmp(commands[i - 1].noun, c->noun) == 0)
			continue;
		if (c->verb != NULL)
			verbs_text(c->noun, verbs, sizeof(verbs));
		complete_offer(cli, "", typed, c->noun,
			       c->verb != NULL ? verbs : c->grammar.summary);
	}
}

void complete(struct cli *cli, char **words, size_t count)
{
	const char *typed = words[count - 1];
	struct walk w = { 0 };
	char placeholder[64];

	for (size_t i = 0; i + 1 < count; i++)
		walk_word(cli, &w, words[i]);
	if (w.is_lost)
		return;
	if (w.value_of[0] != '\0') {
		complete_value(cli, w.value_of, "", typed);
	} else if (typed[0] == '-' && !w.is_over) {
		offer_options(cli, &w, typed);
	} else if (w.command == NULL) {
		offer_names(cli, &w, typed);
	} else if (w.count >= w.command->grammar.max_words) {
		if (typed[0] == '\0' && !w.is_over)
			offer_options(cli, &w, typed);
	} else if (complete_placeholder(&w.command->grammar, w.count, placeholder,
					sizeof(placeholder))) {
		complete_value(cli, placeholder, "", typed);
	}
}

// SPDX-License-Identifier: BSD-3-Clause
/* What may stand for each placeholder of the synopses: one table. Names from the daemon are a peer's. */
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/console.h"
#include "cli/explain_table.h"
#include "cli/port_word.h"
#include "cli/text.h"
#include "cli/vf_attribute.h"

#include "base/json.h"
#include "image/image_format.h"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#define ASK_TIMEOUT_S 1
#define ASK_LIMIT_US  800000 /* with every try again */
#define OFFERS_MAX    4096

typedef void offer_fn(struct cli *cli, const char *prefix, const char *typed);

/* A list of the daemon's, two members that name each thing, and one that says what it is. */
struct source {
	const char *collection, *array;
	const char *name, *other_name;
	const char *what;
};

static const struct source pfs = { "/v1/pfs", "pfs", "name", "address", "driver" };
static const struct source vfs = { "/v1/vfs", "vfs", "lease", "id", "state" };
static const struct source vms = { "/v1/vms", "vms", "name", NULL, "state" };
static const struct source networks = { "/v1/networks", "networks", "name", NULL, NULL };
static const struct source uplinks = { "/v1/uplinks", "uplinks", "name", NULL, "kind" };
static const struct source operations = { "/v1/operations", "operations", "id", NULL, "kind" };
static const struct source units = { "/v1/iommu/units", "units", "name", NULL, "kind" };
static const struct source functions = { "/v1/functions", "functions", "address", "name",
					 "driver" };

void complete_offer(struct cli *cli, const char *prefix, const char *typed, const char *word,
		    const char *what)
{
	static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789._:#,=@+/-";
	char clean[128];

	if (word[0] == '\0' || strncmp(word, typed, strlen(typed)) != 0 ||
	    word[strspn(word, harmless)] != '\0')
		return;
	text_clean(clean, sizeof(clean), what != NULL ? what : "");
	fprintf(cli->out, "%s%s\t%s\n", prefix, word, clean);
}

static void too_late(int sig)
{
	_exit(CLI_OK);
}

/* Somebody waits with a finger on the key: soon, or not at all. NULL, or a new reference. */
static json_t *source_ask(struct cli *cli, const struct source *source)
{
	const struct request rq = { .method = "GET",
				    .collection = source->collection,
				    .timeout_s = ASK_TIMEOUT_S };
	const struct itimerval limit = { .it_value = { .tv_usec = ASK_LIMIT_US } }, none = { 0 };
	const struct sigaction late = { .sa_handler = too_late };
	json_t *reply = NULL;
	struct err e = { 0 };

	sigaction(SIGALRM, &late, NULL);
	setitimer(ITIMER_REAL, &limit, NULL);
	if (cli_call(cli, &rq, &reply, &e) < 0)
		reply = NULL;
	setitimer(ITIMER_REAL, &none, NULL);
	return reply;
}

static const char *row_text(const json_t *row, const char *member)
{
	return member != NULL ? json_string_value(json_object_get(row, member)) : NULL;
}

static void source_offer(struct cli *cli, const struct source *source, const char *prefix,
			 const char *typed)
{
	auto_json json_t *reply = source_ask(cli, source);
	const json_t *list = json_object_get(reply, source->array);

	for (size_t i = 0; i < json_array_size(list) && i < OFFERS_MAX; i++) {
		const json_t *row = json_array_get(list, i);
		const char *names[] = { row_text(row, source->name),
					row_text(row, source->other_name) };

		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			if (names[k] != NULL)
				complete_offer(cli, prefix, typed, names[k],
					       row_text(row, source->what));
	}
}

static void offer_pfs(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &pfs, prefix, typed);
}

static void offer_vfs(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &vfs, prefix, typed);
}

static void offer_vms(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &vms, prefix, typed);
}

static void offer_networks(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &networks, prefix, typed);
}

static void offer_uplinks(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &uplinks, prefix, typed);
}

static void offer_functions(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &functions, prefix, typed);
}

static void offer_units(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &units, prefix, typed);
}

static void offer_operations(struct cli *cli, const char *prefix, const char *typed)
{
	source_offer(cli, &operations, prefix, typed);
}

/* Of a list with commas, the last is being typed. */
static void offer_disrupted(struct cli *cli, const char *prefix, const char *typed)
{
	const char *comma = strrchr(typed, ','), *last = comma != NULL ? comma + 1 : typed;
	static const struct source leases = { "/v1/vfs", "vfs", "lease", NULL, "state" };
	char before[512];
	int n = snprintf(before, sizeof(before), "%s%.*s", prefix, (int)(last - typed), typed);

	if (n < 0 || (size_t)n >= sizeof(before) - sizeof("lease:"))
		return;
	source_offer(cli, &vms, before, last);
	if (strncmp(last, "lease:", 6) != 0) {
		complete_offer(cli, before, last, "lease:", "a lease's name");
		return;
	}
	strcat(before, "lease:");
	source_offer(cli, &leases, before, last + 6);
}

static void offer_attributes(struct cli *cli, const char *prefix, const char *typed)
{
	const char *eq = strchr(typed, '='), *form, *key;
	char word[64];

	for (size_t i = 0; (key = vf_attribute_key(i, &form)) != NULL; i++) {
		snprintf(word, sizeof(word), "%s=", key);
		if (eq == NULL)
			complete_offer(cli, prefix, typed, word, form);
	}
}

static void offer_port_words(struct cli *cli, const char *prefix, const char *typed)
{
	const char *eq = strchr(typed, '='), *form, *key;
	char word[64];

	for (size_t i = 0; (key = port_word_key(i, &form)) != NULL; i++) {
		snprintf(word, sizeof(word), "%s=", key);
		if (eq == NULL)
			complete_offer(cli, prefix, typed, word, form);
	}
}

static void offer_consoles(struct cli *cli, const char *prefix, const char *typed)
{
	complete_offer(cli, prefix, typed, CONSOLE_HVC0, "the virtio console");
}

/* Things of VMs: VM/NAME. */
static void offer_parts(struct cli *cli, const struct source *source, const char *prefix,
			const char *typed)
{
	auto_json json_t *reply = source_ask(cli, source);
	const json_t *list = json_object_get(reply, source->array);

	for (size_t i = 0; i < json_array_size(list) && i < OFFERS_MAX; i++) {
		const json_t *row = json_array_get(list, i);
		const char *vm = row_text(row, "vm"), *name = row_text(row, "name");
		char word[160];

		if (vm == NULL || name == NULL)
			continue;
		snprintf(word, sizeof(word), "%.64s/%.64s", vm, name);
		complete_offer(cli, prefix, typed, word, row_text(row, source->what));
	}
}

static void offer_ports(struct cli *cli, const char *prefix, const char *typed)
{
	static const struct source ports = { "/v1/ports", "ports", NULL, NULL, "engine" };

	offer_parts(cli, &ports, prefix, typed);
}

static void offer_disks(struct cli *cli, const char *prefix, const char *typed)
{
	static const struct source disks = { "/v1/disks", "disks", NULL, NULL, "state" };

	offer_parts(cli, &disks, prefix, typed);
}

static void offer_limits(struct cli *cli, const char *prefix, const char *typed)
{
	complete_offer(cli, prefix, typed, "iops=", "operations a second, or off");
	complete_offer(cli, prefix, typed, "bandwidth=", "bytes a second, such as 200M, or off");
}

static void offer_codes(struct cli *cli, const char *prefix, const char *typed)
{
	for (size_t i = 0; i < explanation_count; i++)
		complete_offer(cli, prefix, typed, explanations[i].code, explanations[i].cause);
}

static void offer_nouns(struct cli *cli, const char *prefix, const char *typed)
{
	for (size_t i = 0; i < command_count; i++)
		if (i == 0 || strcmp(commands[i - 1].noun, commands[i].noun) != 0)
			complete_offer(cli, prefix, typed, commands[i].noun, "");
}

static void offer_files(struct cli *cli, const char *prefix, const char *typed)
{
	fputs(":file\n", cli->out);
}

static void offer_users(struct cli *cli, const char *prefix, const char *typed)
{
	fputs(":user\n", cli->out);
}

static void offer_formats(struct cli *cli, const char *prefix, const char *typed)
{
	for (unsigned int i = 0; i < IMAGE_FORMATS; i++)
		complete_offer(cli, prefix, typed, image_format_word(i), "");
	complete_offer(cli, prefix, typed, "auto", "by its first bytes");
}

static void offer_table(struct cli *cli, const char *const *words, const char *prefix,
			const char *typed)
{
	for (; *words != NULL; words++)
		complete_offer(cli, prefix, typed, *words, "");
}

static void offer_scenarios(struct cli *cli, const char *prefix, const char *typed)
{
	offer_table(cli, bench_scenarios, prefix, typed);
}

static void offer_profiles(struct cli *cli, const char *prefix, const char *typed)
{
	offer_table(cli, bench_profiles, prefix, typed);
}

static void offer_monitors(struct cli *cli, const char *prefix, const char *typed)
{
	offer_table(cli, bench_monitors, prefix, typed);
}

static const struct {
	const char *placeholder;
	offer_fn *offer; /* NULL: nobody can know */
} kinds[] = {
	{ "PF", offer_pfs },
	{ "VF", offer_vfs },
	{ "NAME", offer_vms },
	{ "NETWORK", offer_networks },
	{ "UPLINK", offer_uplinks },
	{ "FUNCTION", offer_functions },
	{ "UNIT", offer_units },
	{ "VM,lease:LEASE,...", offer_disrupted },
	{ "KEY=VALUE...", offer_attributes },
	{ "VM/PORT", offer_ports },
	{ "WORD=VALUE...", offer_port_words },
	{ "VM/DISK", offer_disks },
	{ "LIMIT=VALUE...", offer_limits },
	{ "CODE", offer_codes },
	{ "SCENARIO...", offer_scenarios },
	{ "PROFILE", offer_profiles },
	{ "MONITOR", offer_monitors },
	{ "OTHER", offer_files },
	{ "PORT", NULL },
	{ "PLOT,...", NULL },
	{ "NOUN", offer_nouns },
	{ "FILE", offer_files },
	{ "DIR", offer_files },
	{ "PATH", offer_files },
	{ "USER", offer_users },
	{ "FORMAT", offer_formats },
	{ "ID", offer_operations },
	{ "VERB", NULL },
	{ "LEASE", NULL },
	{ "N", NULL },
	{ "NODE", NULL },
	{ "REASON", NULL },
	{ "SECONDS", NULL },
	{ "SIZE", NULL },
	{ "CONSOLE", offer_consoles },
	{ "TIME", NULL },
	{ "CURSOR", NULL },
};

bool complete_is_known(const char *placeholder)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].placeholder, placeholder) == 0)
			return true;
	return false;
}

void complete_value(struct cli *cli, const char *placeholder, const char *prefix, const char *typed)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].placeholder, placeholder) == 0 && kinds[i].offer != NULL)
			kinds[i].offer(cli, prefix, typed);
}

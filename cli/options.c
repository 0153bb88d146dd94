// SPDX-License-Identifier: BSD-3-Clause
#include "cli/options.h"

#include "cli/cli.h"
#include "cli/nearest.h"

#include "base/parse.h"
#include "vf-manager/api.h"

#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Keys outside the characters, so that argp makes no short options of them. */
enum { KEY_COMMAND = 0x100, KEY_JSON = 0x200, KEY_SOCKET, KEY_RUN_DIR, KEY_VERSION };

static const struct argp_option command_options[OPTION_COUNT] = {
	[OPT_VFS] = { "vfs", KEY_COMMAND + OPT_VFS, "N", 0, "number of VFs; 0 removes them", 1 },
	[OPT_DISRUPT] = { "disrupt", KEY_COMMAND + OPT_DISRUPT, "VM,lease:LEASE,...", 0,
			  "may be hurt: these VMs are stopped, these leases lose their VF", 1 },
	[OPT_CONFIRM_WITHIN] = { "confirm-within", KEY_COMMAND + OPT_CONFIRM_WITHIN, "TIME", 0,
				 "go back unless `pf confirm` comes within 60s, 5m, 1h", 1 },
	[OPT_ADOPT] = { "adopt", KEY_COMMAND + OPT_ADOPT, NULL, 0,
			"take in VFs that somebody else has made, if the host does not use them",
			1 },
	[OPT_NETWORK] = { "network", KEY_COMMAND + OPT_NETWORK, "NETWORK", 0,
			  "take a VF of this network's PFs", 1 },
	[OPT_PF] = { "pf", KEY_COMMAND + OPT_PF, "PF", 0, "take a VF of this PF", 1 },
	[OPT_NUMA] = { "numa", KEY_COMMAND + OPT_NUMA, "NODE", 0, "take a VF of this NUMA node",
		       1 },
	[OPT_NAME] = { "name", KEY_COMMAND + OPT_NAME, "LEASE", 0,
		       "name of the lease, by which the VF can be named from now on", 1 },
	[OPT_TIMEOUT] = { "timeout", KEY_COMMAND + OPT_TIMEOUT, "SECONDS", 0,
			  "end after this many seconds", 1 },
	[OPT_DRY_RUN] = { "dry-run", KEY_COMMAND + OPT_DRY_RUN, NULL, 0,
			  "only say what would be done", 1 },
	[OPT_FOLLOW] = { "follow", KEY_COMMAND + OPT_FOLLOW, NULL, 0,
			 "go on until Ctrl-C or the end of what is followed", 1 },
	[OPT_INTERVAL] = { "interval", KEY_COMMAND + OPT_INTERVAL, "SECONDS", 0,
			   "between two samples (1)", 1 },
	[OPT_NO_KILL] = { "no-kill", KEY_COMMAND + OPT_NO_KILL, NULL, 0,
			  "let a guest that does not power off run on", 1 },
	[OPT_LOG] = { "log", KEY_COMMAND + OPT_LOG, NULL, 0,
		      "print what the guest has written so far, without control characters", 1 },
	[OPT_SINCE] = { "since", KEY_COMMAND + OPT_SINCE, "CURSOR", 0,
			"only what came after this event", 1 },
	[OPT_OWNER] = { "owner", KEY_COMMAND + OPT_OWNER, "USER", 0,
			"who may open its console, stop it and change its ports, beside root", 1 },
	[OPT_EXPLAIN] = { "explain", KEY_COMMAND + OPT_EXPLAIN, NULL, 0,
			  "say of each PF why a VF is, or is not, taken of it", 1 },
	[OPT_NO_WAIT] = { "no-wait", KEY_COMMAND + OPT_NO_WAIT, NULL, 0,
			  "begin it and print the operation's id; see `viaduct operation`", 1 },
	[OPT_VM] = { "vm", KEY_COMMAND + OPT_VM, "NAME", 0, "this VM only", 1 },
	[OPT_UNSAFE] = { "allow-unsafe-interrupts", KEY_COMMAND + OPT_UNSAFE, "REASON", 0,
			 "start although its devices could forge interrupts of the host; is recorded, and shown with the VM",
			 1 },
	[OPT_OUT] = { "out", KEY_COMMAND + OPT_OUT, "FILE", 0,
		      "write the report into this file, which must not be there", 1 },
	[OPT_ALL] = { "all", KEY_COMMAND + OPT_ALL, NULL, 0,
		      "all of them, in their order: as the host comes up and goes down", 1 },
	[OPT_FORCE] = { "force", KEY_COMMAND + OPT_FORCE, NULL, 0,
			"kill it if it runs, and although others wait for it at their start", 1 },
	[OPT_REPLACE] = { "replace", KEY_COMMAND + OPT_REPLACE, NULL, 0,
			  "put this file in the place of the one that the VM has", 1 },
	[OPT_TO] = { "to", KEY_COMMAND + OPT_TO, "PATH", 0,
		     "name of the new image (that of FILE, with the ending .raw)", 1 },
	[OPT_FORMAT] = { "format", KEY_COMMAND + OPT_FORMAT, "FORMAT", 0,
			 "what FILE is: qcow2, vmdk, vhdx, vdi, vpc, raw, auto (auto: by its first bytes)",
			 1 },
	[OPT_SIZE] = { "size", KEY_COMMAND + OPT_SIZE, "SIZE", 0,
		       "make the disk as large as this (20G), if it is smaller", 1 },
	[OPT_VERIFY] = { "verify", KEY_COMMAND + OPT_VERIFY, NULL, 0,
			 "compare the new image with FILE at the end", 1 },
	[OPT_PREALLOCATE] = { "preallocate", KEY_COMMAND + OPT_PREALLOCATE, NULL, 0,
			      "take all of its room on the disk now", 1 },
	[OPT_PORT] = { "port", KEY_COMMAND + OPT_PORT, "CONSOLE", 0,
		       "another console than the serial one: hvc0, where the VM has it", 1 },
	[OPT_JSON_FILE] = { "json", KEY_COMMAND + OPT_JSON_FILE, "FILE", 0,
			    "write the result into this file; - is standard output", 1 },
	[OPT_HTML] = { "html", KEY_COMMAND + OPT_HTML, "FILE", 0,
		       "write the report into this file, one page with all of its plots", 1 },
	[OPT_PNG] = { "png", KEY_COMMAND + OPT_PNG, "FILE", 0,
		      "write the plots into this file as a picture", 1 },
	[OPT_PROFILE] = { "profile", KEY_COMMAND + OPT_PROFILE, "PROFILE", 0,
			  "how long and how thoroughly: rfc, lab, smoke (rfc)", 1 },
	[OPT_ROUNDS] = { "rounds", KEY_COMMAND + OPT_ROUNDS, "N", 0,
			 "how often each figure is measured (that of the profile)", 1 },
	[OPT_AGAINST] = { "against", KEY_COMMAND + OPT_AGAINST, "MONITOR", 0,
			  "measure this monitor beside viaduct, with the same guest: qemu", 1 },
	[OPT_WIRE] = { "wire", KEY_COMMAND + OPT_WIRE, "PORT", 0,
		       "the generator's port, at the other end of the PF's cable: a PCI address, or af-packet:INTERFACE",
		       1 },
	[OPT_GUEST_KERNEL] = { "guest-kernel", KEY_COMMAND + OPT_GUEST_KERNEL, "FILE", 0,
			       "kernel of the bench guest", 1 },
	[OPT_GUEST_IMAGE] = { "guest-image", KEY_COMMAND + OPT_GUEST_IMAGE, "FILE", 0,
			      "the bench guest itself: an initrd made by bench/guest-image", 1 },
	[OPT_PLOT] = { "plot", KEY_COMMAND + OPT_PLOT, "PLOT,...", 0,
		       "only these plots in the picture; a wrong name shows the right ones", 1 },
	[OPT_DARK] = { "dark", KEY_COMMAND + OPT_DARK, NULL, 0, "the picture in dark colours", 1 },
	[OPT_EVERY] = { "every", KEY_COMMAND + OPT_EVERY, NULL, 0,
			"every figure, not only those that differ", 1 },
	[OPT_AGAIN] = { "again", KEY_COMMAND + OPT_AGAIN, "FILE", 0,
			"a second run of FILE: what drifts from run to run is no change", 1 },
};

static const struct argp_option setting_options[] = {
	{ "json", KEY_JSON, NULL, 0, "print the API's object; errors as JSON on stderr", 9 },
	{ "run-dir", KEY_RUN_DIR, "DIR", 0, "the daemon's run folder (VIADUCT_RUN_DIR)", 9 },
	{ "socket", KEY_SOCKET, "PATH", 0, "the daemon's socket, and no other daemon", 9 },
	{ "help", 'h', NULL, 0, "this text", 9 },
};

#define SETTING_COUNT ARRAY_SIZE(setting_options)

/* Only in front of the command. */
static const struct argp_option version_option = {
	"version", KEY_VERSION, NULL, 0, "same as `viaduct version`", 9
};

struct parse {
	const struct grammar *grammar; /* NULL: in front of the command */
	const struct argp_option *options;
	struct settings *settings;
	struct args *args;
	int first_word;
	int result;
	struct err *e;
};

void settings_init(struct settings *s)
{
	const char *run_dir = getenv("VIADUCT_RUN_DIR");

	memset(s, 0, sizeof(*s));
	s->run_dir_given = run_dir != NULL && run_dir[0] != '\0';
	snprintf(s->run_dir, sizeof(s->run_dir), "%s",
		 s->run_dir_given ? run_dir : API_DEFAULT_RUN_DIR);
}

int settings_socket(const struct settings *s, char *buf, size_t cap, struct err *e)
{
	int n = s->socket[0] != '\0' ? snprintf(buf, cap, "%s", s->socket)
				     : snprintf(buf, cap, "%s/%s", s->run_dir, API_SOCKET_NAME);

	return n > 0 && (size_t)n < cap
		       ? 0
		       : err_set(e, ENAMETOOLONG, "the run folder's name is too long");
}

/* The option that argp stumbled over, for the error. */
static int bad_option(struct parse *p, const struct argp_state *state)
{
	const char *text = state->next > 0 ? state->argv[state->next - 1] : "";
	const char *names[OPTION_COUNT + SETTING_COUNT + 2];
	const char *near;
	char word[64];
	size_t n = 0;

	if (text[0] != '-' && state->next < state->argc)
		text = state->argv[state->next];
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, "="), text);
	for (const struct argp_option *o = p->options; o->name != NULL; o++) {
		if (word[0] != '\0' && strcmp(word + strspn(word, "-"), o->name) == 0)
			return cli_usage(p->e,
					 o->arg != NULL ? "--%s lacks its value"
							: "--%s takes no value",
					 o->name);
		names[n++] = o->name;
	}
	cli_usage(p->e, "unknown option %s", word);
	near = nearest_word(word + strspn(word, "-"), names, n);
	if (near != NULL)
		return err_hint(p->e, "--%s", near);
	return err_hint(p->e, "%s --help", p->grammar != NULL ? p->grammar->name : "viaduct");
}

static int set_path(struct parse *p, const char *option, const char *arg, char *buf)
{
	if (arg[0] == '\0' || strlen(arg) >= SETTINGS_PATH)
		return cli_usage(p->e, "%s: the path is empty or too long", option);
	snprintf(buf, SETTINGS_PATH, "%s", arg);
	return 0;
}

/* Of which of two values would be meant, nobody knows. Once, in front of the command or behind it. */
static int check_once(struct parse *p, int key)
{
	bool is_given = false;

	if (key >= KEY_COMMAND && key < KEY_COMMAND + OPTION_COUNT)
		is_given = p->args->value[key - KEY_COMMAND] != NULL;
	else if (key == KEY_SOCKET)
		is_given = p->settings->socket[0] != '\0';
	else if (key == KEY_RUN_DIR)
		is_given = p->settings->run_dir_option;
	for (const struct argp_option *o = p->options; is_given && o->name != NULL; o++)
		if (o->key == key && o->arg != NULL)
			return cli_usage(p->e, "--%s is given twice", o->name);
	return 0;
}

int options_hint(const struct grammar *g, struct err *e)
{
	return err_hint(e, "%s%s%s", g->name, g->synopsis[0] != '\0' ? " " : "", g->synopsis);
}

static int set_word(struct parse *p, char *arg)
{
	if (p->args->count >= p->grammar->max_words || p->args->count >= ARGS_MAX) {
		cli_usage(p->e, "%s: '%.64s' is too much", p->grammar->name, arg);
		return options_hint(p->grammar, p->e);
	}
	p->args->words[p->args->count++] = arg;
	return 0;
}

static error_t on_option(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	struct settings *s = p->settings;

	if (check_once(p, key) < 0) {
		p->result = -EINVAL;
		return EINVAL;
	}
	if (key >= KEY_COMMAND && key < KEY_COMMAND + OPTION_COUNT) {
		p->args->value[key - KEY_COMMAND] = arg != NULL ? arg : "";
		return 0;
	}
	switch (key) {
	case KEY_JSON:
		s->json = true;
		return 0;
	case 'h':
		s->help = true;
		return 0;
	case KEY_VERSION:
		s->version = true;
		return 0;
	case KEY_SOCKET:
		p->result = set_path(p, "--socket", arg, s->socket);
		return p->result < 0 ? EINVAL : 0;
	case KEY_RUN_DIR:
		s->run_dir_given = true;
		s->run_dir_option = true;
		p->result = set_path(p, "--run-dir", arg, s->run_dir);
		return p->result < 0 ? EINVAL : 0;
	case ARGP_KEY_ARG:
		if (p->grammar != NULL) {
			p->result = set_word(p, arg);
			return p->result < 0 ? EINVAL : 0;
		}
		p->first_word = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_ERROR:
		if (p->result == 0)
			p->result = bad_option(p, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Options in the order of the table, then the settings; a row of zeros ends them. */
static void list_options(const struct grammar *g, struct argp_option *list)
{
	size_t n = 0;

	for (size_t i = 0; g != NULL && i < OPTION_COUNT; i++)
		if (g->options & BIT_ULL(i))
			list[n++] = command_options[i];
	/* One --json a command: where it takes a file, that is it. */
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (g == NULL || setting_options[i].key != KEY_JSON ||
		    !(g->options & BIT_ULL(OPT_JSON_FILE)))
			list[n++] = setting_options[i];
	if (g == NULL)
		list[n++] = version_option;
	list[n] = (struct argp_option){ 0 };
}

#define LIST_MAX (OPTION_COUNT + SETTING_COUNT + 2)

static int parse_run(struct parse *p, int argc, char **argv)
{
	struct argp_option list[LIST_MAX];
	const struct argp argp = { .options = list, .parser = on_option };
	error_t r;

	list_options(p->grammar, list);
	p->options = list;
	r = argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, p);
	if (p->result < 0)
		return p->result;
	return r == 0 ? 0 : cli_usage(p->e, "the command line cannot be read: %s", strerror(r));
}

int options_parse_global(int argc, char **argv, struct settings *s, int *next, struct err *e)
{
	struct parse p = { .settings = s, .first_word = argc, .e = e };
	int r = parse_run(&p, argc, argv);

	if (r == 0)
		*next = p.first_word;
	return r;
}

int options_parse(char **argv, const struct grammar *g, struct settings *s, struct args *args,
		  struct err *e)
{
	struct parse p = { .grammar = g, .settings = s, .args = args, .e = e };
	int argc = 0, r;

	memset(args, 0, sizeof(*args));
	while (argv[argc] != NULL)
		argc++;
	r = parse_run(&p, argc, argv);
	if (r < 0 || s->help)
		return r;
	if (args->count < g->min_words) {
		cli_usage(e, "%s: something is missing", g->name);
		return options_hint(g, e);
	}
	return 0;
}

void options_help(const struct grammar *g, FILE *out)
{
	struct argp_option list[LIST_MAX];
	const struct argp argp = { .options = list };

	list_options(g, list);
	fprintf(out, "usage: %s %s\n\n  %s\n\n", g->name, g->synopsis, g->summary);
	argp_help(&argp, out, ARGP_HELP_LONG, (char *)g->name);
}

size_t options_words(const struct grammar *g, struct option_word words[OPTION_WORDS_MAX])
{
	struct argp_option list[LIST_MAX];
	size_t n;

	static_assert(LIST_MAX - 1 <= OPTION_WORDS_MAX, "every option has its place");
	list_options(g, list);
	for (n = 0; list[n].name != NULL; n++)
		words[n] = (struct option_word){ list[n].name, list[n].arg, list[n].doc };
	return n;
}

int arg_number(const struct args *a, enum option_id id, uint64_t max, uint64_t *out, struct err *e)
{
	const char *name = command_options[id].name;

	switch (parse_u64(a->value[id], max, out)) {
	case 0:
		return 0;
	case -ERANGE:
		return cli_usage(e, "--%s %.32s: at most %llu is possible", name, a->value[id],
				 (unsigned long long)max);
	default:
		return cli_usage(e, "--%s '%.32s' is no number", name, a->value[id]);
	}
}

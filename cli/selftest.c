// SPDX-License-Identifier: BSD-3-Clause
/* host selftest: what this machine really does, as a table and as a file that can be shared. Exit status 1 unless all passed. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/text.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SELFTEST_TIMEOUT_S 120

static const struct {
	const char *word, *shown;
} results[] = {
	{ "pass", "pass" },
	{ "fail", "FAIL" },
	{ "not-run", "not run" },
};

static size_t result_of(const json_t *step)
{
	const char *word = json_string_value(json_object_get(step, "result"));
	size_t i = 0;

	while (word != NULL && i < ARRAY_SIZE(results) && strcmp(results[i].word, word) != 0)
		i++;
	/* What is no known word has not passed. */
	return word != NULL && i < ARRAY_SIZE(results) ? i : 1;
}

/* "LABEL:  a b c" of the members that are there. */
static void line_show(FILE *out, const char *label, const json_t *obj, const char *const *members)
{
	char text[TEXT_CELL];

	fprintf(out, "%-8s", label);
	for (; *members != NULL; members++) {
		const json_t *member = text_member(obj, *members);

		if (member == NULL || json_is_null(member))
			continue;
		text_value(member, text, sizeof(text));
		fprintf(out, " %s", text);
	}
	fputc('\n', out);
}

static void head_show(FILE *out, const json_t *report)
{
	static const char *const cpu[] = { "cpu.vendor",   "cpu.family", "cpu.model",
					   "cpu.stepping", "cpu.name",	 NULL };
	static const char *const board[] = { "board.sys_vendor", "board.product_name",
					     "board.bios_vendor", "board.bios_version", NULL };
	static const char *const kernel[] = { "kernel", "iommu", NULL };
	static const char *const vf[] = { "vf.address",	    "vf.id",
					  "vf.device",	    "vf.pf.device",
					  "vf.pf.driver",   "vf.pf.driver_version",
					  "vf.pf.firmware", NULL };

	line_show(out, "CPU:", report, cpu);
	line_show(out, "board:", report, board);
	line_show(out, "kernel:", report, kernel);
	if (json_is_object(json_object_get(report, "vf")))
		line_show(out, "VF:", report, vf);
	fputc('\n', out);
}

static void step_show(FILE *out, const json_t *step)
{
	const json_t *us = json_object_get(step, "us");
	char text[TEXT_CELL];

	text_value(text_member(step, "proves"), text, sizeof(text));
	fprintf(out, "%-7s  %s", results[result_of(step)].shown, text);
	if (result_of(step) != 2 && json_is_integer(us))
		fprintf(out, "  (%.1f ms)", (double)json_integer_value(us) / 1000);
	text_value(text_member(step, "text"), text, sizeof(text));
	fprintf(out, "\n         %s\n", text);
	if (json_string_length(json_object_get(step, "hint")) == 0)
		return;
	text_value(text_member(step, "hint"), text, sizeof(text));
	fprintf(out, "         try: %s\n", text);
}

int render_host_selftest(FILE *out, const json_t *reply, struct err *e)
{
	size_t i, count[ARRAY_SIZE(results)] = { 0 };
	char text[TEXT_CELL];
	const json_t *step;
	json_t *steps;
	int r = render_rows(reply, "steps", &steps, e);

	if (r < 0)
		return r;
	head_show(out, reply);
	json_array_foreach(steps, i, step) {
		step_show(out, step);
		count[result_of(step)]++;
	}
	text_value(text_member(reply, "verdict"), text, sizeof(text));
	fprintf(out, "\n%zu passed, %zu failed, %zu not run: %s\n", count[0], count[1], count[2],
		text);
	return 0;
}

/* Beside its place until it is whole. */
struct report_file {
	char path[PATH_MAX], part[PATH_MAX];
	int fd;
};

static int report_fail(const struct report_file *f, const char *what, struct err *e)
{
	int errnum = errno;

	if (f->fd >= 0)
		unlink(f->part);
	return err_set(e, errnum, "%s %s: %s", what, f->path, strerror(errnum));
}

/* Before the test: who cannot keep the report hears it now. */
static int report_open(const struct args *a, struct report_file *f, struct err *e)
{
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (a->value[OPT_OUT] != NULL)
		snprintf(f->path, sizeof(f->path), "%s", a->value[OPT_OUT]);
	else
		strftime(f->path, sizeof(f->path), "viaduct-selftest-%Y%m%d-%H%M%S.json",
			 localtime_r(&now, &tm));
	n = snprintf(f->part, sizeof(f->part), "%s.%d.part", f->path, (int)getpid());
	if (f->path[0] == '\0' || n >= (int)sizeof(f->part))
		return cli_usage(e, "--out: that is no name of a file");
	if (faccessat(AT_FDCWD, f->path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return report_fail(f, "write the report to", e);
	}
	f->fd = open(f->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return f->fd < 0 ? report_fail(f, "write the report to", e) : 0;
}

/* All or nothing, and never over what is there. */
static int report_keep(struct report_file *f, const json_t *report, struct err *e)
{
	auto_free char *text = json_dumps(report, JSON_INDENT(2) | JSON_SORT_KEYS);
	int r = text != NULL ? fd_write_all(f->fd, text, strlen(text)) : -ENOMEM;

	if (r == 0)
		r = fd_write_all(f->fd, "\n", 1);
	if (r == 0 && (fsync(f->fd) < 0 || link(f->part, f->path) < 0))
		r = -errno;
	if (r < 0) {
		errno = -r;
		return report_fail(f, "write the report to", e);
	}
	unlink(f->part);
	return 0;
}

void selftest_check(struct cli *cli, const json_t *reply)
{
	const char *verdict = json_string_value(json_object_get(reply, "verdict"));

	if (verdict == NULL || strcmp(verdict, "pass") != 0)
		cli->exit_status = CLI_FAILED;
}

int host_selftest(struct cli *cli, const struct args *a, struct err *e)
{
	auto_json json_t *body = json_object(), *reply = NULL;
	const struct request rq = { .method = "POST",
				    .collection = "/v1/host/selftest",
				    .body = body,
				    .timeout_s = SELFTEST_TIMEOUT_S,
				    .progress = "testing the machine" };
	bool is_kept = a->value[OPT_OUT] != NULL || !cli->settings.json;
	struct report_file file = { .fd = -1 };
	int r = cli_body_add(body, "pf", a->value[OPT_PF], e);

	if (r == 0 && is_kept)
		r = report_open(a, &file, e);
	if (r < 0)
		return r;
	r = operation_call(cli, a, &rq, &reply, e);
	if (r == 0) {
		selftest_check(cli, reply);
		r = cli_show(cli, reply, render_host_selftest, e);
	}
	if (r == 0 && is_kept)
		r = report_keep(&file, reply, e);
	else if (file.fd >= 0)
		unlink(file.part);
	if (r == 0 && is_kept && !cli->settings.json)
		fprintf(cli->out, "report: %s\n", file.path);
	fd_close(&file.fd);
	return r;
}

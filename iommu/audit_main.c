// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaduct-audit: one question, one answer, then it ends. viaductd starts it with the request on standard input
 * (audit_msg.h). It opens what it needs, gives up every privilege, looks, and writes the verdicts to standard output.
 */
#include "iommu/audit_msg.h"
#include "iommu/audit_sandbox.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int request_read(struct audit_wish *out, struct err *e)
{
	auto_free char *text = malloc(AUDIT_MSG_MAX);
	auto_json json_t *request = NULL;
	json_error_t why;
	size_t len = 0;
	ssize_t n = 1;

	if (text == NULL)
		return err_set(e, ENOMEM, "no memory");
	while (len < AUDIT_MSG_MAX && n != 0) {
		n = read(STDIN_FILENO, text + len, AUDIT_MSG_MAX - len);
		if (n < 0)
			return err_set(e, errno, "the request: %s", strerror(errno));
		len += (size_t)n;
	}
	request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (request == NULL)
		return err_set(e, EINVAL, "the request is no JSON: %s", why.text);
	return audit_wish_parse(request, out, e);
}

/* The registers lead to all that was looked at: they are read once more behind it. */
static void one_audit(struct audit_host *host, const struct audit_wish *wish, size_t nr,
		      const struct audit_result *known, struct audit_result *out)
{
	const struct audit_wish_function *fn = &wish->functions[nr];
	struct audit_unit unit = { 0 }, again = { 0 };

	host->function = nr;
	(void)audit_host_unit(host, fn->registers, &unit);
	audit_function(&host->machine, &unit, host->sids[nr], known, out);
	if (fn->has_aliases)
		audit_say(
			out, WHY_REQUESTER_SHARED,
			"a bridge above it may put its own requester id on what the function does: "
			"the tables of that id were not read");
	(void)audit_host_unit(host, fn->registers, &again);
	if (again.gsts == unit.gsts && again.rtaddr == unit.rtaddr && again.irta == unit.irta)
		return;
	audit_say(out, WHY_TABLES_CHANGE,
		  "the unit's registers changed while its tables were read (GSTS 0x%x, then 0x%x)",
		  unit.gsts, again.gsts);
	out->tables_are_proven = false;
}

/* One after the other; the tables that functions share are walked once. */
static json_t *all_audit(struct audit_host *host, const struct audit_wish *wish)
{
	enum audit_verdict worst = AUDIT_PROVEN;
	struct audit_result now, proven = { .tables_are_proven = false };
	json_t *functions = json_array();
	uint64_t began = now_ns();

	for (size_t i = 0; i < wish->function_count; i++) {
		one_audit(host, wish, i, &proven, &now);
		if (now.tables_are_proven)
			proven = now;
		worst = audit_verdict_worse(worst, now.verdict);
		json_array_append_new(functions,
				      audit_result_build(&wish->functions[i].address, &now));
	}
	return json_pack("{s:i, s:b, s:s, s:I, s:o}", "v", AUDIT_MSG_VERSION, "ok", true, "verdict",
			 audit_verdict_text(worst), "duration_ms",
			 (json_int_t)((now_ns() - began) / 1000000), "functions", functions);
}

static int answer(json_t *reply)
{
	size_t len = json_dumpb(reply, NULL, 0, JSON_COMPACT | JSON_ENSURE_ASCII);
	char *text = malloc(len + 1);

	if (reply == NULL || text == NULL || len == 0)
		return 1;
	json_dumpb(reply, text, len, JSON_COMPACT | JSON_ENSURE_ASCII);
	return fd_write_all(STDOUT_FILENO, text, len) < 0;
}

int main(void)
{
	static struct audit_wish wish;
	static struct audit_host host;
	struct err e = { 0 };
	int r = audit_sandbox_begin(&e);

	if (r == 0)
		r = request_read(&wish, &e);
	if (r == 0)
		r = audit_host_open(&host, &wish, &e);
	if (r == 0)
		r = audit_sandbox_close(&e);
	/* At once: what else would run at the end is not among the calls that are left. */
	_exit(answer(r == 0 ? all_audit(&host, &wish) : audit_error_build(&e)));
}

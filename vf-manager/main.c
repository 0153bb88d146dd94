// SPDX-License-Identifier: BSD-3-Clause
/*
 * viaductd: the life of the process. It reads what it knew, finds what still runs, serves the API
 * until a signal, and leaves the VMs running.
 */
#include "vf-manager/adopt.h"
#include "vf-manager/backend.h"
#include "vf-manager/daemon.h"
#include "vf-manager/disks.h"
#include "vf-manager/faultwatch.h"
#include "vf-manager/http.h"
#include "vf-manager/hugepools.h"
#include "vf-manager/keeper.h"
#include "vf-manager/listen.h"
#include "vf-manager/manners.h"
#include "vf-manager/monitor.h"
#include "vf-manager/operations.h"
#include "vf-manager/options.h"
#include "vf-manager/pfapply.h"
#include "vf-manager/pfconfirm.h"
#include "vf-manager/privops.h"
#include "vf-manager/statefile.h"
#include "vf-manager/webhook.h"

#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define FILES_MAX 65536U

/* All threads inherit this: signals are taken by manners_wait() alone. */
static void signals_block(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* A thousand clients, and four sockets and files for each VM. The VMs set their own limit. */
static void files_allow(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* --oneshot: one client, read-only, with the rights of whoever started us. */
static int serve_one(const struct options *opt, struct err *e)
{
	struct daemon *d = NULL;
	int r = daemon_create(opt, &d, e);

	if (r == 0)
		r = http_serve_one(d, opt->oneshot_fd, e);
	daemon_destroy(d);
	return r;
}

/* --backup and --restore: what came of it is one JSON object on standard output. */
static int serve_file(const struct options *opt)
{
	bool is_backup = opt->backup != NULL;
	const char *file = is_backup ? opt->backup : opt->restore;
	struct state_file done = { 0 };
	struct err e = { 0 };
	auto_json json_t *reply = NULL;
	int r = is_backup ? state_backup(opt->state_dir, file, &done, &e)
			  : state_restore(opt->state_dir, file, &done, &e);

	reply = r < 0 ? json_pack("{s:s, s:s, s:s}", "code", e.code, "message", e.text, "hint",
				  e.hint)
		      : json_pack("{s:s, s:I, s:i}", "file", file, "bytes", (json_int_t)done.bytes,
				  "schema", done.schema);
	if (reply == NULL || json_dumpf(reply, stdout, 0) < 0 || puts("") < 0 ||
	    fflush(stdout) != 0)
		return -EIO;
	return r;
}

/* First what a daemon that was killed has left raised. */
static void hugepages_begin(struct daemon *d)
{
	op_lock(d);
	priv_hugepages_settle(d);
	hugepools_apply(d);
	op_unlock(d);
}

static int serve(const struct options *opt, const sigset_t *set, struct err *e)
{
	struct http_server *server = NULL;
	struct webhook *hook = NULL;
	struct confirmer *confirmer = NULL;
	struct daemon *d = NULL;
	int listener = -1;
	size_t vms;
	int r = daemon_create(opt, &d, e);

	/* First of all, so that no second daemon works on the same state. */
	if (r == 0)
		r = api_listen(d, &listener, e);
	if (r == 0)
		r = daemon_reconcile(d, e);
	/* Before the first look at the machine: the alarms that it raises are news. */
	if (r == 0)
		r = webhook_create(d, &hook, e);
	if (r < 0)
		goto out;
	hugepages_begin(d);
	(void)confirm_look(d);
	pf_apply_wanted(d);
	r = monitor_create(d, &d->monitor, e);
	if (r == 0)
		r = fault_watch_create(d, e);
	if (r == 0)
		r = confirmer_create(d, &confirmer, e);
	if (r < 0)
		goto out;
	op_lock(d);
	r = backend_start(d, e);
	if (r == 0)
		r = disks_start(d, e);
	op_unlock(d);
	if (r == 0)
		r = operations_create(d, e);
	if (r < 0)
		goto out;
	vms = d->vm_count; /* once VMs start and others are served it is not ours to read */
	r = keeper_create(d, &d->keeper, e);
	if (r < 0)
		goto out;
	r = http_server_create(d, fd_take(&listener), &server, e);
	if (r < 0)
		goto out;
	log_info("viaductd " VIADUCT_VERSION ": %zu VMs, %s", vms,
		 d->is_root ? "ready" : "ready, but not root: no VFs can be given away");
	manners_ready(d);
	log_info("signal %d: ending; VMs go on", manners_wait(d, set));
	manners_ending();
	daemon_end(d);
	http_server_destroy(server);
	keeper_destroy(ptr_take(&d->keeper));
	operations_destroy(d);
	api_listen_end(d);
out:
	confirmer_destroy(confirmer);
	if (d != NULL) {
		daemon_end(d); /* these threads wait for that */
		keeper_destroy(d->keeper);
	}
	webhook_destroy(hook);
	fd_close(&listener);
	if (d != NULL)
		operations_destroy(d);
	daemon_destroy(d);
	return r;
}

int main(int argc, char **argv)
{
	struct options opt;
	struct err e = { 0 };
	sigset_t set;
	int r;

	options_parse(argc, argv, &opt);
	log_init("viaductd", opt.log_level);
	umask(022);
	signals_block(&set);
	files_allow();
	if (opt.backup != NULL || opt.restore != NULL)
		return serve_file(&opt) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	r = opt.is_oneshot ? serve_one(&opt, &e) : serve(&opt, &set, &e);
	if (r < 0)
		log_err(&e, "viaductd");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

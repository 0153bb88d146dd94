// SPDX-License-Identifier: BSD-3-Clause
#include "vf-manager/backendproc.h"

#include "vf-manager/ledger_event.h"
#include "vf-manager/monitor.h"
#include "vf-manager/peer.h"
#include "vf-manager/privops.h"
#include "vf-manager/runpaths.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_TEXT 256
#define LAUNCH_MS 60000 /* DPDK loads all of its drivers */
#define QUIT_MS	  3000
#define KILL_MS	  5000
#define TICK_MS	  1000
#define STEADY_NS \
	2000000000ULL /* who has served so long is started again at once: guests wait for it */
#define BACKOFF_MOST 30U /* seconds */
#define SILENCES     5U /* looks in a row: it hangs */
#define SECOND_NS    1000000000ULL

int backend_proc_init(struct backend_proc *p, const char *name, struct err *e)
{
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->label, sizeof(p->label), "viaduct-pmd %s", name);
	p->peer = (struct pmd_peer){ .name = p->name, .look = p->role->look };
	p->pidfd = -1;
	pthread_mutex_init(&p->work, NULL);
	pthread_mutex_init(&p->look, NULL);
	p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return p->kick_fd < 0 ? err_set(e, errno, "eventfd: %s", strerror(errno)) : 0;
}

void backend_proc_fini(struct backend_proc *p)
{
	backend_proc_stop(p);
	fd_close(&p->pidfd);
	fd_close(&p->kick_fd);
	pthread_mutex_destroy(&p->work);
	pthread_mutex_destroy(&p->look);
}

int backend_proc_watch(struct backend_proc *p, void *(*watch)(void *), void *arg, struct err *e)
{
	int r = -pthread_create(&p->thread, NULL, watch, arg);

	if (r < 0)
		return err_set(e, r, "the watch over %s: %s", p->label, strerror(-r));
	p->has_thread = true;
	return 0;
}

void backend_kick(struct backend_proc *p)
{
	const uint64_t one = 1;

	if (write(p->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("the watch over %s cannot be woken: %s", p->label, strerror(errno));
}

void backend_proc_wait(struct backend_proc *p, int pidfd, int ms)
{
	struct pollfd fds[2] = { { .fd = p->kick_fd, .events = POLLIN },
				 { .fd = pidfd, .events = POLLIN } };
	uint64_t n;

	if (poll(fds, ARRAY_SIZE(fds), ms) > 0 && fds[0].revents != 0 &&
	    read(p->kick_fd, &n, sizeof(n)) < 0)
		log_warn("eventfd: %s", strerror(errno));
}

void backend_proc_leave(struct backend_proc *p)
{
	/* release: pairs with acquire in backend_proc_must_end() */
	atomic_store_explicit(&p->must_end, true, memory_order_release);
	backend_kick(p);
}

void backend_proc_stop(struct backend_proc *p)
{
	if (!p->has_thread)
		return;
	backend_proc_leave(p);
	pthread_join(p->thread, NULL);
	p->has_thread = false;
}

int backend_proc_tick(const struct backend_proc *p)
{
	uint64_t now = now_ns();

	if (p->pidfd < 0 && p->is_wanted && p->retry_ns < now + TICK_MS * 1000000ULL)
		return p->retry_ns > now ? (int)((p->retry_ns - now) / 1000000) + 1 : 1;
	return TICK_MS;
}

static void tell(struct backend_proc *p, const char *text)
{
	struct err e = { 0 };

	state_lock(p->d);
	if (ledger_event_add(p->d->ledger, "backend", p->name, text, &e) < 0)
		log_err(&e, p->label);
	state_unlock(p->d);
	if (p->d->monitor != NULL)
		monitor_kick(p->d->monitor);
}

uid_t backend_proc_uid(const struct backend_proc *p)
{
	if (p->uids.is_kept)
		return p->uids.uid;
	return p->d->is_root ? p->role->uid(&p->d->config) : geteuid();
}

gid_t backend_proc_group(const struct backend_proc *p)
{
	return p->group != 0 ? p->group : (gid_t)backend_proc_uid(p);
}

void backend_proc_group_set(struct backend_proc *p, gid_t group)
{
	pthread_mutex_lock(&p->look);
	p->group = group;
	pthread_mutex_unlock(&p->look);
}

/* What is launched: with the range of guests that was kept. */
static json_t *launch_wish(const struct backend_proc *p)
{
	json_t *wish = p->role->wish(p);

	if (p->uids.is_kept)
		json_object_set_new(wish, "guest_uid",
				    json_pack("[I, I]", (json_int_t)p->uids.first,
					      (json_int_t)p->uids.count));
	return wish;
}

static int row_put(struct backend_proc *p, json_t *wish, struct err *e)
{
	struct backend_row row = {
		.uid = p->peer.uid, .pid = p->peer.pid, .start_ticks = p->start_ticks, .wish = wish
	};
	int r;

	memcpy(row.boot_id, p->d->boot_id, sizeof(row.boot_id));
	state_lock(p->d);
	r = ledger_backend_put(p->d->ledger, p->name, &row, e);
	state_unlock(p->d);
	return r;
}

static void peer_set(struct backend_proc *p, uid_t uid, pid_t pid)
{
	pthread_mutex_lock(&p->look);
	p->peer = (struct pmd_peer){ p->name, p->role->look, uid, pid };
	p->has_status = false;
	pthread_mutex_unlock(&p->look);
}

/* The process of the row, and no later one with its number. */
static int process_open(const struct backend_row *row, int *pidfd_out)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, row->pid, 0);
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };
	char path[32];
	struct stat st;
	uint64_t ticks;

	snprintf(path, sizeof(path), "/proc/%d", (int)row->pid);
	/* Opened first: what is then read is of this process, or it has ended. Root's while it is not dumpable. */
	if (pidfd < 0 || process_start_ticks(row->pid, &ticks) < 0 || ticks != row->start_ticks ||
	    stat(path, &st) < 0 || (st.st_uid != row->uid && st.st_uid != 0) ||
	    poll(&fd, 1, 0) != 0)
		return -ESRCH;
	*pidfd_out = fd_take(&pidfd);
	return 0;
}

static bool ends_within(int pidfd, int ms)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}

void backend_end(struct backend_proc *p)
{
	auto_json json_t *quit = json_pack("{s:s}", "op", "quit");
	char text[128];

	if (p->pidfd < 0)
		return;
	if (!p->is_killed && p->silences == 0 && pmd_call(p->d, &p->peer, quit, NULL, NULL) == 0 &&
	    ends_within(p->pidfd, QUIT_MS)) {
		(void)backend_has_ended(p, text);
		return;
	}
	syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
	/* Once: nobody waits for it each second. */
	if (!ends_within(p->pidfd, p->is_killed ? 0 : KILL_MS) && !p->is_killed) {
		log_warn("%s (process %d) does not end", p->label, (int)p->peer.pid);
		p->is_killed = true;
	}
	(void)backend_has_ended(p, text);
}

static void end_text(struct backend_proc *p, char text[128])
{
	siginfo_t info = { 0 };

	snprintf(text, 128, "it has ended");
	if (!p->is_child || waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return;
	if (info.si_code == CLD_EXITED)
		snprintf(text, 128, "it ended with status %d", info.si_status);
	else
		snprintf(text, 128, "signal %d ended it", info.si_status);
}

/* What it was launched with stays: its uids are those of the sockets that there are. */
static void row_renew(struct backend_proc *p)
{
	auto_json json_t *wish = launch_wish(p);
	struct err e = { 0 };

	if (row_put(p, wish, &e) < 0)
		log_err(&e, p->label);
}

bool backend_has_ended(struct backend_proc *p, char text[128])
{
	if (p->pidfd < 0 || !ends_within(p->pidfd, 0))
		return false;
	end_text(p, text);
	fd_close(&p->pidfd);
	p->is_child = p->is_killed = false;
	p->start_ticks = 0;
	p->silences = 0;
	peer_set(p, p->peer.uid, 0);
	if (p->ended != NULL)
		p->ended(p);
	priv_backend_cgroup_remove(p->d, p->name);
	row_renew(p);
	return true;
}

static bool uids_read(const struct backend_row *row, struct backend_uids *out)
{
	const json_t *range = json_object_get(row->wish, "guest_uid");
	json_int_t first = json_integer_value(json_array_get(range, 0));
	json_int_t count = json_integer_value(json_array_get(range, 1));

	if (first < 0 || first > UINT32_MAX || count < 1 || count > UINT32_MAX)
		return false;
	*out = (struct backend_uids){ .is_kept = true,
				      .uid = row->uid,
				      .first = (uid_t)first,
				      .count = (unsigned int)count };
	return true;
}

void backend_uids_keep(struct backend_proc *p)
{
	auto_json json_t *now = p->role->wish(p);
	struct backend_row row = { 0 };
	struct backend_uids kept;
	struct err e = { 0 };
	char text[SAID_TEXT];
	int r;

	state_lock(p->d);
	r = ledger_backend_get(p->d->ledger, p->name, &row, &e);
	state_unlock(p->d);
	if (r == 0 && strcmp(row.boot_id, p->d->boot_id) == 0 &&
	    (row.uid != backend_proc_uid(p) || !json_equal(json_object_get(row.wish, "guest_uid"),
							   json_object_get(now, "guest_uid"))) &&
	    uids_read(&row, &kept)) {
		pthread_mutex_lock(&p->look);
		p->uids = kept;
		pthread_mutex_unlock(&p->look);
		snprintf(text, sizeof(text),
			 "%s keeps uid %u and the VMs' uids %u to %u until its VM ends; those of "
			 "the configuration wait",
			 p->label, p->uids.uid, p->uids.first, p->uids.first + p->uids.count - 1);
		log_warn("%s", text);
		tell(p, text);
	}
	json_decref(row.wish);
}

void backend_uids_forget(struct backend_proc *p)
{
	pthread_mutex_lock(&p->look);
	p->uids.is_kept = false;
	pthread_mutex_unlock(&p->look);
}

void backend_find(struct backend_proc *p)
{
	auto_json json_t *wish = launch_wish(p);
	struct backend_row row = { 0 };
	char path[BACKEND_PATH_TEXT];
	struct err e = { 0 };
	int r;

	state_lock(p->d);
	r = ledger_backend_get(p->d->ledger, p->name, &row, &e);
	state_unlock(p->d);
	if (r == 0 && row.pid != 0 && strcmp(row.boot_id, p->d->boot_id) == 0 &&
	    process_open(&row, &p->pidfd) == 0) {
		p->start_ticks = row.start_ticks;
		p->up_ns = now_ns();
		peer_set(p, row.uid, row.pid);
		run_path_keep(p->d->run_paths, backend_path(p->d, p->name, "control.sock", path));
		if (!p->is_wanted || !json_equal(row.wish, wish) ||
		    row.uid != backend_proc_uid(p)) {
			log_info("%s, pid %d: ended, since %s", p->label, (int)row.pid,
				 p->is_wanted ? "the configuration wants another one"
					      : "nothing needs it");
			backend_end(p);
		} else {
			log_info("%s: found again, pid %d", p->label, (int)row.pid);
			p->state = BACKEND_UP;
		}
	} else if (r < 0 && r != -ENOENT) {
		log_err(&e, p->label);
	}
	json_decref(row.wish);
}

bool backend_find_listening(struct backend_proc *p)
{
	struct pollfd fd = { .events = POLLIN };
	auto_fd int sock = -1, pidfd = -1;
	char path[BACKEND_PATH_TEXT];
	struct ucred cred;
	socklen_t len = sizeof(cred);

	backend_path(p->d, p->name, "control.sock", path);
	if (p->pidfd >= 0 || unix_connect(path, SOCK_SEQPACKET, &sock, NULL) < 0 ||
	    getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0 ||
	    cred.pid == getpid() || cred.uid != backend_proc_uid(p))
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
	fd.fd = sock;
	/* The connection stands: this is still the process that listens, and no later one with its number. */
	if (pidfd < 0 || process_start_ticks(cred.pid, &p->start_ticks) < 0 || poll(&fd, 1, 0) != 0)
		return false;
	p->pidfd = fd_take(&pidfd);
	p->up_ns = now_ns();
	peer_set(p, cred.uid, cred.pid);
	run_path_keep(p->d->run_paths, path);
	backend_state_set(p, BACKEND_UP, NULL);
	log_warn("%s, pid %d: runs, though the ledger does not know it", p->label, (int)cred.pid);
	row_renew(p);
	return true;
}

static int launch_send(struct backend_proc *p, int sock, int listener, const json_t *wish,
		       struct err *e)
{
	auto_json json_t *spec = json_deep_copy(wish);
	auto_json json_t *body = NULL;
	int r;

	json_object_del(spec, "caps");
	json_object_del(spec, "memlock");
	if (p->role->complete != NULL)
		p->role->complete(p->d, spec);
	body = json_pack("{s:i, s:s, s:[s], s:O}", "v", PMD_MSG_VERSION, "op", "launch", "fds",
			 "listener", "spec", spec);
	r = seqmsg_send(sock, body, &listener, 1);
	return r < 0 ? err_set(e, r, "launch message: %s", strerror(-r)) : 0;
}

/* A failed start: nobody has heard of it. */
static void spawn_undo(struct backend_proc *p)
{
	char text[128];

	if (p->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
	(void)ends_within(p->pidfd, KILL_MS);
	(void)backend_has_ended(p, text);
}

static int process_make(struct backend_proc *p, struct spawn_wish *wish, json_t *launch,
			struct err *e)
{
	char unit[SCOPE_UNIT_TEXT];
	struct err scope = { 0 };
	pid_t pid = 0;
	int r = priv_vm_spawn(p->d, wish, &pid, &p->pidfd, e);

	if (r < 0)
		return r;
	p->is_child = true;
	peer_set(p, wish->uid, pid);
	if (process_start_ticks(pid, &p->start_ticks) < 0)
		return err_set(e, ESRCH, "viaduct-pmd died at once");
	r = row_put(p, launch, e);
	if (r == 0 && priv_backend_scope_make(p->d, p->name, pid, unit, &scope) < 0)
		log_warn("%s has no scope and runs in a cgroup of viaduct's: %s", p->label,
			 scope.text);
	return r;
}

static int backend_spawn(struct backend_proc *p, struct err *e)
{
	auto_json json_t *launch = launch_wish(p);
	struct backend_files files = { -1, -1 };
	struct spawn_wish wish = { .name = p->name,
				   .uid = backend_proc_uid(p),
				   .is_pmd = true,
				   .kept_uid = p->uids.is_kept ? p->uids.uid : 0,
				   .group = p->group,
				   .caps = p->role->caps(&p->d->config),
				   .memlock_bytes = p->role->memlock(&p->d->config) };
	auto_fd int ours = -1, theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socketpair: %s", strerror(errno));
	ours = pair[0];
	theirs = wish.sock = pair[1];
	r = priv_backend_files_make(p->d, p->name, backend_proc_group(p), &files, e);
	wish.log = files.log;
	wish.listener = files.listener;
	if (r == 0)
		r = process_make(p, &wish, launch, e);
	fd_close(&theirs);
	if (r == 0)
		r = launch_send(p, ours, files.listener, launch, e);
	fd_close(&files.listener);
	fd_close(&files.log);
	if (r == 0)
		r = peer_reply("viaduct-pmd", ours, LAUNCH_MS, NULL, e);
	if (p->role->started != NULL)
		p->role->started(p->d);
	if (r == 0) {
		p->up_ns = now_ns();
		return 0;
	}
	spawn_undo(p);
	if (e->hint[0] == '\0')
		err_hint(e, "%s/pmd/%s/pmd.log   has its last words", p->d->opt->run_dir, p->name);
	return err_wrap(e, "%s", p->label);
}

void backend_state_set(struct backend_proc *p, enum backend_state state, const struct err *why)
{
	pthread_mutex_lock(&p->look);
	p->state = state;
	p->why = why != NULL ? *why : (struct err){ 0 };
	if (state != BACKEND_UP)
		p->has_status = false;
	pthread_mutex_unlock(&p->look);
}

bool backend_proc_off(struct backend_proc *p)
{
	if (p->pidfd >= 0)
		backend_end(p);
	if (p->pidfd < 0 && p->state != BACKEND_OFF)
		backend_state_set(p, BACKEND_OFF, NULL);
	return p->pidfd < 0;
}

static void retry_later(struct backend_proc *p)
{
	unsigned int s = p->failures == 0 ? 0 : 1U << (p->failures - 1 < 5 ? p->failures - 1 : 5);

	p->retry_ns = now_ns() + (s < BACKOFF_MOST ? s : BACKOFF_MOST) * SECOND_NS;
	p->failures++;
}

void backend_end_note(struct backend_proc *p)
{
	struct err why = { 0 };
	char text[128], said[SAID_TEXT];
	const bool has_served = p->has_status;

	if (!backend_has_ended(p, text))
		return;
	if (has_served && now_ns() - p->up_ns >= STEADY_NS)
		p->failures = 0;
	p->restarts++;
	retry_later(p);
	err_set(&why, ECONNRESET, "%s", text);
	backend_state_set(p, BACKEND_DOWN, &why);
	log_warn("%s: %s", p->label, text);
	snprintf(said, sizeof(said), "%s is gone: %s", p->label, text);
	tell(p, said);
}

bool backend_proc_start(struct backend_proc *p)
{
	struct err e = { 0 };
	char text[SAID_TEXT];

	if (backend_spawn(p, &e) < 0) {
		bool is_news = strcmp(e.text, p->why.text) != 0;

		retry_later(p);
		backend_state_set(p, BACKEND_DOWN, &e);
		if (is_news)
			log_err(&e, "backend");
		return false;
	}
	backend_state_set(p, BACKEND_UP, NULL);
	log_info("%s: started, pid %d", p->label, (int)p->peer.pid);
	snprintf(text, sizeof(text), "%s started, pid %d", p->label, (int)p->peer.pid);
	tell(p, text);
	return true;
}

bool backend_proc_is_hidden(const struct backend_proc *p)
{
	char path[BACKEND_PATH_TEXT];

	return p->peer.pid != 0 &&
	       run_path_is_gone(backend_path(p->d, p->name, "control.sock", path));
}

bool backend_silence(struct backend_proc *p, const struct err *e)
{
	char text[SAID_TEXT];

	if (p->silences == 0)
		log_err(e, p->label);
	if (e->errnum == ENOENT && backend_proc_is_hidden(p)) {
		p->silences = 1;
		return true;
	}
	if (++p->silences < SILENCES)
		return false;
	log_warn("%s: no good answer for %u looks: it is ended", p->label, p->silences);
	snprintf(text, sizeof(text), "%s does not answer as it should: it is ended", p->label);
	tell(p, text);
	backend_end(p);
	retry_later(p);
	p->restarts++;
	backend_state_set(p, BACKEND_DOWN, e);
	return false;
}

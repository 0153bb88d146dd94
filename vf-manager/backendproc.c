// SPDX-License-Identifier: BSD-3-Clause
/* The process viaduct-pmd: started, found again, ended. Its row in the ledger is written before it gets anything. */
#include "vf-manager/backend_core.h"
#include "vf-manager/hostcheck.h"
#include "vf-manager/privops.h"
#include "vf-manager/vm.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/seqmsg.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAUNCH_MS   60000 /* DPDK loads all of its drivers */
#define QUIT_MS	    3000
#define KILL_MS	    5000
#define HUGE_BYTES  MIB(2)
#define LOCK_SPARE  MIB(256) /* what DPDK keeps beside packets */
#define CAP_BPF_BIT 39 /* CAP_BPF, linux 5.8 */

/* What a uplink of each kind takes. */
static const uint64_t kind_caps[PMD_UPLINK_KINDS] = {
	[PMD_UPLINK_PCI] = 0,
	/* CAP_IPC_LOCK: packet memory that the kernel shares is counted as locked. */
	[PMD_UPLINK_AF_XDP] = BIT_ULL(CAP_NET_ADMIN) | BIT_ULL(CAP_NET_RAW) |
			      BIT_ULL(CAP_IPC_LOCK) | BIT_ULL(CAP_BPF_BIT),
	[PMD_UPLINK_AF_PACKET] = BIT_ULL(CAP_NET_ADMIN) | BIT_ULL(CAP_NET_RAW),
	[PMD_UPLINK_TAP] = BIT_ULL(CAP_NET_ADMIN),
	[PMD_UPLINK_NULL] = 0,
	[PMD_UPLINK_VF] = 0,
};

static uint64_t caps_of(const struct config *config)
{
	uint64_t caps = 0;

	for (unsigned int i = 0; i < config->uplink_count; i++)
		caps |= kind_caps[config->uplinks[i].kind];
	return caps;
}

/* What devices reach is pinned. 0: nothing is. */
static uint64_t memlock_of(const struct config *config)
{
	for (unsigned int i = 0; i < config->uplink_count; i++)
		if (uplink_is_taken(config->uplinks[i].kind))
			return 2 * config->backends.memory_bytes + LOCK_SPARE;
	return 0;
}

uid_t backend_uid(const struct config *config)
{
	return config->backends.uid != 0 ? config->backends.uid
					 : config->uid_first + config->uid_count - 1;
}

static uid_t uid_now(const struct daemon *d)
{
	return d->is_root ? backend_uid(&d->config) : geteuid();
}

json_t *backend_launch_wish(const struct daemon *d)
{
	const struct config_backends *c = &d->config.backends;
	json_t *cpus = json_array();

	for (unsigned int i = 0; i < c->core_count; i++)
		json_array_append_new(cpus, json_integer(c->cores[i]));
	return json_pack("{s:s, s:o, s:I, s:s, s:s, s:[I, I], s:I, s:I}", "name", BACKEND_NAME,
			 "cpus", cpus, "memory", (json_int_t)c->memory_bytes, "hugepages",
			 config_huge_text(c->huge), "idle", config_idle_text(c->idle), "guest_uid",
			 (json_int_t)(d->is_root ? d->config.uid_first : geteuid()),
			 (json_int_t)(d->is_root ? d->config.uid_count : 1), "caps",
			 (json_int_t)caps_of(&d->config), "memlock",
			 (json_int_t)memlock_of(&d->config));
}

static bool has_hugepages(struct daemon *d)
{
	const struct config_backends *c = &d->config.backends;
	struct host_hugepages have;

	if (c->huge == CONFIG_HUGE_ON)
		priv_hugepages_allow(d, HUGE_BYTES, c->memory_bytes);
	if (c->huge != CONFIG_HUGE_AUTO)
		return c->huge == CONFIG_HUGE_ON;
	return host_hugepages_read(d, HUGE_BYTES, &have) == 0 &&
	       have.unreserved >= c->memory_bytes / HUGE_BYTES;
}

static int row_put(struct backend *b, json_t *wish, struct err *e)
{
	struct backend_row row = {
		.uid = b->peer.uid, .pid = b->peer.pid, .start_ticks = b->start_ticks, .wish = wish
	};
	int r;

	memcpy(row.boot_id, b->d->boot_id, sizeof(row.boot_id));
	state_lock(b->d);
	r = ledger_backend_put(b->d->ledger, BACKEND_NAME, &row, e);
	state_unlock(b->d);
	return r;
}

static void peer_set(struct backend *b, uid_t uid, pid_t pid)
{
	look_lock(b);
	b->peer = (struct pmd_peer){ uid, pid };
	b->has_status = false;
	look_unlock(b);
}

/* The process of the row, and no later one with its number. */
static int process_open(const struct backend_row *row, int *pidfd_out)
{
	auto_fd int pidfd = (int)syscall(SYS_pidfd_open, row->pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	char path[32];
	struct stat st;
	uint64_t ticks;

	snprintf(path, sizeof(path), "/proc/%d", (int)row->pid);
	/* Opened first: what is then read is of this process, or it has ended. Root's while it is not dumpable. */
	if (pidfd < 0 || process_start_ticks(row->pid, &ticks) < 0 || ticks != row->start_ticks ||
	    stat(path, &st) < 0 || (st.st_uid != row->uid && st.st_uid != 0) || poll(&p, 1, 0) != 0)
		return -ESRCH;
	*pidfd_out = fd_take(&pidfd);
	return 0;
}

static bool ends_within(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

void backend_end(struct backend *b)
{
	auto_json json_t *quit = json_pack("{s:s}", "op", "quit");
	char text[128];

	if (b->pidfd < 0)
		return;
	if (b->silences == 0 && pmd_call(b->d, &b->peer, quit, NULL, NULL) == 0 &&
	    ends_within(b->pidfd, QUIT_MS)) {
		(void)backend_has_ended(b, text);
		return;
	}
	syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
	if (!ends_within(b->pidfd, KILL_MS))
		log_warn("viaduct-pmd (process %d) does not end", (int)b->peer.pid);
	(void)backend_has_ended(b, text);
}

static void end_text(struct backend *b, char text[128])
{
	siginfo_t info = { 0 };

	snprintf(text, 128, "it has ended");
	if (!b->is_child || waitid(P_PIDFD, (id_t)b->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return;
	if (info.si_code == CLD_EXITED)
		snprintf(text, 128, "it ended with status %d", info.si_status);
	else
		snprintf(text, 128, "signal %d ended it", info.si_status);
}

bool backend_has_ended(struct backend *b, char text[128])
{
	auto_json json_t *none = json_object();
	struct err e = { 0 };

	if (b->pidfd < 0 || !ends_within(b->pidfd, 0))
		return false;
	end_text(b, text);
	fd_close(&b->pidfd);
	b->is_child = false;
	b->start_ticks = 0;
	b->silences = 0;
	peer_set(b, b->peer.uid, 0);
	for (unsigned int i = 0; i < PMD_MAX_UPLINKS; i++)
		b->uplinks[i].is_asked = false;
	priv_backend_cgroup_remove(b->d, BACKEND_NAME);
	if (row_put(b, none, &e) < 0)
		log_err(&e, "viaduct-pmd");
	return true;
}

void backend_find(struct backend *b)
{
	auto_json json_t *wish = backend_launch_wish(b->d);
	struct backend_row row = { 0 };
	struct err e = { 0 };
	int r;

	state_lock(b->d);
	r = ledger_backend_get(b->d->ledger, BACKEND_NAME, &row, &e);
	state_unlock(b->d);
	if (r == 0 && row.pid != 0 && strcmp(row.boot_id, b->d->boot_id) == 0 &&
	    process_open(&row, &b->pidfd) == 0) {
		b->start_ticks = row.start_ticks;
		b->up_ns = now_ns();
		peer_set(b, row.uid, row.pid);
		if (!b->is_wanted || !json_equal(row.wish, wish) || row.uid != uid_now(b->d)) {
			log_info("viaduct-pmd, pid %d: ended, since %s", (int)row.pid,
				 b->is_wanted ? "the configuration wants another one"
					      : "nothing needs it");
			backend_end(b);
		} else {
			log_info("viaduct-pmd: found again, pid %d", (int)row.pid);
			b->state = BACKEND_UP;
		}
	} else if (r < 0 && r != -ENOENT) {
		log_err(&e, "viaduct-pmd");
	}
	json_decref(row.wish);
}

static int launch_send(struct backend *b, int sock, int listener, const json_t *wish, struct err *e)
{
	auto_json json_t *spec = json_deep_copy(wish);
	auto_json json_t *body = NULL;
	int r;

	json_object_del(spec, "caps");
	json_object_del(spec, "memlock");
	json_object_set_new(spec, "hugepages", json_boolean(has_hugepages(b->d)));
	body = json_pack("{s:i, s:s, s:[s], s:O}", "v", PMD_MSG_VERSION, "op", "launch", "fds",
			 "listener", "spec", spec);
	r = seqmsg_send(sock, body, &listener, 1);
	return r < 0 ? err_set(e, r, "launch message: %s", strerror(-r)) : 0;
}

/* A failed start: nobody has heard of it. */
static void spawn_undo(struct backend *b)
{
	char text[128];

	if (b->pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
	(void)ends_within(b->pidfd, KILL_MS);
	(void)backend_has_ended(b, text);
}

static int process_make(struct backend *b, struct spawn_wish *wish, json_t *launch, struct err *e)
{
	char unit[SCOPE_UNIT_TEXT];
	struct err scope = { 0 };
	pid_t pid = 0;
	int r = priv_vm_spawn(b->d, wish, &pid, &b->pidfd, e);

	if (r < 0)
		return r;
	b->is_child = true;
	peer_set(b, wish->uid, pid);
	if (process_start_ticks(pid, &b->start_ticks) < 0)
		return err_set(e, ESRCH, "viaduct-pmd died at once");
	r = row_put(b, launch, e);
	if (r == 0 && priv_backend_scope_make(b->d, BACKEND_NAME, pid, unit, &scope) < 0)
		log_warn("viaduct-pmd has no scope and runs in a cgroup of viaduct's: %s",
			 scope.text);
	return r;
}

int backend_spawn(struct backend *b, struct err *e)
{
	auto_json json_t *launch = backend_launch_wish(b->d);
	struct backend_files files = { -1, -1 };
	struct spawn_wish wish = { .name = BACKEND_NAME,
				   .uid = uid_now(b->d),
				   .is_pmd = true,
				   .caps = caps_of(&b->d->config),
				   .memlock_bytes = memlock_of(&b->d->config) };
	auto_fd int ours = -1, theirs = -1;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, errno, "socketpair: %s", strerror(errno));
	ours = pair[0];
	theirs = wish.sock = pair[1];
	r = priv_backend_files_make(b->d, BACKEND_NAME, wish.uid, &files, e);
	wish.log = files.log;
	wish.listener = files.listener;
	if (r == 0)
		r = process_make(b, &wish, launch, e);
	fd_close(&theirs);
	if (r == 0)
		r = launch_send(b, ours, files.listener, launch, e);
	fd_close(&files.listener);
	fd_close(&files.log);
	if (r == 0)
		r = pmd_reply(ours, LAUNCH_MS, NULL, e);
	/* What it has of them it took before it answered. */
	priv_hugepages_settle(b->d);
	if (r == 0) {
		b->up_ns = now_ns();
		return 0;
	}
	spawn_undo(b);
	if (e->hint[0] == '\0')
		err_hint(e, "%s/pmd/" BACKEND_NAME "/pmd.log   has its last words",
			 b->d->opt->run_dir);
	return err_wrap(e, "viaduct-pmd");
}

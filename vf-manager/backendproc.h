/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process viaduct-pmd as the daemon keeps it, whatever its role: started, found again after a restart of the daemon, watched,
 * ended. Its row in the ledger is written before it gets anything.
 *
 * Locks: `work` serialises what is asked of the process and may be held for seconds; `look` is innermost and guards what is
 * only looked at. `state`, `peer`, `uids`, `group`, `why`, `has_status` are written under both and read under either; the rest is work's.
 */
#ifndef VIADUCT_VF_MANAGER_BACKENDPROC_H
#define VIADUCT_VF_MANAGER_BACKENDPROC_H

#include "vf-manager/pmd_client.h"

#include <pthread.h>
#include <stdatomic.h>

enum backend_state {
	BACKEND_OFF, /* nobody has needed it */
	BACKEND_UP,
	BACKEND_DOWN, /* it should be up; `why` */
};

#define BACKEND_NAME_TEXT 72 /* "disk-VM" */

/* What differs between the roles (backendrole.c). */
struct backend_proc;
struct backend_role {
	const char *look; /* the command that shows what it serves */
	uid_t (*uid)(const struct config *config);
	uint64_t (*caps)(const struct config *config);
	uint64_t (*memlock)(const struct config *config); /* bytes; 0: as it is */
	json_t *(*wish)(const struct backend_proc *p); /* the launch's "spec"; a new reference */
	/* What only its start decides, into a copy of it; NULL: nothing. */
	void (*complete)(struct daemon *d, json_t *spec);
	/* After its start, or a try of it; NULL: nothing. */
	void (*started)(struct daemon *d);
};
extern const struct backend_role backend_role_net, backend_role_disk;

struct backend_proc {
	struct daemon *d;
	const struct backend_role *role;
	char name[BACKEND_NAME_TEXT]; /* "net0", "disk-VM": of its folder, scope and row */
	char label[BACKEND_NAME_TEXT + 16]; /* in the log and for operators */
	void (*ended)(struct backend_proc
			      *p); /* nothing that was asked of it is there any more; may be NULL */
	pthread_mutex_t work, look;
	enum backend_state state;
	struct pmd_peer peer;
	/* What sockets and VMMs that run have been told. While they do, the configuration's have to wait. */
	struct backend_uids {
		bool is_kept;
		uid_t uid, first;
		unsigned int count; /* of guests' */
	} uids;
	gid_t group; /* may pass through its folder: its own; 0: that of its uid */
	struct err why;
	bool has_status; /* of this process */
	uint64_t restarts; /* after a crash */
	bool is_wanted;
	bool is_child;
	bool is_killed; /* and has not ended yet: the kernel waits for its storage */
	int pidfd; /* -1: no process */
	uint64_t start_ticks, up_ns; /* up_ns: since when */
	uint64_t retry_ns; /* no start before */
	unsigned int failures; /* starts that came to nothing, or soon to an end, in a row */
	unsigned int silences; /* looks without an answer, in a row */
	unsigned char sockets[PMD_MAX_PORTS]; /* numbers that are taken */

	pthread_t thread;
	bool has_thread;
	int kick_fd;
	_Atomic bool must_end;
};

/* p->d and p->role are set. fini() is right after an init() that failed, too; the process goes on. */
int backend_proc_init(struct backend_proc *p, const char *name, struct err *e);
void backend_proc_fini(struct backend_proc *p);

/* The thread that watches, and its end. */
int backend_proc_watch(struct backend_proc *p, void *(*watch)(void *), void *arg, struct err *e);
void backend_proc_stop(struct backend_proc *p);
/* The same without waiting for it. */
void backend_proc_leave(struct backend_proc *p);
/* acquire: pairs with release in backend_proc_leave() */
static inline bool backend_proc_must_end(struct backend_proc *p)
{
	return atomic_load_explicit(&p->must_end, memory_order_acquire);
}

/* Any lock may be held. The watch looks at once. */
void backend_kick(struct backend_proc *p);
/* Waits for a kick, the end of `pidfd` (-1: of none), or so long. */
void backend_proc_wait(struct backend_proc *p, int pidfd, int ms);

/* The uid of its process, here and now. */
uid_t backend_proc_uid(const struct backend_proc *p);
/* The group that may pass through its folder. */
gid_t backend_proc_group(const struct backend_proc *p);
/* Work locked. Holds for the next process. */
void backend_proc_group_set(struct backend_proc *p, gid_t group);

/* Work locked in all that follow. */

/* Milliseconds to the next look. */
int backend_proc_tick(const struct backend_proc *p);

/* Those of the daemon before, if the ledger knows them of this boot and they are not the configuration's; before backend_find().
 * Only for a role whose users stay. */
void backend_uids_keep(struct backend_proc *p);
/* Nobody is left who was told. */
void backend_uids_forget(struct backend_proc *p);

/* The process of the daemon before, if it runs and is what we want; else it is ended. */
void backend_find(struct backend_proc *p);

/* Whoever listens at its control socket with its uid, if there is no process of the row: the ledger is older than it. It gets a row. True: there is one. */
bool backend_find_listening(struct backend_proc *p);

/* One that has ended is put away; its next start is set. */
void backend_end_note(struct backend_proc *p);

/* True: it has just been started. False: it could not be, for p->why. */
bool backend_proc_start(struct backend_proc *p);

/* Politely first. */
void backend_end(struct backend_proc *p);

/* A look that came to nothing. After some in a row it is ended, unless nobody could have heard it: somebody has removed its socket. True: so it is,
 * and it serves on. */
bool backend_silence(struct backend_proc *p, const struct err *e);

/* Look locked. Its process runs, and somebody has removed its control socket's name. */
bool backend_proc_is_hidden(const struct backend_proc *p);

void backend_state_set(struct backend_proc *p, enum backend_state state, const struct err *why);

/* Nobody needs it any more. True: there is no process (it may be that one that was killed has not ended). */
bool backend_proc_off(struct backend_proc *p);

/* True: the process has gone, and what is left of it was put away. text: how it ended. */
bool backend_has_ended(struct backend_proc *p, char text[128]);

/* backend_socket.c: listening sockets for VMMs, SOCK_STREAM at RUN_DIR/pmd/NAME/N.sock, which root and the process's uid may
 * connect to. A number stays taken until it is dropped. The fd is the caller's. */
int backend_socket_make(struct backend_proc *p, char path[PMD_SOCKET_TEXT], int *fd_out,
			struct err *e);
/* Of the daemon before: it is in use. */
void backend_socket_keep(struct backend_proc *p, const char *path);
/* Unlinked; one that is not ours is left alone. */
void backend_socket_drop(struct backend_proc *p, const char *path);

#endif

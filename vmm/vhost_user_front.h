/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front end of one vhost-user device: a listener on which back ends come and go, one at a time, and the dialogue
 * with the one that is there. Everything happens on the main thread, one message and its answer after the other,
 * without ever waiting: vhost_front_start() and the like begin a dialogue, and env.changed says when the state has
 * changed. A back end that is slow, silent or lies is dropped, and the next one is let in a second later.
 *
 * What the back end says of its configuration is asked for when it comes, and again each time when it says, through the
 * channel that it is given for that, that this has changed.
 *
 * The device's memory is given to it once, when it comes. Addresses of rings are guest-physical in what it gets, so
 * it learns nothing of the VMM's own address space.
 */
#ifndef VIADUCT_VMM_VHOST_USER_FRONT_H
#define VIADUCT_VMM_VHOST_USER_FRONT_H

#include "vmm/gmem.h"
#include "vmm/vhost_user.h"
#include "vmm/vmm_msg.h"

#include "base/log.h"
#include "base/loop.h"

#include <sys/types.h>

#define VHOST_RINGS_MAX	 (2 * VMM_MAX_PAIRS)
#define VHOST_FRONTS_MAX 16 /* of a vhost_front_settle() */

enum vhost_state {
	VHOST_ABSENT,
	VHOST_HELLO, /* features, memory */
	VHOST_READY, /* it has the memory, but no rings */
	VHOST_STARTING,
	VHOST_RUNNING,
	VHOST_STOPPING,
};

struct vhost_ring {
	bool is_set; /* by the guest: the others are left out */
	uint16_t size;
	uint32_t base; /* where it goes on; for a packed ring with wrap counters, as SET_VRING_BASE has it */
	bool is_told; /* the back end has said since where it stopped: that is the base now */
	uint64_t desc, avail, used; /* guest-physical, checked */
	int kick_fd, call_fd; /* borrowed */
};

struct vhost_rings {
	uint64_t features; /* negotiated with the guest */
	uint64_t must; /* of these: what the back end has to have */
	bool is_packed; /* by these */
	unsigned int count; /* of rings */
	unsigned int enabled; /* rings in use, from the first on: the others are not enabled */
	struct vhost_ring rings[VHOST_RINGS_MAX];
};

/* What is another with each kind of device. */
struct vhost_front_kind {
	const char *noun; /* for logs: "port" */
	const char *unit; /* of GET_QUEUE_NUM: "queue pair" */
	uint64_t protocol,
		must; /* features of the protocol: used if it has them, and what it has to have */
	bool is_patient; /* requests that it has under way are waited for as long as they take, when it is to let go */
	/* What f->features and its configuration say; not 0: it is dropped. NULL: the kind has no such configuration. */
	int (*config)(void *arg, const uint8_t bytes[VHOST_USER_CONFIG_BYTES], struct err *e);
};

struct vhost_front_env {
	const struct vhost_front_kind *kind;
	struct loop *loop;
	int listener_fd; /* borrowed */
	uid_t uid, own_uid; /* who may connect, beside root */
	const struct gmem *gmem;
	unsigned int queues; /* of the device, in the kind's unit */
	uint16_t mtu;
	const char *name; /* for logs */
	void (*changed)(void *arg); /* the state has changed */
	void *arg;
};

struct vhost_step {
	uint32_t request;
	unsigned int ring;
};

struct vhost_front {
	struct vhost_front_env env;
	enum vhost_state state;
	bool is_listening;
	struct vhost_user_conn conn; /* .sock is owned; -1: none */
	int timer_fd; /* the next answer's deadline; without a back end: when the next one may come */
	pid_t pid; /* of the back end; 0: there never was one */
	uint64_t connects; /* that got as far as VHOST_READY */
	uint64_t features, protocol; /* the back end's */
	char error[192]; /* why the last one was dropped, or this one is waited for */
	struct log_limit log_limit; /* of lines about back ends that come and go */

	int channel_fd,
		channel_peer_fd; /* owned: its own channel, and its end of that until it has it */
	bool is_channel_watched;
	bool is_config_due; /* it has said that it has changed */

	struct vhost_rings rings;
	struct vhost_user_inflight inflight; /* mmap_size 0: none */
	int inflight_fd; /* owned */

	struct vhost_step steps[8 * VHOST_RINGS_MAX];
	unsigned int step_count, step_at;
	struct vhost_user_due due; /* request 0: no answer is due */
};

int vhost_front_init(struct vhost_front *f, const struct vhost_front_env *env, struct err *e);
void vhost_front_fini(struct vhost_front *f); /* hangs up; again: nothing */

/* From VHOST_READY. The rings are copied. */
void vhost_front_start(struct vhost_front *f, const struct vhost_rings *rings);

/* From VHOST_RUNNING: so many rings are in use. */
void vhost_front_enable(struct vhost_front *f, unsigned int enabled);

/* From VHOST_RUNNING, to VHOST_READY. */
void vhost_front_stop(struct vhost_front *f);

/* Goes on with the dialogues of all of them, as if by the loop, until none is under way; back ends that are not done by
 * then, in ms for all together, are dropped, if they are of a kind that is not patient. For resets of the machine, whose memory is about to be somebody else's. */
void vhost_front_settle(struct vhost_front *const *fronts, unsigned int count,
			unsigned int timeout_ms);

/* Hangs up: the next one may come after the usual pause. */
void vhost_front_drop(struct vhost_front *f, const struct err *e);

/* The guest's rings are no more: where the back end was in them and what it had in flight is not to be resumed. */
void vhost_front_forget(struct vhost_front *f);

#endif

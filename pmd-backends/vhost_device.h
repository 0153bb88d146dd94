/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back end of one vhost-user device: what its VMM has told, and the rings that follow from it (Vhost-user
 * protocol, QEMU docs/interop/vhost-user.rst). Knows no socket.
 *
 * A ring runs (`live`) while all is there that it needs: memory, place, a kick (with or without an fd), and it is enabled.
 * It is started and stopped on the lcore alone, which uses nothing but what this header says is the lcore's. All functions
 * but those of the lcore are called by one thread at a time.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_DEVICE_H
#define VIADUCT_PMD_BACKENDS_VHOST_DEVICE_H

#include "pmd-backends/vhost_wire.h"
#include "pmd-backends/vring.h"

struct vhost_queue {
	struct vring_place place; /* size 0: not told yet */
	uint32_t base;
	uint64_t log_at; /* where the used ring is for the log */
	bool is_logged; /* what is used is to be marked */
	int kick; /* -1: none */
	bool is_placed, is_started, is_enabled;

	/* The lcore's. */
	struct vring ring; /* started when live */
	int call; /* -1: none. Changed on the lcore alone */
};

struct vhost_inflight {
	struct guest_memory memory; /* one region, at 0; or none */
	uint16_t queues, queue_size;
};

struct vhost_device;

/* What is another with each kind of device. */
struct vhost_kind {
	uint64_t features, protocol; /* offered */
	unsigned int queues; /* GET_QUEUE_NUM */
	unsigned int queue_rings; /* of one queue: all that there are without F_MQ */
	uint32_t kicked; /* rings that the guest kicks */

	/* On the lcore. NULL: the ring is vhost_queue.ring. stop: returns the base that it is to go on with. */
	int (*ring_start)(void *arg, unsigned int ring, const struct vring_start *start,
			  struct err *e);
	uint32_t (*ring_stop)(void *arg, unsigned int ring);

	/* The device's configuration; NULL: it has none. Returns its size, bytes. */
	uint32_t (*config_get)(void *arg, uint8_t config[VHOST_MAX_CONFIG]);
};

extern const struct vhost_kind vhost_kind_net;

struct vhost_device_ops {
	/* Runs fn(fn_arg) on the lcore between two rounds, and returns when it has ended. */
	void (*on_lcore)(void *arg, void (*fn)(void *fn_arg), void *fn_arg);

	/* On the lcore: a ring has started or ended. Its fds are still there. */
	void (*ring_changed)(void *arg, unsigned int ring, bool is_live);

	/* On the lcore: a frame from the port's address is to go out (SEND_RARP). */
	void (*announce)(void *arg, const uint8_t mac[6]);

	const struct vhost_kind *kind; /* NULL: a network device */
};

struct vhost_device {
	const struct vhost_device_ops *ops;
	const struct vhost_kind *kind;
	void *arg;
	uint64_t features, protocol; /* negotiated */
	uint8_t status;
	struct vhost_queue queues[VHOST_MAX_RINGS];
	uint64_t kicks; /* of kick fds that are gone */
	int backend_fd; /* to say things by ourselves; -1: none */
	struct dirty_fill fill; /* of the log, before its message is answered */
	int region_fd; /* the in-flight region that was made last, for whatever connection; -1: none */

	/* Changed on the lcore alone. */
	struct guest_memory memory;
	struct vhost_inflight inflight;
	struct dirty_log log; /* or none */
	uint16_t mtu; /* 0: not told */
	uint32_t live; /* rings. Whoever else reads it: vhost_device_live() */
	uint32_t broken; /* rings that nothing is done with until the VMM sets them up again; as `live` */
	unsigned int broken_ring; /* the last that broke */
	const char *broken_why;
	struct vring_counters gone; /* of rings that ended */
};

struct vhost_answer {
	bool is_due;
	struct vhost_message m;
	int fd; /* to go with it, the device's until the next message; -1: none */
};

void vhost_device_init(struct vhost_device *d, const struct vhost_device_ops *ops, void *arg);

/* Stops all, unmaps all, forgets what the VMM said: as vhost_device_init() left it. */
void vhost_device_reset(struct vhost_device *d);

/* The same, for good. */
void vhost_device_fini(struct vhost_device *d);

/* Does what a message says that vhost_message_check() has passed. The fds that it keeps become -1 in `fds`. Not 0: the VMM
 * is to be hung up on, after the answer if one is due. */
int vhost_device_message(struct vhost_device *d, const struct vhost_message *m, int *fds,
			 struct vhost_answer *out, struct err *e);

/*
 * After a message was done: is there more of it to do, in parts, before its answer is sent and the next one is done? Each call
 * does a part.
 */
bool vhost_device_more(struct vhost_device *d);

static inline uint32_t vhost_device_live(const struct vhost_device *d)
{
	return __atomic_load_n(&d->live, __ATOMIC_RELAXED);
}

static inline uint32_t vhost_device_broken(const struct vhost_device *d)
{
	return __atomic_load_n(&d->broken, __ATOMIC_RELAXED);
}

/* Answers GET_CONFIG: fills the region that is asked for. */
void vhost_device_config_read(const struct vhost_device *d, struct vhost_config_wire *c);

/* The guest is to read the configuration again, where its VMM wants to hear of it. */
void vhost_device_config_changed(struct vhost_device *d);

/* On the lcore. Nothing is done with a ring any more until its VMM sets it up again. `why`: lives as long as the process. */
void vhost_device_ring_break(struct vhost_device *d, unsigned int ring, const char *why);

/* On the lcore. Has a ring that is live marks to make? */
bool vhost_device_is_marking(const struct vhost_device *d);

/* On the lcore. Is there a ring that broke? It is live no longer. */
bool vhost_device_rings_check(struct vhost_device *d);

/* Takes what the ring's kick holds, counts and returns it. Never waits. */
uint64_t vhost_device_kick_take(struct vhost_device *d, unsigned int ring);

/* Times that the guest has kicked since vhost_device_init(), whatever the VMM gave as its eventfds. */
uint64_t vhost_device_kicks(struct vhost_device *d);

/* On the lcore. Since vhost_device_init(); a ring that broke is one more bad chain. */
void vhost_device_counters(const struct vhost_device *d, struct vring_counters *out);

#endif

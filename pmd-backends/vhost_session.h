/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device and the connection to its VMM (Vhost-user protocol, QEMU docs/interop/vhost-user.rst). The VMM listens, we
 * connect, again and again. One thread speaks with all VMMs (vhost_thread.h), and each change reaches the lcore or worker
 * that serves the rings through the device's `on_lcore`.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_SESSION_H
#define VIADUCT_PMD_BACKENDS_VHOST_SESSION_H

#include "pmd-backends/vhost_conn.h"
#include "pmd-backends/vhost_device.h"
#include "pmd-backends/vhost_thread.h"

#include "base/log.h"

/* For devices that hold buffers of the guest's between two rounds. All by the thread, with the client's lock. */
struct vhost_session_ops {
	/*
	 * Takes nothing more from the rings. True: none of the guest's memory is in use. False: vhost_client_wake()
	 * comes when that is so, and it is asked again.
	 */
	bool (*quiesce)(void *arg);
	void (*resume)(void *arg);

	/* May a VMM be connected to now? `e` says what is waited for. */
	bool (*is_fit)(void *arg, struct err *e);
};

struct vhost_session {
	struct vhost_client client;
	struct vhost_thread *thread;
	const struct pmd_launch *launch;
	const struct vhost_session_ops *ops; /* NULL: nothing is ever held */
	void *arg;
	char name[PMD_PORT_TEXT];
	char socket[PMD_SOCKET_TEXT];

	/* With the client's lock. */
	struct vhost_conn conn;
	struct vhost_device device; /* parts of it are the lcore's */
	struct vhost_answer answer; /* to the message that was done last */
	char error[256]; /* why the peer was dropped or a ring stopped, empty once all is served again */
	struct log_limit log_limit;
	uint64_t spent_ns; /* on messages since the last tick */
	uint64_t rest_until_ns; /* not connected before */
	bool is_resting; /* its messages wait for the next tick */
	bool is_going_on; /* resting, with more of its message to be done before the answer */
	bool is_waiting; /* the message in `conn` waits until nothing of the guest's is in use */
	bool is_ending; /* as the device does for its reset, the VMM being gone */

	/* The lcore's. */
	bool is_stuck; /* the VMM has let a call wait: no more of them */
};

struct vhost_session_config {
	const char *name, *socket; /* copied */
	struct vhost_thread *thread; /* outlives the session, as does `launch` */
	const struct pmd_launch *launch; /* who may listen */
	const struct vhost_device_ops *device;
	const struct vhost_session_ops *ops;
	void *arg; /* of both ops */
};

/* Nobody is connected to before vhost_session_start(). */
void vhost_session_init(struct vhost_session *s, const struct vhost_session_config *cfg);
int vhost_session_start(struct vhost_session *s, struct err *e);

/* Its rings are polled no longer, and nothing of the guest's is in use. Nothing of it is mapped afterwards. Never
 * started: fine. */
void vhost_session_fini(struct vhost_session *s);

/* On the lcore: an eventfd of the VMM's has held us (lcore_signal()), or a ring broke. */
void vhost_session_stuck(struct vhost_session *s);

#endif

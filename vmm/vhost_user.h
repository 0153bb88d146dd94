/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user protocol as a front end speaks it: messages on the wire (QEMU's docs/interop/vhost-user.rst), and a
 * connection that sends one and takes the answer. The back end is hostile until checked: an answer must be to
 * what was asked, of the size and with the fds that are due, and nothing may come unasked. No call blocks.
 */
#ifndef VIADUCT_VMM_VHOST_USER_H
#define VIADUCT_VMM_VHOST_USER_H

#include "base/err.h"

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
};

/* Feature bit of the protocol among those of the device */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

#define VHOST_USER_PROTOCOL_F_MQ	     0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK	     3
#define VHOST_USER_PROTOCOL_F_NET_MTU	     4
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ    5
#define VHOST_USER_PROTOCOL_F_CONFIG	     9
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD 12

/* What a back end says by itself, through the socket of SET_BACKEND_REQ_FD */
#define VHOST_USER_BACKEND_CONFIG_CHANGE 2

#define VHOST_USER_VERSION    0x1
#define VHOST_USER_REPLY      0x4
#define VHOST_USER_NEED_REPLY 0x8

#define VHOST_USER_REGIONS 8 /* of a memory table */
#define VHOST_USER_FDS	   8

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used, avail; /* in the address space of `user` of the memory table */
	uint64_t log;
};

struct vhost_user_region {
	uint64_t guest;
	uint64_t size;
	uint64_t user;
	uint64_t offset; /* in the fd */
};

struct vhost_user_memory {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_REGIONS];
};

/* The padding is part of it: QEMU and DPDK send it. */
struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
	uint32_t padding;
};

#define VHOST_USER_CONFIG_BYTES \
	60 /* of a device's configuration: a disk's, up to write_zeroes_may_unmap and its padding */

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_USER_CONFIG_BYTES];
};

union vhost_user_payload {
	uint64_t number;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_inflight inflight;
	struct vhost_user_config config;
};

/* A message to send, or an answer that was checked; fds of an answer are the receiver's to close. */
struct vhost_user_message {
	uint32_t request; /* enum vhost_user_request */
	bool wants_ack;
	uint32_t size;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS];
	unsigned int fd_count;
};

/* What is due. */
struct vhost_user_due {
	uint32_t request;
	uint32_t size;
	unsigned int fd_count;
};

struct vhost_user_conn {
	int sock; /* the owner's; non-blocking */
	uint8_t bytes[sizeof(struct vhost_user_header) + sizeof(union vhost_user_payload)];
	size_t have; /* of what comes in */
	int fds[VHOST_USER_FDS]; /* that came with it */
	unsigned int fd_count;
};

void vhost_user_conn_init(struct vhost_user_conn *c, int sock);
void vhost_user_conn_fini(
	struct vhost_user_conn *c); /* closes fds that nobody took, not the socket */

/* The fds stay the caller's. -EAGAIN is an error too: one message at a time fits any socket. */
int vhost_user_send(struct vhost_user_conn *c, const struct vhost_user_message *m, struct err *e);

/* Takes what has come. 1: the answer is complete and in *m; 0: not yet. -EBADMSG: it is not what was due (NULL:
 * nothing was); -ECONNRESET: the peer is gone. */
int vhost_user_receive(struct vhost_user_conn *c, const struct vhost_user_due *due,
		       struct vhost_user_message *m, struct err *e);

/* Takes what the back end has said through a channel of its own. 1: its configuration has changed, and *wants_ack says
 * whether it waits for an answer; 0: nothing came. -ECONNRESET: it has closed the channel; -EBADMSG: it said anything else. */
int vhost_user_channel_receive(int sock, bool *wants_ack, struct err *e);
void vhost_user_channel_ack(int sock);

/* For errors: "SET_MEM_TABLE". */
const char *vhost_user_request_name(uint32_t request);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user protocol as it is on the wire, as far as the back end of a network device or a disk speaks it (QEMU,
 * docs/interop/vhost-user.rst). All in the byte order of the host.
 */
#ifndef VIADUCT_PMD_BACKENDS_VHOST_WIRE_H
#define VIADUCT_PMD_BACKENDS_VHOST_WIRE_H

#include "pmd-backends/guest_memory.h"
#include "pmd-backends/pmd_msg.h"

#include "base/util.h"

#include <assert.h>
#include <stdint.h>

#define VHOST_MAX_RINGS	   (2 * PMD_MAX_PAIRS)
#define VHOST_MAX_RING	   32768U /* virtio 1.2, 2.7 and 2.8: queue size */
#define VHOST_MAX_FDS	   GUEST_MAX_REGIONS
#define VHOST_MAX_LOG	   MIB(256) /* of 8 TiB of guest addresses */
#define VHOST_MAX_INFLIGHT MIB(32) /* of sixteen rings of the largest size */

#define VHOST_VERSION	      1U
#define VHOST_FLAG_REPLY      (1U << 2)
#define VHOST_FLAG_NEED_REPLY (1U << 3)

#define VHOST_RING_MASK	 0xffU /* of SET_VRING_KICK, CALL and ERR */
#define VHOST_RING_NO_FD BIT(8)

/* Feature bits of the protocol among those of the device */
#define VHOST_F_LOG_ALL		  26
#define VHOST_F_PROTOCOL_FEATURES 30

#define VHOST_RING_LOG BIT(0) /* flag of SET_VRING_ADDR */

enum vhost_protocol_feature {
	VHOST_PROTOCOL_F_MQ = 0,
	VHOST_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_PROTOCOL_F_RARP = 2,
	VHOST_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_PROTOCOL_F_MTU = 4,
	VHOST_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_PROTOCOL_F_CONFIG = 9,
	VHOST_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_PROTOCOL_F_STATUS = 16,
};

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4, /* "no longer used": taken, and nothing is done */
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_GET_CONFIG = 24,
	VHOST_GET_INFLIGHT_FD = 31,
	VHOST_SET_INFLIGHT_FD = 32,
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
	VHOST_REQUESTS
};

struct vhost_ring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_ring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc, used, avail; /* addresses of the VMM, as in `user` of the memory table */
	uint64_t log; /* guest address that stands for `used` in the log */
};

struct vhost_log_wire {
	uint64_t size, offset; /* bytes; in its file */
};

struct vhost_memory_table {
	uint32_t count;
	uint32_t padding;
	struct guest_region_wire regions[GUEST_MAX_REGIONS];
};

/* QEMU and DPDK send the padding; without it they are 20 bytes. */
struct vhost_inflight_wire {
	uint64_t size; /* of the region, bytes */
	uint64_t offset; /* in its file */
	uint16_t queues;
	uint16_t queue_size;
	uint32_t padding;
};
#define VHOST_INFLIGHT_MIN 20

#define VHOST_MAX_CONFIG 256U /* bytes of a device's configuration space */

struct vhost_config_wire {
	uint32_t offset, size, flags; /* bytes of the configuration space */
	uint8_t region[VHOST_MAX_CONFIG]; /* `size` of them are there */
};
#define VHOST_CONFIG_HEAD 12

/* What a back end says by itself, through the socket of SET_BACKEND_REQ_FD. */
#define VHOST_BACKEND_CONFIG_CHANGE 2

union vhost_payload {
	uint64_t number;
	struct vhost_ring_state state;
	struct vhost_ring_addr addr;
	struct vhost_memory_table memory;
	struct vhost_inflight_wire inflight;
	struct vhost_config_wire config;
	struct vhost_log_wire log;
	uint8_t bytes[8 + GUEST_MAX_REGIONS * sizeof(struct guest_region_wire)];
};

struct vhost_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
};

struct vhost_message {
	struct vhost_header h;
	uint32_t padding; /* not on the wire: aligns the payload here */
	union vhost_payload payload;
};

static_assert(sizeof(struct vhost_header) == 12, "on the wire");
static_assert(sizeof(struct vhost_ring_state) == 8, "on the wire");
static_assert(sizeof(struct vhost_ring_addr) == 40, "on the wire");
static_assert(sizeof(struct guest_region_wire) == 32, "on the wire");
static_assert(offsetof(struct vhost_memory_table, regions) == 8, "on the wire");
static_assert(sizeof(struct vhost_log_wire) == 16, "on the wire");
static_assert(sizeof(struct vhost_inflight_wire) == 24, "on the wire");
static_assert(offsetof(struct vhost_inflight_wire, queue_size) == 18, "on the wire");
static_assert(offsetof(struct vhost_config_wire, region) == VHOST_CONFIG_HEAD, "on the wire");
static_assert(sizeof(struct vhost_memory_table) == 264, "on the wire");

#endif

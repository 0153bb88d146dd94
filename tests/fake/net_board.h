/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A board with one polled port, or one disk, for tests and fuzz targets without a machine: RAM, buses, root complex, the nets and their
 * event loop, over tests/fake/kvm_kernel.h. Beside it a guest's driver, which does what a driver does by register
 * accesses, and a back end that speaks vhost-user and lies where it is told to. All in one thread: net_board_step()
 * lets the VMM and the back end each do what they can.
 */
#ifndef VIADUCT_TESTS_FAKE_NET_BOARD_H
#define VIADUCT_TESTS_FAKE_NET_BOARD_H

#include "vmm/disks.h"
#include "vmm/machine.h"
#include "vmm/nets.h"
#include "vmm/vhost_user.h"

#include <sys/socket.h>
#include <sys/un.h>

/* Registers of the device's BAR and where the driver puts its rings. */
#define NET_COMMON   0x0000
#define NET_ISR	     0x1000
#define NET_CONFIG   0x2000
#define NET_DOORBELL 0x3000
#define NET_TABLE    0x4000
#define NET_PENDING  0x5000
#define NET_RINGS    0x100000 /* of queue q: 64 KiB from here + q * 64 KiB */
#define NET_RING(q)  (NET_RINGS + 0x10000ULL * (q))
#define NET_AVAIL(q) (NET_RING(q) + 0x4000)
#define NET_USED(q)  (NET_RING(q) + 0x8000)

enum fake_lie {
	LIE_NONE,
	LIE_REQUEST, /* an answer to another message */
	LIE_FLAGS,
	LIE_SHORT, /* a payload that is too small */
	LIE_LONG,
	LIE_HUGE, /* a size of 4 GiB */
	LIE_FD, /* a file descriptor too many */
	LIE_NACK, /* it refuses, or says zero */
	LIE_TWICE, /* says it again */
	LIE_CLOSE,
	LIE_SILENT,
	LIES
};

struct fake_backend {
	int sock; /* -1: not connected */
	uint64_t features, protocol, pairs;
	enum fake_lie lie;
	uint32_t lie_at; /* which message */
	unsigned int messages[64]; /* how often each came */
	uint64_t acked; /* SET_FEATURES */
	uint64_t mtu;
	struct vhost_user_memory memory;
	uint32_t num[VMM_MAX_PAIRS * 2], base[VMM_MAX_PAIRS * 2];
	bool enabled[VMM_MAX_PAIRS * 2];
	struct vhost_user_vring_addr addr[VMM_MAX_PAIRS * 2];
	int kick[VMM_MAX_PAIRS * 2], call[VMM_MAX_PAIRS * 2];
	struct vhost_user_inflight inflight;
	uint64_t inflight_ino; /* of the region that it was given last */
	uint8_t config[VHOST_USER_CONFIG_BYTES]; /* of a disk: what it says of it */
	/* Sectors that the disk has as soon as one of SET_BACKEND_REQ_FD and GET_CONFIG has come, which it says if it can; 0:
	 * it stays as it is. */
	uint64_t grows;
	int channel; /* to say things by itself; -1: none */
};

struct net_board {
	struct vmm_spec spec;
	pthread_mutex_t lock;
	struct gmem gmem;
	struct bus pio, mmio;
	struct irq_router *irq;
	struct pci_host *pci;
	struct loop *loop;
	struct nets *nets;
	struct disks *disks; /* of a board with a disk; nets is NULL */
	uint64_t ecam, bar; /* of the device that the driver drives */
	bool is_packed; /* what the driver chose */
	uint16_t command_at; /* of a packed control queue: where the next command goes */
	bool command_is_odd; /* in a lap whose wrap counter is 0 */
	struct sockaddr_un address; /* of the listener */
	socklen_t address_len;
	struct fake_backend backend;
};

/* net's port, mac and so on; what is zero gets a usual value. Aborts when it cannot be built. */
void net_board_init(struct net_board *b, const struct vmm_net_spec *net);
void net_board_fini(struct net_board *b);

/* The same with so many ports; the driver and the back end below are those of the first. */
void net_board_init_many(struct net_board *b, const struct vmm_net_spec *net, unsigned int count);

/* A board with a disk instead: a gibibyte, two queues if it says nothing. The back end has what a good one has. */
void disk_board_init(struct net_board *b, const struct vmm_disk_spec *disk);

/* The same; the VMM has a duplicate of that description of the image. */
void disk_board_init_image(struct net_board *b, const struct vmm_disk_spec *disk, int image_fd);

/* Of other boards (extra_board.h): what devices are plugged into, with a description that is filled already, and the
 * device that the accesses and the driver below are of. Ended by net_board_fini(). */
int board_listen(void);
void board_make(struct net_board *b, int listener);
void board_select(struct net_board *b, uint64_t ecam);

/* Until nothing is left to do, or ms have passed without. */
void net_board_step(struct net_board *b, int ms);

/* STATUS of the port or the disk; the caller's. */
json_t *net_board_status(struct net_board *b);

/* The guest's accesses. A doorbell goes where KVM would send it. */
uint64_t net_read(struct net_board *b, uint64_t off, unsigned int len);
void net_write(struct net_board *b, uint64_t off, unsigned int len, uint64_t value);
uint32_t net_cfg_read(struct net_board *b, unsigned int off, unsigned int len);
void net_cfg_write(struct net_board *b, unsigned int off, unsigned int len, uint32_t value);

/* A driver from reset to DRIVER_OK: takes what is offered of `features` and all queues, vector q + 1 for queue q, 0 for the
 * configuration. False: the device does not show FEATURES_OK. */
bool net_driver_start(struct net_board *b, uint64_t features);
uint64_t net_driver_features(struct net_board *b); /* that are offered */
bool net_driver_reset(
	struct net_board *b); /* waits for status 0, with steps; false: it does not come */
void net_queue_set(struct net_board *b, unsigned int queue, uint16_t size);

/* Puts a command into control queue q, split or packed, and rings: the answer's byte, or 0xEE if none came. */
uint8_t net_command(struct net_board *b, unsigned int q, const void *data, uint32_t len);

/* The back end connects and answers; hangs up. Between, its fields say what it was told. */
void fake_backend_connect(struct net_board *b);
void fake_backend_close(struct net_board *b);

/* A good one, of a port or of a disk of so many queues; it is not connected. */
void fake_backend_init(struct fake_backend *k);
void fake_backend_disk_init(struct fake_backend *k, unsigned int queues);

/* One message; false: there is none. */
bool fake_backend_step(struct fake_backend *k);

struct virtio_blk_config;
struct virtio_blk_config *fake_disk_config(struct fake_backend *k);

#endif

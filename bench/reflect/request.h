/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What viaduct-reflect is asked to do, one JSON object a line. In a guest the lines come over a console: whatever they hold,
 * what reflect_request_parse() lets through is of the form below, and what goes into DPDK's device arguments has no comma.
 *
 *   {"op":"devices"}                                   what could be a port: PCI network functions and network devices
 *   {"op":"port","name":"a","device":"0000:00:04.0"}   of a function that is with vfio-pci or igb_uio; or
 *                    "af-packet:eth0", "af-xdp:eth0", "tap:NAME", "vhost-user:/PATH" ("server":true: it listens); "mtu"; "ring": descriptors
 *   {"op":"start","mode":"reflect","from":"a","idle":"poll"}   mode: reflect (sent back with its addresses swapped), sink, or
 *                                                              forward ("to":"b"; "dst_mac": it gets this address, and b's
 *                                                              own as its source); idle: poll, interrupt
 *   {"op":"looks"}                             [frames, cycles] of each of the last polls that found something, oldest first
 *   {"op":"stats"}  {"op":"stop"}  {"op":"close","name":"a"}  {"op":"quit"}
 */
#ifndef VIADUCT_BENCH_REFLECT_REQUEST_H
#define VIADUCT_BENCH_REFLECT_REQUEST_H

#include "base/err.h"
#include "base/json.h"

#define REFLECT_NAME_TEXT   16
#define REFLECT_DEVICE_TEXT 108 /* a Unix socket's path */
#define REFLECT_LINE_MAX    4096
#define REFLECT_MIN_MTU	    68 /* RFC 791 */
#define REFLECT_MAX_MTU	    9216
#define REFLECT_MAX_RING    4096

enum reflect_op {
	REFLECT_DEVICES,
	REFLECT_PORT,
	REFLECT_START,
	REFLECT_STATS,
	REFLECT_LOOKS,
	REFLECT_STOP,
	REFLECT_CLOSE,
	REFLECT_QUIT,
	REFLECT_OPS,
};

enum reflect_kind {
	REFLECT_PCI,
	REFLECT_AF_PACKET,
	REFLECT_AF_XDP,
	REFLECT_TAP,
	REFLECT_VHOST_USER,
	REFLECT_KINDS,
};

enum reflect_mode { REFLECT_REFLECT, REFLECT_FORWARD, REFLECT_SINK, REFLECT_MODES };

struct reflect_request {
	enum reflect_op op;
	char name[REFLECT_NAME_TEXT]; /* port, close */
	enum reflect_kind kind;
	char device[REFLECT_DEVICE_TEXT]; /* without the word of its kind */
	bool server;
	uint32_t ring; /* descriptors of each queue; 0: as many as usual */
	uint32_t mtu; /* 0: the device's own */
	enum reflect_mode mode;
	char from[REFLECT_NAME_TEXT], to[REFLECT_NAME_TEXT]; /* to: "" unless it forwards */
	uint8_t dst_mac[6];
	bool has_dst_mac;
	bool interrupt; /* sleeps while nothing comes */
};

/* `len` bytes of one line. 0, or -EINVAL with a text that names what is wrong. */
int reflect_request_parse(const char *line, size_t len, struct reflect_request *out, struct err *e);

#endif

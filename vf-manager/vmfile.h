/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VM file: the raw form that libcyaml fills (texts, as the operator wrote them), and nothing
 * else. vmspec.c makes checked values of it. A pointer that is NULL means that the key is absent.
 */
#ifndef VIADUCT_VF_MANAGER_VMFILE_H
#define VIADUCT_VF_MANAGER_VMFILE_H

#include "base/err.h"

struct vmfile_memory {
	char *size, *hugepages, *numa;
};

struct vmfile_cpus {
	unsigned int *count;
	unsigned int *pin;
	unsigned int pin_count;
	char *dedicated, *core_scheduling;
	unsigned int *shares;
};

struct vmfile_boot {
	char *kernel, *initrd, *cmdline, *ready, *firmware;
	char **order;
	unsigned int order_count;
};

struct vmfile_vlan {
	char *mode, *proto;
	unsigned int *ids;
	unsigned int ids_count;
	unsigned int *qos;
};

struct vmfile_port {
	char *name, *network, *pf, *vf, *engine, *fallback;
	char *mac, *spoofchk, *trust, *link, *uplink_loss, *on_fault, *rate, *min_rate;
	char **macs;
	unsigned int macs_count;
	char **anti_affinity;
	unsigned int anti_affinity_count;
	unsigned int *mtu, *queues, *queue_size, *storm;
	char *backend_grace;
	struct vmfile_vlan *vlan;
};

struct vmfile_disk {
	char *path, *name, *readonly, *serial, *cache, *format, *bandwidth;
	unsigned int *queues, *queue_size, *iops;
};

struct vmfile_function {
	char *name, *address, *take, *on_fault;
};

struct vmfile_cloud_init {
	char *user_data, *meta_data, *network_config, *hostname;
};

struct vmfile_autostart {
	unsigned int *order, *delay;
	char **after;
	unsigned int after_count;
};

struct vmfile_on_crash {
	char *action;
	unsigned int *backoff, *max, *within;
};

struct vmfile_stop {
	unsigned int *timeout;
};

struct vmfile_test {
	char *low_ram_limit;
};

struct vmfile {
	char *name;
	struct vmfile_memory *memory;
	struct vmfile_cpus *cpus;
	struct vmfile_boot *boot;
	struct vmfile_disk *disks;
	unsigned int disks_count;
	struct vmfile_port *ports;
	unsigned int ports_count;
	struct vmfile_function *functions;
	unsigned int functions_count;
	char *on_panic, *watchdog, *backend_grace;
	char *rng, *virtio_console, *vsock;
	struct vmfile_cloud_init *cloud_init;
	struct vmfile_autostart *autostart;
	struct vmfile_on_crash *on_crash;
	struct vmfile_stop *stop;
	struct vmfile_test *test;
};

/* Errors as of yaml_load(). *out goes back with vmfile_free(). */
int vmfile_load(const char *text, size_t len, struct vmfile **out, struct err *e);
void vmfile_free(struct vmfile *file);

#endif

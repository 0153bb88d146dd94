/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether the VMs with firmware can store its variables, by their VMMs' word, asked now and again by the monitor's thread. */
#ifndef VIADUCT_VF_MANAGER_VARSWATCH_H
#define VIADUCT_VF_MANAGER_VARSWATCH_H

#include <stdint.h>

#define VARS_LOOK_NS 5000000000ULL /* between two looks, at least */

struct daemon;

/* Guarded by the daemon's state lock. */
struct vars_seen {
	char error[128]; /* why they are not stored; "": they are, or nothing is known */
	uint64_t next_ns; /* not before */
};

/* No lock held. However many do not answer, a second for each 256 VMs at most. */
void vars_watch_look(struct daemon *d);

#endif

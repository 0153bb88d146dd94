/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ICH9's TCO watchdog (ICH9 datasheet 13.9 and 10.1.75): a counter of 0.6 s that the guest reloads.
 * When it runs out TIMEOUT is set and it starts again; when that runs out too, and NO_REBOOT in RCBA's
 * general control register is clear, the guest is lost. At power-on it is halted, as firmware leaves it,
 * so a guest that does not want it never meets it. Time stands still while the VM is paused.
 */
#ifndef VIADUCT_VMM_CHIPSET_TCO_H
#define VIADUCT_VMM_CHIPSET_TCO_H

#include "vmm/bus.h"
#include "vmm/pci_cfg.h"

#include "base/loop.h"

#define TCO_SIZE 32

/* Offsets from PMBASE + 0x60 */
#define TCO_RLD	 0x00
#define TCO1_STS 0x04
#define TCO2_STS 0x06
#define TCO1_CNT 0x08
#define TCO_TMR	 0x12

#define TCO1_TIMEOUT   0x0008
#define TCO2_SECOND_TO 0x0002
#define TCO1_HALT      0x0800

#define TCO_TICK_NS 600000000ULL

/* General control and status, from RCBA */
#define RCBA_GCS      0x3410
#define GCS_NO_REBOOT 0x20

struct tco {
	struct bus *mmio; /* borrowed, like loop and lock */
	struct loop *loop;
	pthread_mutex_t *lock;
	void (*expired)(void *arg); /* main thread, lock held */
	void *arg;
	int timer_fd; /* -1 before tco_init() */

	/* Under the lock */
	struct pci_cfg regs; /* TCO_SIZE bytes of it */
	uint32_t gcs;
	bool paused;
	bool timed_out; /* since the last reload */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: the counter stands still, left_ns counts */
	uint64_t left_ns;
	struct io_region gcs_region; /* size 0: not decoded */
};

int tco_init(struct tco *tco); /* -errno */
void tco_fini(struct tco *tco); /* half-built-safe */

/* All of it with the lock held. TCO2_SECOND_TO outlives a reset: it tells the guest why. */
void tco_reset(struct tco *tco);
void tco_pause(struct tco *tco, bool paused);

/* Follows RCBA. A base on top of another trapped region decodes nothing. */
void tco_map(struct tco *tco, bool decoded, uint64_t rcba);

uint64_t tco_read(struct tco *tco, unsigned int off, unsigned int len);
void tco_write(struct tco *tco, unsigned int off, unsigned int len, uint64_t value);

/* Both times together, in seconds: how long the guest was silent when it expires. */
unsigned int tco_seconds(const struct tco *tco);

#endif
